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
import { buildPass, type Pass, type PassRun } from "./pass.ts";

export interface TrainerOptions extends AdamWOptions {
  /** Sequences in a micro-batch. */
  readonly batch: number;
  /** Tokens in a sequence, at most; each length that occurs has a graph of its own, which is kept. */
  readonly seq: number;
  readonly precision: Precision;
  /**
   * Micro-batches that are computed side by side, each on its share of the threads and with gradients of its own. A
   * small model gains by it: threads that share a graph wait for each other at every node. It orders the sums of
   * gradients, so it belongs to a run as its seed does. 1 when left out.
   */
  readonly lanes?: number;
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
  /** By kind, lane and length. */
  readonly #passes = new Map<string, Pass<Batch>>();
  readonly #weights: LlamaWeights;
  readonly #backend: Backend;

  /** Trains all of `weights.byName`. The caller disposes it, before the weights. */
  constructor(backend: Backend, weights: LlamaWeights, objective: Objective<Batch>, options: TrainerOptions) {
    this.#backend = backend;
    this.#weights = weights;
    this.#objective = objective;
    this.#options = options;
    this.state = createAdamWState(backend, weights.byName, options.lanes);
    try {
      this.#optimizer = createAdamW(backend, weights.byName, this.state, options);
    } catch (error) {
      this.state[Symbol.dispose]();
      throw error;
    }
    try {
      // What does not fit into memory is known before the first step.
      for (let lane = 0; lane < this.#lanes; lane += 1) this.#pass("training", lane, options.seq);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Native memory beside the weights, in bytes. */
  get bytes(): number {
    return [...this.#passes.values()].reduce((bytes, pass) => bytes + pass.bytes, this.state.bytes);
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
    const run = await this.#runAll("training", batches, signal);
    return { ...run, norm: await this.#optimizer.gradientNorm() };
  }

  /** The objective of micro-batches, without gradients. */
  async evaluate(batches: readonly Batch[], signal?: AbortSignal): Promise<Run> {
    return this.#runAll("evaluation", batches, signal);
  }

  [Symbol.dispose](): void {
    for (const pass of this.#passes.values()) pass[Symbol.dispose]();
    this.#optimizer[Symbol.dispose]();
    this.state[Symbol.dispose]();
  }

  get #lanes(): number {
    return this.#options.lanes ?? 1;
  }

  async #runAll(kind: PassKind, batches: readonly Batch[], signal: AbortSignal | undefined): Promise<Run> {
    const total = batches.reduce((sum, batch) => sum + this.#objective.weightOf(batch), 0);
    if (total === 0) throw new ConfigError("no token of the batch counts towards the loss");
    const runs: PassRun[] = new Array(batches.length);
    const runLane = async (lane: number): Promise<void> => {
      for (let i = lane; i < batches.length; i += this.#lanes) {
        const seq = this.#objective.tokensOf(batches[i]!).length / this.#options.batch;
        runs[i] = await this.#pass(kind, lane, seq).run(batches[i]!, total, signal);
      }
    };
    const lanes = await Promise.allSettled(Array.from({ length: this.#lanes }, (_, lane) => runLane(lane)));
    // Only now: no lane may run on when the caller frees what it reads.
    for (const lane of lanes) if (lane.status === "rejected") throw lane.reason;
    const tokens = batches.reduce((sum, batch) => sum + this.#objective.tokensOf(batch).length, 0);
    // Summed in f32, as the losses of tokens are.
    const loss = runs.reduce((sum, run) => Math.fround(sum + run.loss), 0);
    return { loss, outputs: runs.map(({ outputs }) => outputs), tokens };
  }

  #pass(kind: PassKind, lane: number, seq: number): Pass<Batch> {
    const key = `${kind} ${lane} ${seq}`;
    const known = this.#passes.get(key);
    if (known !== undefined) return known;
    const { batch, precision, seq: longest } = this.#options;
    if (!Number.isInteger(seq) || seq < 1 || seq > longest) {
      throw new ConfigError(
        `a micro-batch of ${batch} sequences of ${seq} tokens is not one of at most ${longest}`,
      );
    }
    const laneGradients = [this.state.gradients, ...this.state.laneGradients][lane]!;
    const pass = buildPass(this.#backend, this.#weights, this.#objective, {
      batch,
      seq,
      precision,
      lane: { index: lane, of: this.#lanes },
      ...(kind === "training" ? { gradients: laneGradients } : {}),
    });
    this.#passes.set(key, pass);
    return pass;
  }
}

// --- internal ---

type PassKind = "training" | "evaluation";
