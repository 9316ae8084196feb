/**
 * One training step, for every stage: gradients of an objective over micro-batches, then AdamW.
 */

import type { Backend } from "../tensor/backend.ts";
import {
  createAdamW,
  createAdamWState,
  type AdamWOptions,
  type AdamWState,
  type Optimizer,
} from "../tensor/adamw.ts";
import type { Precision } from "../tensor/graph.ts";
import type { LlamaWeights } from "../model/weights.ts";
import { ConfigError } from "../errors/errors.ts";
import type { Objective, Outputs } from "./objective.ts";
import { buildPass, type Pass } from "./pass.ts";

export interface TrainerOptions extends AdamWOptions {
  /** Sequences in a micro-batch. */
  readonly batch: number;
  /** Tokens in a sequence, at most; each length that occurs has a graph of its own, which is kept. */
  readonly seq: number;
  readonly precision: Precision;
}

export interface Run {
  /** Weighted mean over the micro-batches, in nats where the objective is. */
  readonly loss: number;
  /** What the objective reads of each micro-batch. */
  readonly outputs: readonly Outputs[];
  /** Tokens that were read. */
  readonly tokens: number;
}

export interface StepResult extends Run {
  /** ‖g‖₂ before clipping. */
  readonly gradientNorm: number;
  /** Whether the loss or the gradient was not finite, so that nothing was changed. */
  readonly isSkipped: boolean;
}

export class Trainer<Batch> implements Disposable {
  readonly state: AdamWState;
  readonly #options: TrainerOptions;
  readonly #optimizer: Optimizer;
  readonly #objective: Objective<Batch>;
  readonly #training = new Map<number, Pass<Batch>>();
  readonly #evaluation = new Map<number, Pass<Batch>>();
  readonly #weights: LlamaWeights;
  readonly #backend: Backend;

  /** Trains all of `weights.byName`. The caller disposes it, before the weights. */
  constructor(backend: Backend, weights: LlamaWeights, objective: Objective<Batch>, options: TrainerOptions) {
    this.#backend = backend;
    this.#weights = weights;
    this.#objective = objective;
    this.#options = options;
    this.state = createAdamWState(backend, weights.byName);
    try {
      this.#optimizer = createAdamW(backend, weights.byName, this.state, options);
    } catch (error) {
      this.state[Symbol.dispose]();
      throw error;
    }
    try {
      // What does not fit into memory is known before the first step.
      this.#pass(this.#training, options.seq);
    } catch (error) {
      this.#optimizer[Symbol.dispose]();
      this.state[Symbol.dispose]();
      throw error;
    }
  }

  /** Native memory beside the weights, in bytes. */
  get bytes(): number {
    const passes = [...this.#training.values(), ...this.#evaluation.values()];
    return passes.reduce((bytes, pass) => bytes + pass.bytes, this.state.bytes);
  }

  /**
   * Accumulates the gradients of some micro-batches and moves the weights: update `t`, from 1.
   * A loss or gradient that is not finite changes nothing.
   */
  async step(batches: readonly Batch[], lr: number, t: number, signal?: AbortSignal): Promise<StepResult> {
    const { norm, ...run } = await this.gradients(batches, signal);
    const isSkipped = !Number.isFinite(run.loss) || !Number.isFinite(norm);
    if (!isSkipped) await this.#optimizer.update(lr, t);
    return { ...run, gradientNorm: norm, isSkipped };
  }

  /** The first half of a step: `state.gradients` of the mean loss, unclipped. */
  async gradients(batches: readonly Batch[], signal?: AbortSignal): Promise<Run & { norm: number }> {
    this.#optimizer.clearGradients();
    const run = await this.#runAll(this.#training, batches, signal);
    return { ...run, norm: await this.#optimizer.gradientNorm() };
  }

  /** The objective of micro-batches, without gradients. */
  async evaluate(batches: readonly Batch[], signal?: AbortSignal): Promise<Run> {
    return this.#runAll(this.#evaluation, batches, signal);
  }

  [Symbol.dispose](): void {
    for (const passes of [this.#evaluation, this.#training])
      for (const pass of passes.values()) pass[Symbol.dispose]();
    this.#optimizer[Symbol.dispose]();
    this.state[Symbol.dispose]();
  }

  async #runAll(
    passes: Map<number, Pass<Batch>>,
    batches: readonly Batch[],
    signal: AbortSignal | undefined,
  ): Promise<Run> {
    const total = batches.reduce((sum, batch) => sum + this.#objective.weightOf(batch), 0);
    if (total === 0) throw new ConfigError("no token of the batch counts towards the loss");
    let loss = 0;
    const outputs: Outputs[] = [];
    for (const batch of batches) {
      const pass = this.#pass(passes, this.#objective.tokensOf(batch).length / this.#options.batch);
      const run = await pass.run(batch, total, signal);
      // Summed in f32, as the losses of tokens are.
      loss = Math.fround(loss + run.loss);
      outputs.push(run.outputs);
    }
    const tokens = batches.reduce((sum, batch) => sum + this.#objective.tokensOf(batch).length, 0);
    return { loss, outputs, tokens };
  }

  #pass(passes: Map<number, Pass<Batch>>, seq: number): Pass<Batch> {
    const known = passes.get(seq);
    if (known !== undefined) return known;
    const { batch, precision, seq: longest } = this.#options;
    if (!Number.isInteger(seq) || seq < 1 || seq > longest) {
      throw new ConfigError(
        `a micro-batch of ${batch} sequences of ${seq} tokens is not one of at most ${longest}`,
      );
    }
    const gradients = passes === this.#training ? { gradients: this.state.gradients } : {};
    const pass = buildPass(this.#backend, this.#weights, this.#objective, {
      batch,
      seq,
      precision,
      ...gradients,
    });
    passes.set(seq, pass);
    return pass;
  }
}
