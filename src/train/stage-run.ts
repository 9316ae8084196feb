/**
 * The run of a stage from where it is to its end: steps, and now and then a validation, a sample and a checkpoint. It
 * can be killed at any moment and goes on after its newest checkpoint; a stage whose batches follow from the step's
 * number alone then ends bit for bit as if nothing had happened.
 */

import { join } from "node:path";
import { FormatError } from "../errors/errors.ts";
import { latestCheckpoint, pruneCheckpoints, readRunState } from "./checkpoint.ts";
import { trainSteps, type StepReport } from "./loop.ts";
import type { Saver } from "./saver.ts";
import type { Trainer } from "./step.ts";

/** What `run.json` keeps of a stage's run. */
export interface StageState {
  readonly step: number;
  readonly updates: number;
  /** The run was interrupted in the validation of its last step. */
  readonly owesValidation?: boolean;
}

export interface ResumedStage {
  readonly checkpoint: string;
  readonly state: StageState;
}

export interface StageRun<Batch> {
  /** Written into the checkpoints. */
  readonly stage: string;
  /** Where the run goes on; undefined at its start. */
  readonly state: StageState | undefined;
  readonly steps: number;
  readonly trainer: Trainer<Batch>;
  readonly saver: Saver;
  /** Learning rate of a step, from 1. */
  readonly lr: (step: number) => number;
  /** Micro-batches of a step, from 0. */
  readonly batchesOf: (step: number) => readonly Batch[];
  readonly onStep: (report: StepReport) => void;
  /** Measures on held-out data, after a step. */
  readonly validate: (step: number, signal: AbortSignal | undefined) => Promise<void>;
  readonly sample?: (step: number) => Promise<void>;
  /** In steps; 0 for at the end only. */
  readonly validationEvery: number;
  /** In steps; 0 for at the end only. */
  readonly checkpointEvery: number;
  /** In steps; 0 for never. */
  readonly sampleEvery: number;
}

/**
 * The newest checkpoint of a run's folder, if there is one.
 *
 * @throws {FormatError} when it is of another stage.
 */
export function resumedStage(
  folder: string,
  stage: string,
  keepCheckpoints: number,
): ResumedStage | undefined {
  const checkpoint = latestCheckpoint(folder);
  if (checkpoint === undefined) return undefined;
  const state = readRunState(checkpoint);
  if (state["stage"] !== stage || typeof state["updates"] !== "number") {
    throw new FormatError(`this is not the checkpoint of a run of stage "${stage}"`, {
      file: join(checkpoint, "run.json"),
      mend: "Choose another --name.",
    });
  }
  // A process that was killed between writing a checkpoint and deleting the oldest left one too many.
  pruneCheckpoints(folder, keepCheckpoints);
  return { checkpoint, state: state as unknown as StageState };
}

/** Whether nothing is left to do. */
export function isDone({ state }: ResumedStage, steps: number): boolean {
  return state.step >= steps && state.owesValidation !== true;
}

/** The checkpoint that a saver takes for written: one that owes its validation is written again when that is made. */
export function savedAlready(resumed: ResumedStage | undefined): string | undefined {
  return resumed?.state.owesValidation === true ? undefined : resumed?.checkpoint;
}

/** @returns the last checkpoint's directory. @throws the signal's reason when aborted, after a checkpoint. */
export async function runStage<Batch>(run: StageRun<Batch>, signal?: AbortSignal): Promise<string> {
  const { steps, trainer, saver } = run;
  let state: StageState = run.state ?? { step: 0, updates: 0 };
  const validate = async (): Promise<void> => {
    const { owesValidation: _, ...validated } = state;
    await run.validate(state.step, signal);
    state = validated;
  };
  const save = (): string => saver.save({ stage: run.stage, ...state });
  const plan = {
    done: state,
    steps,
    lr: run.lr,
    next: () => run.batchesOf(state.step),
    lastCheckpoint: () => saver.last,
  };
  try {
    for await (const report of trainSteps(trainer, plan, signal)) {
      const { step, updates } = report;
      state = { step, updates, ...(step === steps ? { owesValidation: true } : {}) };
      run.onStep(report);
      if (isDue(step, run.sampleEvery)) await run.sample?.(step);
      if (step < steps && isDue(step, run.validationEvery)) await validate();
      if (step < steps && isDue(step, run.checkpointEvery)) save();
    }
    if (state.owesValidation === true) await validate();
  } catch (error) {
    if (signal?.aborted === true) save();
    throw error;
  }
  return save();
}

// --- internal ---

function isDue(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}
