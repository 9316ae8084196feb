/**
 * The frozen policy π₀ that the KL is measured to. Its log-probabilities come from the same graph as the policy's, so
 * that a policy that has not moved has a KL of exactly 0.
 */

import { loadMasterWeights, openWeights, type ModelFiles } from "../model/load.ts";
import type { LlamaWeights, OwnedWeights } from "../model/weights.ts";
import type { Backend } from "../tensor/backend.ts";
import type { Precision } from "../tensor/graph.ts";
import { buildPass, type Pass } from "../train/pass.ts";
import { policyObjective } from "./objective.ts";
import { blankBatch, type PpoBatch, type Sequences } from "./sequences.ts";

export interface ReferenceOptions {
  /** Sequences in a micro-batch. */
  readonly batch: number;
  readonly precision: Precision;
  readonly temperature: number;
}

/** The caller disposes it, before the weights. */
export class Reference implements Disposable {
  readonly #backend: Backend;
  readonly #weights: LlamaWeights;
  readonly #options: ReferenceOptions;
  readonly #passes = new Map<number, Pass<PpoBatch>>();

  constructor(backend: Backend, weights: LlamaWeights, options: ReferenceOptions) {
    this.#backend = backend;
    this.#weights = weights;
    this.#options = options;
  }

  /** log π₀ of the targets, by micro-batch. `[batch · seq]` each */
  async logprobs(batches: readonly Sequences[], signal?: AbortSignal): Promise<Float32Array[]> {
    const all: Float32Array[] = [];
    for (const sequences of batches) {
      const pass = this.#pass(sequences.tokens.length / this.#options.batch);
      const { outputs } = await pass.run(blankBatch(sequences), 1, signal);
      all.push(outputs["logprobs"]!);
    }
    return all;
  }

  [Symbol.dispose](): void {
    for (const pass of this.#passes.values()) pass[Symbol.dispose]();
    this.#passes.clear();
  }

  #pass(seq: number): Pass<PpoBatch> {
    const known = this.#passes.get(seq);
    if (known !== undefined) return known;
    const { batch, precision, temperature } = this.#options;
    const objective = policyObjective({ epsilon: Infinity, temperature });
    const pass = buildPass(this.#backend, this.#weights, objective, { batch, seq, precision });
    this.#passes.set(seq, pass);
    return pass;
  }
}

/**
 * Weights of the reference, mapped from the file where products read them as they read the policy's f32, else copied;
 * the caller disposes them.
 */
export function openReferenceWeights(
  backend: Backend,
  files: ModelFiles,
  precision: Precision,
): OwnedWeights {
  return isMappable(files, precision) ? openWeights(backend, files) : loadMasterWeights(backend, files);
}

/**
 * f32 as it lies there. Products in bf16 round f32 weights, and those of a bf16 file are rounded already; but where an
 * inner dimension is not one of bf16's, the policy multiplies in f32.
 */
export function isMappable({ tensors, config }: ModelFiles, precision: Precision): boolean {
  const types = new Set([...tensors.values()].map(({ type }) => type));
  const isWide = [config.dim, config.hiddenDim, config.nHeads * config.headDim].every((n) => n % 32 === 0);
  return [...types].every((type) => type === "f32" || (type === "bf16" && precision === "bf16" && isWide));
}
