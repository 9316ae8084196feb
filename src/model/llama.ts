/**
 * The Llama 2 transformer (Llama 2 §2.2; Touvron et al. 2023a §2.2):
 *
 *     h = E[tokens]
 *     h = h + wo · attention(rmsNorm(h))        for each layer
 *     h = h + w2 · (SiLU(w1 x) · w3 x),  x = rmsNorm(h)
 *     logits = head · rmsNorm(h)
 */

import type { Graph } from "../tensor/graph.ts";
import { matmul, operand } from "../tensor/matmul.ts";
import { add, mulGain, reshape, rmsNorm, rows, swiglu } from "../tensor/ops.ts";
import { rope, type Rotation } from "../tensor/rope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LlamaConfig } from "./config.ts";
import { dynamicTheta, frequencyDivisors } from "./rope-scaling.ts";
import type { LayerWeights, LlamaWeights } from "./weights.ts";

/** Queries, keys and values of one layer, rotated. */
export interface AttentionInputs {
  /** `[batch, seq, heads, headDim]` */
  readonly q: Tensor;
  /** `[batch, seq, kvHeads, headDim]` */
  readonly k: Tensor;
  /** `[batch, seq, kvHeads, headDim]` */
  readonly v: Tensor;
  readonly layer: number;
}

export interface Pass {
  readonly batch: number;
  readonly seq: number;
  /** i32 `[batch · seq]` */
  readonly tokens: Tensor;
  /** i32 `[seq]` */
  readonly positions: Tensor;
  /** How queries meet keys and values: in full, or through a cache. -> `[batch · seq, heads · headDim]` */
  readonly attend: (inputs: AttentionInputs) => Tensor;
  /** Rows whose final states are wanted; the last layer computes no others after its attention. i32 `[wanted]` */
  readonly wanted?: Tensor;
  /** Longest context that the positions are part of, for dynamic RoPE; the model's own when left out. */
  readonly contextTokens?: number;
}

/** The states before the output head, normalised. `[batch · seq, dim]`, or `[wanted, dim]` */
export function finalStates(g: Graph, weights: LlamaWeights, pass: Pass): Tensor {
  const { config } = weights;
  const rotation = rotationOf(g, config, pass.contextTokens ?? config.maxSeqLen);
  let h = rows(g, weights.embedding, pass.tokens);
  for (const [i, layer] of weights.layers.entries()) {
    const inputs = attentionInputs(g, normalised(g, h, layer.attentionNorm, config), {
      layer,
      config,
      pass,
      rotation,
      i,
    });
    let mixed = pass.attend(inputs);
    if (pass.wanted !== undefined && i === config.nLayers - 1) {
      mixed = rows(g, mixed, pass.wanted);
      h = rows(g, h, pass.wanted);
    }
    h = add(g, h, matmul(g, mixed, layer.wo));
    h = add(g, h, feedForward(g, normalised(g, h, layer.ffnNorm, config), layer));
  }
  return normalised(g, h, weights.norm, config);
}

// --- internal ---

interface LayerContext {
  readonly layer: LayerWeights;
  readonly config: LlamaConfig;
  readonly pass: Pass;
  readonly rotation: Rotation;
  readonly i: number;
}

/** How heads turn, in this graph. */
function rotationOf(g: Graph, config: LlamaConfig, contextTokens: number): Rotation {
  const theta = dynamicTheta(config, contextTokens);
  const divisors = frequencyDivisors(config);
  if (divisors !== undefined) {
    return { theta, divisors: g.constant(Float32Array.from(divisors), [divisors.length]) };
  }
  const { ropeScaling } = config;
  if (ropeScaling?.type === "linear") return { theta, factor: ropeScaling.factor };
  if (ropeScaling?.type !== "yarn") return { theta };
  const { factor, attentionFactor: attention } = ropeScaling;
  return { theta, factor, yarn: { ...ropeScaling, attention } };
}

function normalised(g: Graph, h: Tensor, gain: Tensor, config: LlamaConfig): Tensor {
  return mulGain(g, rmsNorm(g, h, config.normEps), gain);
}

function attentionInputs(g: Graph, x: Tensor, context: LayerContext): AttentionInputs {
  const { layer, config, pass, rotation, i } = context;
  const { nHeads, nKvHeads, headDim } = config;
  shareOperand(g, x);
  const heads = (w: Tensor, count: number): Tensor =>
    reshape(g, matmul(g, x, w), [pass.batch, pass.seq, count, headDim]);
  return {
    q: rope(g, heads(layer.wq, nHeads), pass.positions, rotation),
    k: rope(g, heads(layer.wk, nKvHeads), pass.positions, rotation),
    v: heads(layer.wv, nKvHeads),
    layer: i,
  };
}

function feedForward(g: Graph, x: Tensor, { w1, w2, w3 }: LayerWeights): Tensor {
  shareOperand(g, x);
  return matmul(g, swiglu(g, matmul(g, x, w1), matmul(g, x, w3)), w2);
}

/** Several products take x: cast it once, not once in each. */
function shareOperand(g: Graph, x: Tensor): void {
  operand(g, x);
}
