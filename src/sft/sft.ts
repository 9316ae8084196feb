/**
 * Supervised fine-tuning (Llama 2 §3.1): the pretraining loss on the answers' tokens only, over examples packed into
 * full sequences. Each epoch is packed anew from the seed, so a run continues after its newest checkpoint bit for bit.
 */

import type { Example } from "../dialog/llama2-chat.ts";
import { ConfigError } from "../errors/errors.ts";
import type { AdamWOptions } from "../tensor/adamw.ts";
import type { Backend } from "../tensor/backend.ts";
import type { Precision } from "../tensor/graph.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { LlamaWeights } from "../model/weights.ts";
import { loadCheckpointWeights, restoreOptimizer } from "../train/checkpoint.ts";
import type { StepReport } from "../train/loop.ts";
import { createSaver } from "../train/saver.ts";
import { cosineSchedule } from "../train/schedule.ts";
import { nextToken, type MicroBatch } from "../train/next-token.ts";
import { isDone, resumedStage, runStage, savedAlready, type StageRun } from "../train/stage-run.ts";
import { Trainer } from "../train/step.ts";
import { packExamples, type PackedRows } from "./pack.ts";

export interface SftOptions extends AdamWOptions {
  /** Sequences in a step. */
  readonly batchSize: number;
  /** Sequences that are computed at once; a step takes as many micro-batches as it needs. */
  readonly microBatchSize: number;
  readonly seqLen: number;
  readonly epochs: number;
  readonly lr: number;
  readonly warmupRatio: number;
  readonly minLrRatio: number;
  readonly precision: Precision;
  /** Micro-batches that are computed side by side. */
  readonly lanes: number;
  readonly seed: number;
  /** In steps; 0 for at the end only. */
  readonly validationEvery: number;
  /** In steps; 0 for at the end only. */
  readonly checkpointEvery: number;
  readonly keepCheckpoints: number;
  /** In steps; 0 for never. */
  readonly sampleEvery: number;
}

export interface SftInputs {
  readonly backend: Backend;
  /** The model to start from: a Hugging Face directory. */
  readonly model: string;
  readonly tokenizer: Tokenizer;
  readonly examples: readonly Example[];
  /** Held-out examples, whose loss is reported now and then. */
  readonly heldOut: readonly Example[];
  /** Where checkpoints are kept. */
  readonly folder: string;
  readonly onEvent: (event: SftEvent) => void;
  /** Writes answers with the weights of a step, which it must not change. */
  readonly sample?: (weights: LlamaWeights, step: number) => Promise<void>;
  readonly signal?: AbortSignal;
}

export type SftEvent =
  | { readonly type: "resumed"; readonly step: number; readonly checkpoint: string }
  | { readonly type: "started"; readonly steps: number; readonly rows: number; readonly truncated: number }
  | ({ readonly type: "step" } & StepReport)
  /** Mean loss of the answers' tokens, in nats. */
  | { readonly type: "validation"; readonly step: number; readonly loss: number }
  | { readonly type: "checkpoint"; readonly step: number; readonly checkpoint: string };

/** @returns the last checkpoint's directory. @throws the signal's reason when aborted, after a checkpoint. */
export async function fineTune(options: SftOptions, inputs: SftInputs): Promise<string> {
  const { backend, folder, model, onEvent, signal } = inputs;
  checkOptions(options);
  const resumed = resumedStage(folder, "sft", options.keepCheckpoints);
  if (resumed !== undefined)
    onEvent({ type: "resumed", step: resumed.state.step, checkpoint: resumed.checkpoint });
  const batches = new EpochBatches(options, inputs);
  if (resumed !== undefined && isDone(resumed, batches.steps)) return resumed.checkpoint;
  using weights = loadCheckpointWeights(backend, resumed?.checkpoint ?? model);
  using trainer = new Trainer(backend, weights, nextToken, {
    ...options,
    batch: options.microBatchSize,
    seq: options.seqLen,
  });
  if (resumed !== undefined) restoreOptimizer(resumed.checkpoint, trainer.state);
  onEvent({ type: "started", steps: batches.steps, rows: batches.rows, truncated: batches.truncated });
  const saver = createSaver({
    ...inputs,
    keepCheckpoints: options.keepCheckpoints,
    weights,
    optimizer: trainer.state,
    resumed: savedAlready(resumed),
    onSaved: (checkpoint, step) => onEvent({ type: "checkpoint", step, checkpoint }),
  });
  const { steps } = batches;
  const { sample } = inputs;
  const run: StageRun<MicroBatch> = {
    ...options,
    stage: "sft",
    state: resumed?.state,
    steps,
    trainer,
    saver,
    lr: scheduleOf(options, steps),
    batchesOf: (step) => batches.of(step),
    onStep: (report) => onEvent({ type: "step", ...report }),
    async validate(step) {
      const heldOut = batches.heldOut();
      if (heldOut.length === 0) return;
      const { loss } = await trainer.evaluate(heldOut, signal);
      onEvent({ type: "validation", step, loss });
    },
    ...(sample === undefined ? {} : { sample: (step) => sample(weights, step) }),
  };
  return await runStage(run, signal);
}

// --- internal ---

/** Packed rows, and which of them have a token that counts: the others teach nothing and are left out. */
interface Lessons extends PackedRows {
  readonly counting: readonly number[];
}

/** The steps' micro-batches, by step: epoch after epoch, each shuffled and packed anew. */
class EpochBatches {
  readonly steps: number;
  readonly rows: number;
  readonly truncated: number;
  readonly #options: SftOptions;
  readonly #inputs: SftInputs;
  /** The first step of each epoch. */
  readonly #starts: number[] = [];
  #packed: { epoch: number; lessons: Lessons } | undefined;

  constructor(options: SftOptions, inputs: SftInputs) {
    this.#options = options;
    this.#inputs = inputs;
    let steps = 0;
    for (let epoch = 0; epoch < options.epochs; epoch += 1) {
      this.#starts.push(steps);
      steps += Math.ceil(this.#epoch(epoch).counting.length / options.batchSize);
    }
    this.steps = steps;
    const first = this.#epoch(0);
    this.rows = first.counting.length;
    this.truncated = first.truncated;
    if (steps > 0) return;
    throw new ConfigError(`no answer begins within the first ${options.seqLen} tokens of its dialog`, {
      mend: "Set seq_len higher, or give shorter dialogs.",
    });
  }

  /** @param step from 0 */
  of(step: number): MicroBatch[] {
    const epoch = this.#starts.findLastIndex((start) => start <= step);
    const lessons = this.#epoch(epoch);
    const from = (step - this.#starts[epoch]!) * this.#options.batchSize;
    const rows = lessons.counting.slice(from, from + this.#options.batchSize);
    return microBatches(lessons, rows, this.#options.microBatchSize);
  }

  /** None when nobody answers in them. */
  heldOut(): MicroBatch[] {
    if (this.#inputs.heldOut.length === 0) return [];
    const lessons = this.#pack(this.#inputs.heldOut, 0);
    return microBatches(lessons, lessons.counting, this.#options.microBatchSize);
  }

  #epoch(epoch: number): Lessons {
    if (this.#packed?.epoch !== epoch)
      this.#packed = { epoch, lessons: this.#pack(this.#inputs.examples, epoch) };
    return this.#packed.lessons;
  }

  #pack(examples: readonly Example[], epoch: number): Lessons {
    const { seqLen, seed } = this.#options;
    const packed = packExamples(examples, { seqLen, seed, epoch, padId: this.#inputs.tokenizer.eosId });
    const rows = Array.from({ length: packed.rows }, (_, row) => row);
    const counts = (row: number): boolean =>
      packed.weights.subarray(row * seqLen, (row + 1) * seqLen).some((weight) => weight !== 0);
    return { ...packed, counting: rows.filter(counts) };
  }
}

/** Rows in micro-batches; rows that are missing at the end count for nothing. */
function microBatches(packed: PackedRows, rows: readonly number[], size: number): MicroBatch[] {
  const { seqLen } = packed;
  const batches: MicroBatch[] = [];
  for (let first = 0; first < rows.length; first += size) {
    const batch = {
      tokens: new Int32Array(size * seqLen),
      targets: new Int32Array(size * seqLen),
      weights: new Float32Array(size * seqLen),
    };
    for (const [place, row] of rows.slice(first, first + size).entries()) {
      const [start, end] = [row * seqLen, (row + 1) * seqLen];
      batch.tokens.set(packed.tokens.subarray(start, end), place * seqLen);
      batch.targets.set(packed.targets.subarray(start, end), place * seqLen);
      batch.weights.set(packed.weights.subarray(start, end), place * seqLen);
    }
    batches.push(batch);
  }
  return batches;
}

function scheduleOf(
  { lr: peak, warmupRatio, minLrRatio }: SftOptions,
  steps: number,
): (step: number) => number {
  return cosineSchedule({ peak, warmupSteps: Math.ceil(steps * warmupRatio), steps, minRatio: minLrRatio });
}

function checkOptions({ batchSize, microBatchSize, epochs }: SftOptions): void {
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
