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
  /** Gradients of the lanes but the first, which `gradientNorm` adds to those. */
  readonly laneGradients: readonly Readonly<Record<string, Tensor>>[];
  /** First moments. */
  readonly m: Readonly<Record<string, Tensor>>;
  /** Second moments. */
  readonly v: Readonly<Record<string, Tensor>>;
  readonly bytes: number;
}

/** Takes three f32 tensors for each weight, and one more for each further lane, all zero; the caller disposes it. */
export function createAdamWState(
  backend: Backend,
  weights: Readonly<Record<string, Tensor>>,
  lanes = 1,
): AdamWState {
  const specs: Record<string, TensorSpec> = {};
  for (const [name, weight] of Object.entries(weights)) specs[name] = { shape: weight.shape };
  const parts: Storage[] = [];
  try {
    const further = Array.from({ length: lanes - 1 }, (_, i) => `gradients of lane ${i + 1}`);
    for (const part of ["gradients", "first moments", "second moments", ...further])
      parts.push(createStorage(part, backend, specs));
  } catch (error) {
    for (const part of parts) part[Symbol.dispose]();
    throw error;
  }
  const [gradients, m, v, ...laneGradients] = parts as [Storage, Storage, Storage, ...Storage[]];
  return {
    gradients: gradients.tensors,
    laneGradients: laneGradients.map(({ tensors }) => tensors),
    m: m.tensors,
    v: v.tensors,
    bytes: parts.reduce((bytes, part) => bytes + part.bytes, 0),
    [Symbol.dispose]: () => {
      for (const part of parts) part[Symbol.dispose]();
    },
  };
}

export interface Optimizer extends Disposable {
  /** ‖g‖₂ over all gradients, as accumulated, when the lanes' are added up. */
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
  const capacity = Object.keys(weights).length * 8 + 64;
  const graphs: Graph[] = [];
  const newGraph = (name: string): Graph => {
    const graph = new Graph(name, backend, { capacity });
    graphs.push(graph);
    return graph;
  };
  const dispose = (): void => {
    for (const graph of graphs.toReversed()) graph[Symbol.dispose]();
  };
  try {
    const norm = buildNorm(newGraph("gradient norm"), state);
    const step = buildStep(newGraph("AdamW"), weights, state);
    return optimizerOf({ norm, step, options, dispose, state });
  } catch (error) {
    dispose();
    throw error;
  }
}

// --- internal ---

interface NormGraph {
  readonly graph: Graph;
  /** Σ g². [1] */
  readonly squares: Tensor;
}

function buildNorm(graph: Graph, state: AdamWState): NormGraph {
  const squares = graph.input([1]);
  for (const [name, gradient] of Object.entries(state.gradients)) {
    let sum = gradient;
    for (const lane of state.laneGradients) sum = graph.effect(addInto(graph, sum, lane[name]!));
    graph.effect(addInto(graph, squares, sumOfSquares(graph, sum)));
  }
  graph.allocate();
  return { graph, squares };
}

interface StepGraph {
  readonly graph: Graph;
  /** What gradients are multiplied by. [1] */
  readonly clip: Tensor;
  /** Settings of tensors that decay. [7] */
  readonly decayed: Tensor;
  /** Settings of those that do not. [7] */
  readonly plain: Tensor;
}

function buildStep(graph: Graph, weights: Readonly<Record<string, Tensor>>, state: AdamWState): StepGraph {
  const clip = graph.input([1]);
  const decayed = graph.input([7]);
  const plain = graph.input([7]);
  for (const [name, weight] of Object.entries(weights)) {
    const gradient = mulScalar(graph, state.gradients[name]!, clip);
    const settings = weight.shape.length >= 2 ? decayed : plain;
    graph.effect(adamwStep(graph, weight, { gradient, m: state.m[name]!, v: state.v[name]!, settings }));
  }
  graph.allocate();
  return { graph, clip, decayed, plain };
}

interface OptimizerParts {
  readonly norm: NormGraph;
  readonly step: StepGraph;
  readonly options: AdamWOptions;
  readonly state: AdamWState;
  readonly dispose: () => void;
}

function optimizerOf({ norm, step, options, state, dispose }: OptimizerParts): Optimizer {
  let lastNorm = 0;
  return {
    async gradientNorm(signal) {
      norm.squares.clear();
      await norm.graph.compute(signal);
      lastNorm = Math.sqrt(norm.squares.readF32()[0]!);
      return lastNorm;
    },
    async update(lr, t, signal) {
      const { beta1, beta2, eps, weightDecay, gradClip } = options;
      step.clip.write(Float32Array.of(Math.min(1, gradClip / (lastNorm + 1e-12))));
      const corrections = [1 / (1 - beta1 ** t), 1 / (1 - beta2 ** t)];
      step.decayed.write(Float32Array.of(lr, beta1, beta2, eps, weightDecay, ...corrections));
      step.plain.write(Float32Array.of(lr, beta1, beta2, eps, 0, ...corrections));
      await step.graph.compute(signal);
    },
    clearGradients() {
      for (const gradients of [state.gradients, ...state.laneGradients])
        for (const gradient of Object.values(gradients)) gradient.clear();
    },
    [Symbol.dispose]: dispose,
  };
}

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
