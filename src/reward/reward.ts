/**
 * Training a reward model (Llama 2 §3.2.2): a chat model with a scalar head, one epoch over comparisons. Each epoch is
 * shuffled anew from the seed, so a run continues after its newest checkpoint bit for bit.
 */

import { createRandom, shuffle } from "../corpus/random.ts";
import { ConfigError } from "../errors/errors.ts";
import { withScalarHead } from "../model/heads.ts";
import { readModelFiles } from "../model/load.ts";
import type { OwnedWeights } from "../model/weights.ts";
import type { AdamWOptions } from "../tensor/adamw.ts";
import type { Backend } from "../tensor/backend.ts";
import type { Precision } from "../tensor/graph.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { loadCheckpointWeights, restoreOptimizer } from "../train/checkpoint.ts";
import type { StepReport } from "../train/loop.ts";
import { createSaver } from "../train/saver.ts";
import { cosineSchedule } from "../train/schedule.ts";
import { isDone, resumedStage, runStage, savedAlready, type ResumedStage } from "../train/stage-run.ts";
import { Trainer } from "../train/step.ts";
import { ranking } from "./objective.ts";
import { longestOf, pairBatches, type BatchSize, type EncodedPair, type PairBatch } from "./pairs.ts";
import { paddedLength } from "./encode.ts";

export interface RewardOptions extends AdamWOptions {
  /** Pairs in a step. */
  readonly batchSize: number;
  /** Pairs that are computed at once. */
  readonly microBatchSize: number;
  /** Longest conversation with its answer, in tokens. */
  readonly seqLen: number;
  readonly epochs: number;
  readonly lr: number;
  readonly warmupRatio: number;
  readonly minWarmupSteps: number;
  readonly minLrRatio: number;
  /** What the auxiliary safety loss counts; 0 leaves it out. */
  readonly safetyWeight: number;
  readonly precision: Precision;
  readonly lanes: number;
  readonly seed: number;
  /** In steps; 0 for at the end only. */
  readonly validationEvery: number;
  /** In steps; 0 for at the end only. */
  readonly checkpointEvery: number;
  readonly keepCheckpoints: number;
}

export interface RewardInputs {
  readonly backend: Backend;
  /** The chat model to start from. */
  readonly model: string;
  readonly tokenizer: Tokenizer;
  readonly pairs: readonly EncodedPair[];
  /** Held-out pairs. */
  readonly heldOut: readonly EncodedPair[];
  /** Where checkpoints are kept. */
  readonly folder: string;
  readonly onEvent: (event: RewardEvent) => void;
  readonly signal?: AbortSignal;
}

export type RewardEvent =
  | { readonly type: "resumed"; readonly step: number; readonly checkpoint: string }
  | { readonly type: "started"; readonly steps: number; readonly pairs: number }
  | ({ readonly type: "step" } & StepReport)
  /** Mean loss of held-out pairs in nats, and the part of them whose chosen answer scores higher. */
  | { readonly type: "validation"; readonly step: number; readonly loss: number; readonly accuracy: number }
  | { readonly type: "checkpoint"; readonly step: number; readonly checkpoint: string };

/** @returns the last checkpoint's directory. @throws the signal's reason when aborted, after a checkpoint. */
export async function trainReward(options: RewardOptions, inputs: RewardInputs): Promise<string> {
  const { backend, folder, onEvent, signal, pairs, heldOut } = inputs;
  checkOptions(options, pairs);
  const resumed = resumedStage(folder, "reward", options.keepCheckpoints);
  if (resumed !== undefined)
    onEvent({ type: "resumed", step: resumed.state.step, checkpoint: resumed.checkpoint });
  const stepsPerEpoch = Math.ceil(pairs.length / options.batchSize);
  const steps = options.epochs * stepsPerEpoch;
  if (resumed !== undefined && isDone(resumed, steps)) return resumed.checkpoint;
  using weights = startingWeights(options, inputs, resumed);
  const longest = [...pairs, ...heldOut].reduce((most, pair) => Math.max(most, longestOf(pair)), 0);
  using trainer = new Trainer(backend, weights, ranking(options.safetyWeight), {
    ...options,
    batch: 2 * options.microBatchSize,
    seq: paddedLength(longest, options.seqLen),
  });
  if (resumed !== undefined) restoreOptimizer(resumed.checkpoint, trainer.state);
  onEvent({ type: "started", steps, pairs: pairs.length });
  const saver = createSaver({
    ...inputs,
    keepCheckpoints: options.keepCheckpoints,
    weights,
    optimizer: trainer.state,
    resumed: savedAlready(resumed),
    onSaved: (checkpoint, step) => onEvent({ type: "checkpoint", step, checkpoint }),
  });
  const size = batchSizeOf(options, inputs);
  const run = {
    ...options,
    stage: "reward",
    state: resumed?.state,
    steps,
    trainer,
    saver,
    sampleEvery: 0,
    lr: scheduleOf(options, steps),
    batchesOf: stepBatches(options, pairs, size),
    onStep: (report: StepReport) => onEvent({ type: "step", ...report }),
    async validate(step: number) {
      if (heldOut.length === 0) return;
      onEvent({ type: "validation", step, ...(await measure(trainer, pairBatches(heldOut, size), signal)) });
    },
  };
  return await runStage(run, signal);
}

// --- internal ---

function startingWeights(
  { seed }: RewardOptions,
  { backend, model }: RewardInputs,
  resumed: ResumedStage | undefined,
): OwnedWeights {
  if (resumed !== undefined) return loadCheckpointWeights(backend, resumed.checkpoint, "scalar");
  const random = createRandom(seed);
  return withScalarHead(backend, readModelFiles(model), () => random.next());
}

function batchSizeOf(options: RewardOptions, { tokenizer }: RewardInputs): BatchSize {
  return { pairs: options.microBatchSize, seqLen: options.seqLen, padId: tokenizer.unkId };
}

/** The micro-batches of a step, from 0: epoch after epoch, each in an order of its own. */
function stepBatches(
  { batchSize, seed }: RewardOptions,
  pairs: readonly EncodedPair[],
  size: BatchSize,
): (step: number) => PairBatch[] {
  const stepsPerEpoch = Math.ceil(pairs.length / batchSize);
  let known: { readonly epoch: number; readonly order: readonly EncodedPair[] } | undefined;
  return (step) => {
    const epoch = Math.floor(step / stepsPerEpoch);
    if (known?.epoch !== epoch) {
      // Drawn from the seed's own generator first, so that epoch 1 of seed 1 is not epoch 0 of seed 2.
      const order = shuffle(pairs, createRandom(createRandom(seed).int(2 ** 52) + epoch));
      known = { epoch, order };
    }
    const from = (step % stepsPerEpoch) * batchSize;
    return pairBatches(known.order.slice(from, from + batchSize), size);
  };
}

/** Warm-up is "3% of the total number of steps, with a minimum of 5", as far as the run is that long. */
function scheduleOf(
  { lr: peak, warmupRatio, minWarmupSteps, minLrRatio }: RewardOptions,
  steps: number,
): (step: number) => number {
  const warmupSteps = Math.min(steps, Math.max(minWarmupSteps, Math.ceil(steps * warmupRatio)));
  return cosineSchedule({ peak, warmupSteps, steps, minRatio: minLrRatio });
}

async function measure(
  trainer: Trainer<PairBatch>,
  batches: readonly PairBatch[],
  signal: AbortSignal | undefined,
): Promise<{ loss: number; accuracy: number }> {
  const { loss, outputs } = await trainer.evaluate(batches, signal);
  let [right, all] = [0, 0];
  for (const [i, { weights }] of batches.entries()) {
    const { chosen, rejected } = outputs[i]!;
    for (const [pair, weight] of weights.entries()) {
      all += weight;
      if (weight > 0 && chosen![pair]! > rejected![pair]!) right += 1;
    }
  }
  return { loss, accuracy: right / all };
}

function checkOptions(
  { batchSize, microBatchSize, epochs }: RewardOptions,
  pairs: readonly EncodedPair[],
): void {
  if (pairs.length === 0)
    throw new ConfigError("there are no comparisons to train on", { mend: "Give at least one pair." });
  for (const [name, value] of Object.entries({
    batch_size: batchSize,
    micro_batch_size: microBatchSize,
    epochs,
  })) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new ConfigError(`${name} (${value}) is not a whole number of at least 1`, {
      mend: `Set ${name} to 1 or more.`,
    });
  }
}
