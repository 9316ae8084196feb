/**
 * AdamW (Loshchilov and Hutter 2019, algorithm 2) on f32 weights, with the gradient's global norm clipped.
 *
 *     m ← β₁ m + (1 - β₁) g        v ← β₂ v + (1 - β₂) g²
 *     θ ← θ - lr · (m̂ / (√v̂ + ε) + λ θ),   m̂ = m / (1 - β₁ᵗ),   v̂ = v / (1 - β₂ᵗ)
 *
 * Decay λ touches matrices only: not the gains of norms nor other one-dimensional tensors.
 */

import type { Backend } from "../engine/backend.ts";
import { createStorage, type Storage, type TensorSpec } from "./storage.ts";
import { Graph } from "./graph.ts";
import { addInto, mulScalar, sumOfSquares } from "./ops.ts";
import { shapeError } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Largest global gradient norm. */
  readonly gradClip: number;
}

/** What the optimiser keeps for each weight, by the weight's name. */
export interface AdamWState extends Disposable {
  readonly gradients: Readonly<Record<string, Tensor>>;
  /** First moments. */
  readonly m: Readonly<Record<string, Tensor>>;
  /** Second moments. */
  readonly v: Readonly<Record<string, Tensor>>;
  readonly bytes: number;
}

/** Takes three f32 tensors for each weight, all zero; the caller disposes it. */
export function createAdamWState(backend: Backend, weights: Readonly<Record<string, Tensor>>): AdamWState {
  const specs: Record<string, TensorSpec> = {};
  for (const [name, weight] of Object.entries(weights)) specs[name] = { shape: weight.shape };
  const parts: Storage[] = [];
  try {
    for (const part of ["gradients", "first moments", "second moments"])
      parts.push(createStorage(part, backend, specs));
  } catch (error) {
    for (const part of parts) part[Symbol.dispose]();
    throw error;
  }
  const [gradients, m, v] = parts as [Storage, Storage, Storage];
  return {
    gradients: gradients.tensors,
    m: m.tensors,
    v: v.tensors,
    bytes: parts.reduce((bytes, part) => bytes + part.bytes, 0),
    [Symbol.dispose]: () => {
      for (const part of parts) part[Symbol.dispose]();
    },
  };
}

export interface Optimizer extends Disposable {
  /** ‖g‖₂ over all gradients, as accumulated. */
  gradientNorm(signal?: AbortSignal): Promise<number>;
  /** Moves the weights by step `t` (from 1) with the given learning rate. Wants `gradientNorm` to have run. */
  update(lr: number, t: number, signal?: AbortSignal): Promise<void>;
  clearGradients(): void;
}

/** The graphs that measure the gradient and move the weights; the caller disposes it before the weights. */
export function createAdamW(
  backend: Backend,
  weights: Readonly<Record<string, Tensor>>,
  state: AdamWState,
  options: AdamWOptions,
): Optimizer {
  const names = Object.keys(weights);
  const capacity = names.length * 8 + 64;
  const norm = new Graph("gradient norm", backend, { capacity });
  const squares = norm.input([1]);
  for (const name of names) norm.effect(addInto(norm, squares, sumOfSquares(norm, state.gradients[name]!)));
  norm.allocate();

  const step = new Graph("AdamW", backend, { capacity });
  const clip = step.input([1]);
  const decayed = step.input([7]);
  const plain = step.input([7]);
  for (const name of names) {
    const weight = weights[name]!;
    const gradient = mulScalar(step, state.gradients[name]!, clip);
    const settings = weight.shape.length >= 2 ? decayed : plain;
    step.effect(adamwStep(step, weight, { gradient, m: state.m[name]!, v: state.v[name]!, settings }));
  }
  step.allocate();

  let lastNorm = 0;
  return {
    async gradientNorm(signal) {
      squares.clear();
      await norm.compute(signal);
      lastNorm = Math.sqrt(squares.readF32()[0]!);
      return lastNorm;
    },
    async update(lr, t, signal) {
      const { beta1, beta2, eps, weightDecay, gradClip } = options;
      clip.write(Float32Array.of(Math.min(1, gradClip / (lastNorm + 1e-12))));
      const corrections = [1 / (1 - beta1 ** t), 1 / (1 - beta2 ** t)];
      decayed.write(Float32Array.of(lr, beta1, beta2, eps, weightDecay, ...corrections));
      plain.write(Float32Array.of(lr, beta1, beta2, eps, 0, ...corrections));
      await step.compute(signal);
    },
    clearGradients() {
      for (const name of names) state.gradients[name]!.clear();
    },
    [Symbol.dispose]() {
      step[Symbol.dispose]();
      norm[Symbol.dispose]();
    },
  };
}

// --- internal ---

interface AdamWOperands {
  readonly gradient: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  /** lr, β₁, β₂, ε, λ, 1/(1-β₁ᵗ), 1/(1-β₂ᵗ). [7] */
  readonly settings: Tensor;
}

function adamwStep(g: Graph, weight: Tensor, { gradient, m, v, settings }: AdamWOperands): Tensor {
  for (const other of [gradient, m, v]) {
    if (other.elements !== weight.elements)
      throw shapeError("adamw", weight.shape, other.shape, "the sizes differ");
  }
  const { ggml } = g.backend.library;
  const ptr = ggml.optStepAdamw(g.reserve(), weight.ptr, gradient.ptr, m.ptr, v.ptr, settings.ptr);
  return g.node(ptr, weight.shape);
}
