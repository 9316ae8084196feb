/** The steps of a training run, one after another, for every stage. */

import { EngineError } from "../errors/errors.ts";
import type { Trainer } from "./step.ts";

export interface LoopPlan<Batch> {
  /** Steps that are already done, and of these the updates of the weights (skipped steps are none). */
  readonly done: { readonly step: number; readonly updates: number };
  /** Steps in all. */
  readonly steps: number;
  /** Learning rate of a step, from 1. */
  readonly lr: (step: number) => number;
  /** The micro-batches of the next step. */
  readonly next: () => readonly Batch[];
  /** Where to go back to when the loss diverges. */
  readonly lastCheckpoint: () => string | undefined;
}

export interface StepReport {
  /** From 1. */
  readonly step: number;
  readonly updates: number;
  readonly lr: number;
  /** In nats a token. */
  readonly loss: number;
  readonly gradientNorm: number;
  /** The loss or the gradient was not finite; nothing was changed. */
  readonly isSkipped: boolean;
  readonly tokens: number;
  readonly seconds: number;
}

/** So many steps in a row without a finite loss end a run. */
const mostSkips = 3;

/**
 * Runs the steps that are left.
 *
 * @yields what each step did.
 * @throws {EngineError} after three steps in a row whose loss or gradient was not finite.
 * @throws the signal's reason when it is aborted; the weights are then those of the last step reported.
 */
export async function* trainSteps<Batch>(
  trainer: Trainer<Batch>,
  plan: LoopPlan<Batch>,
  signal?: AbortSignal,
): AsyncGenerator<StepReport> {
  let { updates } = plan.done;
  let skips = 0;
  for (let { step } = plan.done; step < plan.steps; step += 1) {
    signal?.throwIfAborted();
    const start = performance.now();
    const lr = plan.lr(step + 1);
    const batches = plan.next();
    const { outputs: _, ...result } = await trainer.step(batches, lr, updates + 1, signal);
    if (!result.isSkipped) updates += 1;
    skips = result.isSkipped ? skips + 1 : 0;
    yield { ...result, step: step + 1, updates, lr, seconds: (performance.now() - start) / 1000 };
    if (skips === mostSkips) throw diverged(step + 1, plan.lastCheckpoint());
  }
}

// --- internal ---

function diverged(step: number, checkpoint: string | undefined): EngineError {
  const good =
    checkpoint === undefined ? "There is no checkpoint yet" : `The last good checkpoint is ${checkpoint}`;
  return new EngineError(`the loss was not finite in ${mostSkips} steps in a row, up to step ${step}`, {
    mend: `${good}; start again with a lower lr or a longer warm-up.`,
  });
}
