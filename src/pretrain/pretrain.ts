/**
 * Pretraining (Llama 2 §2.2): next-token loss over packed documents, AdamW, cosine schedule. The run is a folder of
 * checkpoints; started again, it goes on after the newest one, bit for bit.
 */

import { join } from "node:path";
import { createLoader, type Loader, type LoaderState } from "../corpus/loader.ts";
import { createRandom } from "../corpus/random.ts";
import type { TokenShards } from "../corpus/shards.ts";
import { FormatError } from "../errors/errors.ts";
import type { LlamaConfig } from "../model/config.ts";
import { initialise } from "../model/initialise.ts";
import { createWeights, type LlamaWeights, type OwnedWeights } from "../model/weights.ts";
import type { AdamWOptions } from "../tensor/adamw.ts";
import type { Backend } from "../tensor/backend.ts";
import type { Precision } from "../tensor/graph.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import {
  latestCheckpoint,
  loadCheckpointWeights,
  pruneCheckpoints,
  readRunState,
  restoreOptimizer,
} from "../train/checkpoint.ts";
import { trainSteps, type StepReport } from "../train/loop.ts";
import { createSaver, type Saver } from "../train/saver.ts";
import { cosineSchedule } from "../train/schedule.ts";
import { nextToken, type MicroBatch } from "../train/next-token.ts";
import { Trainer } from "../train/step.ts";
import { validationLoss, type ValidationLoss } from "../train/validation.ts";

export interface PretrainOptions extends AdamWOptions {
  readonly config: LlamaConfig;
  /** Sequences in a micro-batch. */
  readonly batchSize: number;
  readonly seqLen: number;
  /** Micro-batches in a step. */
  readonly gradientAccumulation: number;
  readonly steps: number;
  readonly lr: number;
  readonly warmupSteps: number;
  readonly minLrRatio: number;
  readonly precision: Precision;
  /** Micro-batches that are computed side by side. */
  readonly lanes: number;
  readonly seed: number;
  /** Standard deviation of fresh weights. */
  readonly initStd: number;
  /** In steps; 0 for at the end only. */
  readonly validationEvery: number;
  /** In steps; 0 for at the end only. */
  readonly checkpointEvery: number;
  readonly keepCheckpoints: number;
  /** In steps; 0 for never. */
  readonly sampleEvery: number;
}

export interface PretrainInputs {
  readonly backend: Backend;
  readonly train: TokenShards;
  readonly validation: TokenShards | undefined;
  readonly tokenizer: Tokenizer;
  /** Where checkpoints are kept. */
  readonly folder: string;
  readonly onEvent: (event: PretrainEvent) => void;
  /** Writes texts with the weights of a step, which it must not change. */
  readonly sample?: (weights: LlamaWeights, step: number) => Promise<void>;
  readonly signal?: AbortSignal;
}

export type PretrainEvent =
  /** A checkpoint was found, and the run goes on after it. */
  | { readonly type: "resumed"; readonly step: number; readonly checkpoint: string }
  | { readonly type: "started"; readonly parameterBytes: number; readonly nativeBytes: number }
  | ({ readonly type: "step" } & StepReport)
  | ({ readonly type: "validation"; readonly step: number } & ValidationLoss)
  | { readonly type: "checkpoint"; readonly step: number; readonly checkpoint: string };

/**
 * @returns the last checkpoint's directory.
 * @throws the signal's reason when it is aborted, after a checkpoint of the last finished step.
 */
export async function pretrain(options: PretrainOptions, inputs: PretrainInputs): Promise<string> {
  const { backend, folder, onEvent, signal } = inputs;
  const resumed = latestCheckpoint(folder);
  const state = resumed === undefined ? undefined : pretrainState(resumed);
  if (resumed !== undefined && state !== undefined) {
    onEvent({ type: "resumed", step: state.step, checkpoint: resumed });
    // A process that was killed between writing a checkpoint and deleting the oldest left one too many.
    pruneCheckpoints(folder, options.keepCheckpoints);
    if (state.step >= options.steps && state.owesValidation !== true) return resumed;
  }
  using weights = openInitial(backend, options, resumed);
  using trainer = new Trainer(backend, weights, nextToken, {
    ...options,
    batch: options.batchSize,
    seq: options.seqLen,
  });
  if (resumed !== undefined) restoreOptimizer(resumed, trainer.state);
  const loader = createLoader(inputs.train, options, state?.loader);
  onEvent({ type: "started", parameterBytes: weights.bytes, nativeBytes: weights.bytes + trainer.bytes });
  const saver = createSaver({
    ...inputs,
    keepCheckpoints: options.keepCheckpoints,
    weights,
    optimizer: trainer.state,
    // One that owes its validation is written again when that is made.
    resumed: state?.owesValidation === true ? undefined : resumed,
    onSaved: (checkpoint, step) => onEvent({ type: "checkpoint", step, checkpoint }),
  });
  const run = new Run(options, inputs, { weights, trainer, loader, state, saver });
  return await run.toEnd(signal);
}

/**
 * How many steps fit into a time: measures gradients of a few micro-batches of zeros, which costs about as long as
 * real ones, and leaves the weights alone.
 */
export async function stepsInTime(
  options: PretrainOptions,
  backend: Backend,
  seconds: number,
): Promise<number> {
  using weights = openInitial(backend, options, undefined);
  using trainer = new Trainer(backend, weights, nextToken, {
    ...options,
    batch: options.batchSize,
    seq: options.seqLen,
  });
  const zeros = new Int32Array(options.batchSize * options.seqLen);
  const batch = { tokens: zeros, targets: zeros };
  await trainer.step([batch], 0, 1);
  const accumulated = Array.from({ length: options.gradientAccumulation }, () => batch);
  const times: number[] = [];
  const start = performance.now();
  while (times.length < 5 || performance.now() - start < measuredMs) {
    const before = performance.now();
    await trainer.step(accumulated, 0, 1);
    times.push(performance.now() - before);
  }
  // The mean: what else a machine does now it will mostly do for the whole run.
  const stepMs = times.reduce((sum, ms) => sum + ms, 0) / times.length;
  return Math.max(1, Math.floor((1000 * seconds) / stepMs));
}

// --- internal ---

/** How long steps are timed for. */
const measuredMs = 8000;

/** What `run.json` keeps of a pretraining run. */
interface PretrainState {
  readonly step: number;
  readonly updates: number;
  readonly loader: LoaderState;
  /** The run was interrupted in the validation of its last step. */
  readonly owesValidation?: boolean;
}

interface RunParts {
  readonly weights: OwnedWeights;
  readonly trainer: Trainer<MicroBatch>;
  readonly loader: Loader;
  readonly state: PretrainState | undefined;
  readonly saver: Saver;
}

class Run {
  readonly #options: PretrainOptions;
  readonly #inputs: PretrainInputs;
  readonly #parts: RunParts;
  #state: PretrainState;

  constructor(options: PretrainOptions, inputs: PretrainInputs, parts: RunParts) {
    this.#options = options;
    this.#inputs = inputs;
    this.#parts = parts;
    this.#state = parts.state ?? { step: 0, updates: 0, loader: parts.loader.state };
  }

  async toEnd(signal: AbortSignal | undefined): Promise<string> {
    const { trainer, loader } = this.#parts;
    const { steps, lr: peak, warmupSteps, minLrRatio, gradientAccumulation } = this.#options;
    const plan = {
      done: this.#state,
      steps,
      lr: cosineSchedule({ peak, warmupSteps, steps, minRatio: minLrRatio }),
      next: () => Array.from({ length: gradientAccumulation }, () => loader.next()),
      lastCheckpoint: () => this.#parts.saver.last,
    };
    try {
      for await (const report of trainSteps(trainer, plan, signal)) {
        const { step, updates } = report;
        this.#state = { step, updates, loader: loader.state };
        if (step === steps) this.#state = { ...this.#state, owesValidation: true };
        this.#inputs.onEvent({ type: "step", ...report });
        await this.#betweenSteps(step, signal);
      }
      if (this.#state.owesValidation === true) await this.#validate(Number.POSITIVE_INFINITY, signal);
    } catch (error) {
      // An interrupted run keeps what it has learnt; a diverged one keeps its last good checkpoint.
      if (signal?.aborted === true) this.#save();
      throw error;
    }
    return this.#save();
  }

  async #betweenSteps(step: number, signal: AbortSignal | undefined): Promise<void> {
    const { validationEvery, checkpointEvery, sampleEvery, steps } = this.#options;
    if (isDue(step, sampleEvery)) await this.#inputs.sample?.(this.#parts.weights, step);
    // The last step's come after the loop.
    if (step === steps) return;
    // Windows overlap by half.
    const windows = Math.ceil((2 * tokensBetween) / this.#options.seqLen);
    if (isDue(step, validationEvery)) await this.#validate(windows, signal);
    if (isDue(step, checkpointEvery)) this.#save();
  }

  async #validate(windows: number, signal: AbortSignal | undefined): Promise<void> {
    const { validation, onEvent } = this.#inputs;
    const { owesValidation: _, ...state } = this.#state;
    if (validation !== undefined) {
      const size = { batch: this.#options.batchSize, seq: this.#options.seqLen, windows };
      const loss = await validationLoss(this.#parts.trainer, validation, size, signal);
      onEvent({ type: "validation", step: state.step, ...loss });
    }
    this.#state = state;
  }

  #save(): string {
    return this.#parts.saver.save({ stage: "pretrain", ...this.#state });
  }
}

/** While training goes on, about so many tokens spread over the validation text are enough. */
const tokensBetween = 16_384;

function isDue(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}

function openInitial(
  backend: Backend,
  options: PretrainOptions,
  checkpoint: string | undefined,
): OwnedWeights {
  if (checkpoint !== undefined) return loadCheckpointWeights(backend, checkpoint);
  const weights = createWeights(backend, options.config);
  const random = createRandom(options.seed);
  initialise(weights, () => random.next(), options.initStd);
  return weights;
}

function pretrainState(checkpoint: string): PretrainState {
  const state = readRunState(checkpoint);
  if (
    state["stage"] === "pretrain" &&
    typeof state["updates"] === "number" &&
    typeof state["loader"] === "object" &&
    state["loader"] !== null
  ) {
    return state as unknown as PretrainState;
  }
  throw new FormatError("this is not the checkpoint of a pretraining run", {
    file: join(checkpoint, "run.json"),
    mend: "Choose another --name.",
  });
}
