/**
 * The oracle's ops as a table: what they take, what they give, and their gradients. The engine's ops are checked
 * against it row by row; `equations.test.ts` checks the rows themselves against differences.
 *
 * What an op takes besides numbers to differentiate by (indices, a mask, an ε) is fixed, in `settings`.
 */

import { attention, attentionBackward, causalMask, type AttentionInputs } from "./attention.ts";
import * as equations from "./equations.ts";

export interface Op {
  readonly name: string;
  /** Of the inputs, outermost dimension first. */
  readonly shapes: readonly (readonly number[])[];
  readonly outputShape: readonly number[];
  readonly forward: (inputs: readonly Float64Array[]) => Float64Array;
  /** Gradients by each input of Σ dy · y. */
  readonly backward: (inputs: readonly Float64Array[], dy: Float64Array) => readonly Float64Array[];
}

export const settings = {
  /** Large enough that leaving it out shows. */
  rmsNorm: { eps: 0.125 },
  softmax: { mask: causalMask(4), scale: 0.5 },
  /** Not from 0, and not in steps of one: a position counts, not a row. */
  rope: { positions: [3, 4, 5, 7, 11], headDim: 4, base: 10_000 },
  /** One row twice, two never. */
  embedding: { indices: [4, 0, 4, 1] },
  /** One row that does not count. */
  crossEntropy: { targets: [2, 0, 4, 2], weights: [1, 0, 0.5, 2] },
  /** Normal numbers lie on both sides of each. */
  clamp: { low: -0.5, high: 0.25 },
  attention: { nHeads: 4, nKvHeads: 2, headDim: 4 },
} as const;

export const ops: readonly Op[] = [
  {
    name: "matmul",
    shapes: [
      [3, 4],
      [5, 4],
    ],
    outputShape: [3, 5],
    forward: ([x, w]) => equations.matmul(x!, w!, 4),
    backward: ([x, w], dy) => equations.matmulBackward(x!, w!, 4, dy),
  },
  {
    name: "add",
    shapes: [
      [3, 4],
      [3, 4],
    ],
    outputShape: [3, 4],
    forward: ([a, b]) => equations.add(a!, b!),
    backward: (_, dy) => [dy, dy],
  },
  {
    name: "mul",
    shapes: [
      [3, 4],
      [3, 4],
    ],
    outputShape: [3, 4],
    forward: ([a, b]) => equations.mul(a!, b!),
    backward: ([a, b], dy) => [equations.mul(dy, b!), equations.mul(dy, a!)],
  },
  {
    name: "sub",
    shapes: [
      [3, 4],
      [3, 4],
    ],
    outputShape: [3, 4],
    forward: ([a, b]) => a!.map((value, i) => value - b![i]!),
    backward: (_, dy) => [dy, scaled(dy, Float64Array.of(-1))],
  },
  {
    name: "softplus",
    shapes: [[3, 4]],
    outputShape: [3, 4],
    forward: ([x]) => equations.softplus(x!),
    backward: ([x], dy) => [equations.softplusBackward(x!, dy)],
  },
  {
    name: "exp",
    shapes: [[3, 4]],
    outputShape: [3, 4],
    forward: ([x]) => x!.map((value) => Math.exp(value)),
    backward: ([x], dy) => [dy.map((value, i) => value * Math.exp(x![i]!))],
  },
  {
    name: "clamp",
    shapes: [[3, 4]],
    outputShape: [3, 4],
    forward: ([x]) => x!.map((value) => Math.min(Math.max(value, settings.clamp.low), settings.clamp.high)),
    backward: ([x], dy) => [where(dy, (i) => x![i]! > settings.clamp.low && x![i]! < settings.clamp.high)],
  },
  {
    name: "minimum",
    shapes: [
      [3, 4],
      [3, 4],
    ],
    outputShape: [3, 4],
    forward: ([a, b]) => a!.map((value, i) => Math.min(value, b![i]!)),
    backward: ([a, b], dy) => [where(dy, (i) => a![i]! < b![i]!), where(dy, (i) => a![i]! > b![i]!)],
  },
  {
    name: "maximum",
    shapes: [
      [3, 4],
      [3, 4],
    ],
    outputShape: [3, 4],
    forward: ([a, b]) => a!.map((value, i) => Math.max(value, b![i]!)),
    backward: ([a, b], dy) => [where(dy, (i) => a![i]! > b![i]!), where(dy, (i) => a![i]! < b![i]!)],
  },
  {
    name: "silu",
    shapes: [[3, 4]],
    outputShape: [3, 4],
    forward: ([x]) => equations.silu(x!),
    backward: ([x], dy) => [equations.siluBackward(x!, dy)],
  },
  {
    name: "swiglu",
    shapes: [
      [3, 4],
      [3, 4],
    ],
    outputShape: [3, 4],
    forward: ([gate, up]) => equations.swiglu(gate!, up!),
    backward: ([gate, up], dy) => equations.swigluBackward(gate!, up!, dy),
  },
  {
    name: "rmsNorm",
    shapes: [[3, 8], [8]],
    outputShape: [3, 8],
    forward: ([x, gain]) => equations.rmsNorm(x!, gain!, settings.rmsNorm.eps),
    backward: ([x, gain], dy) => equations.rmsNormBackward(x!, gain!, settings.rmsNorm.eps, dy),
  },
  {
    name: "softmax",
    shapes: [[2, 2, 4, 4]],
    outputShape: [2, 2, 4, 4],
    forward: ([x]) => maskedSoftmax(x!),
    backward: ([x], dy) => [equations.softmaxBackward(maskedSoftmax(x!), dy, settings.softmax.scale, 4)],
  },
  {
    name: "rope",
    shapes: [[5, 2, 4]],
    outputShape: [5, 2, 4],
    forward: ([x]) => equations.rope(x!, settings.rope),
    backward: (_, dy) => [equations.ropeBackward(dy, settings.rope)],
  },
  {
    name: "attention",
    shapes: [
      [5, 4, 4],
      [5, 2, 4],
      [5, 2, 4],
    ],
    outputShape: [5, 4, 4],
    forward: (inputs) => attention(attentionInputs(inputs), settings.attention),
    backward: (inputs, dy) => {
      const { q, k, v } = attentionBackward(attentionInputs(inputs), settings.attention, dy);
      return [q, k, v];
    },
  },
  {
    name: "embedding",
    shapes: [[6, 3]],
    outputShape: [4, 3],
    forward: ([table]) => equations.embedding(table!, settings.embedding.indices, 3),
    backward: ([table], dy) => [equations.embeddingBackward(table!, settings.embedding.indices, dy)],
  },
  {
    name: "crossEntropy",
    shapes: [[4, 5]],
    outputShape: [1],
    forward: ([logits]) => Float64Array.of(equations.crossEntropy(logits!, settings.crossEntropy)),
    backward: ([logits], dy) => [scaled(equations.crossEntropyBackward(logits!, settings.crossEntropy), dy)],
  },
  {
    name: "tokenLogprobs",
    shapes: [
      [4, 3],
      [5, 3],
    ],
    outputShape: [4],
    forward: ([x, head]) =>
      equations
        .negativeLogLikelihood(equations.matmul(x!, head!, 3), settings.crossEntropy.targets)
        .map((value) => -value),
    backward: ([x, head], dy) => {
      const logits = equations.matmul(x!, head!, 3);
      const dLogits = equations.logprobsBackward(logits, settings.crossEntropy.targets, dy);
      return equations.matmulBackward(x!, head!, 3, dLogits);
    },
  },
  {
    name: "sum",
    shapes: [[3, 4]],
    outputShape: [1],
    forward: ([x]) => Float64Array.of(equations.sum(x!)),
    backward: ([x], dy) => [new Float64Array(x!.length).fill(dy[0]!)],
  },
];

// --- internal ---

function maskedSoftmax(x: Float64Array): Float64Array {
  return equations.softmax(x, settings.softmax.mask, settings.softmax.scale, 4);
}

function attentionInputs([q, k, v]: readonly Float64Array[]): AttentionInputs {
  return { q: q!, k: k!, v: v! };
}

/** dy where the condition holds, else 0. */
function where(dy: Float64Array, isOn: (i: number) => boolean): Float64Array {
  return dy.map((value, i) => (isOn(i) ? value : 0));
}

function scaled(x: Float64Array, factor: Float64Array): Float64Array {
  return x.map((value) => value * factor[0]!);
}
