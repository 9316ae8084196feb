/**
 * Llama in slow float64: one sequence forward, and backward by hand. The engine must agree with it.
 *
 *     h ← E[tokens]
 *     each layer:  h ← h + Wo attention(RoPE(Wq n), RoPE(Wk n), Wv n),   n = RMSNorm(h)
 *                  h ← h + W2 (SiLU(W1 n) · W3 n),                       n = RMSNorm(h)
 *     logits = Wout RMSNorm(h)
 *
 * Sources: Llama 1 §2.2, Llama 2 §2.2 and A.2.1. Weights have the names, shapes and rotary order of Meta's releases.
 */

import type { LlamaConfig } from "../../src/model/config.ts";
import { attention, attentionBackward, type AttentionInputs } from "./attention.ts";
import {
  add,
  crossEntropy,
  crossEntropyBackward,
  embedding,
  embeddingBackward,
  matmul,
  matmulBackward,
  rmsNorm,
  rmsNormBackward,
  rope,
  ropeBackward,
  swiglu,
  swigluBackward,
  type Rotation,
} from "./equations.ts";
import { normals, randomArray } from "./random.ts";

export type Weights = Readonly<Record<string, Float64Array>>;

/** Every weight's name and shape, outermost dimension first. No `output.weight` when the head is tied. */
export function weightShapes(config: LlamaConfig): Readonly<Record<string, readonly number[]>> {
  const { dim, hiddenDim, vocabSize } = config;
  const [queries, keys] = [config.nHeads * config.headDim, config.nKvHeads * config.headDim];
  const shapes: Record<string, readonly number[]> = { "tok_embeddings.weight": [vocabSize, dim] };
  for (let layer = 0; layer < config.nLayers; layer += 1) {
    const at = `layers.${layer}.`;
    shapes[`${at}attention_norm.weight`] = [dim];
    shapes[`${at}attention.wq.weight`] = [queries, dim];
    shapes[`${at}attention.wk.weight`] = [keys, dim];
    shapes[`${at}attention.wv.weight`] = [keys, dim];
    shapes[`${at}attention.wo.weight`] = [dim, queries];
    shapes[`${at}ffn_norm.weight`] = [dim];
    shapes[`${at}feed_forward.w1.weight`] = [hiddenDim, dim];
    shapes[`${at}feed_forward.w2.weight`] = [dim, hiddenDim];
    shapes[`${at}feed_forward.w3.weight`] = [hiddenDim, dim];
  }
  shapes["norm.weight"] = [dim];
  if (!config.isTied) shapes["output.weight"] = [vocabSize, dim];
  return shapes;
}

/**
 * Weights that f32 holds exactly. Gains lie near 1; matrices have deviation 1/2√columns, so that no part of the
 * gradient is lost in the rest.
 */
export function randomWeights(config: LlamaConfig, seed: number): Weights {
  const next = normals(seed);
  const weights: Record<string, Float64Array> = {};
  for (const [name, shape] of Object.entries(weightShapes(config))) {
    const [rows, columns] = [shape[0]!, shape[1]];
    weights[name] =
      columns === undefined
        ? randomArray(rows, () => 1 + next() / 8)
        : randomArray(rows * columns, next, 0.5 / Math.sqrt(columns));
  }
  return weights;
}

/** Logits of one sequence from position 0. `[seq, vocab]` */
export function forward(config: LlamaConfig, weights: Weights, tokens: ArrayLike<number>): Float64Array {
  return run(config, weights, tokens).logits;
}

/**
 * Σ wᵢ nllᵢ / Σ wᵢ, in nats, and its gradient by every weight. With no weight anywhere, both are zero.
 *
 * @param targets     what each position should predict. `[seq]`
 * @param lossWeights `[seq]`
 */
export function lossAndGradients(
  config: LlamaConfig,
  weights: Weights,
  tokens: ArrayLike<number>,
  targets: ArrayLike<number>,
  lossWeights: ArrayLike<number>,
): { readonly loss: number; readonly gradients: Record<string, Float64Array> } {
  const total = Array.from(lossWeights).reduce((a, b) => a + b, 0);
  const wanted = {
    targets,
    weights: Array.from(lossWeights, (weight) => (total === 0 ? 0 : weight / total)),
  };
  const { dim } = config;
  const { logits, layers, h } = run(config, weights, tokens);
  const gradients: Record<string, Float64Array> = {};

  const headName = config.isTied ? "tok_embeddings.weight" : "output.weight";
  const normed = rmsNorm(h, weights["norm.weight"]!, config.normEps);
  const dlogits = crossEntropyBackward(logits, wanted);
  const [dnormed, dhead] = matmulBackward(normed, weights[headName]!, dim, dlogits);
  let [dh, dgain] = rmsNormBackward(h, weights["norm.weight"]!, config.normEps, dnormed);
  gradients["norm.weight"] = dgain;
  for (let layer = config.nLayers - 1; layer >= 0; layer -= 1) {
    dh = layerBackward({ config, weights, layer, gradients }, layers[layer]!, dh);
  }
  const table = weights["tok_embeddings.weight"]!;
  const dtable = embeddingBackward(table, tokens, dh);
  gradients["tok_embeddings.weight"] = config.isTied ? add(dtable, dhead) : dtable;
  if (!config.isTied) gradients["output.weight"] = dhead;
  return { loss: crossEntropy(logits, wanted), gradients };
}

// --- internal ---

/** What a layer computed, kept for its backward. */
interface LayerTrace {
  readonly h: Float64Array;
  readonly attentionIn: Float64Array;
  readonly qkv: AttentionInputs;
  readonly attentionOut: Float64Array;
  readonly middle: Float64Array;
  readonly ffnIn: Float64Array;
  readonly gate: Float64Array;
  readonly up: Float64Array;
  readonly out: Float64Array;
}

interface Run {
  readonly layers: readonly LayerTrace[];
  /** Out of the last layer. `[seq, dim]` */
  readonly h: Float64Array;
  readonly logits: Float64Array;
}

function run(config: LlamaConfig, weights: Weights, tokens: ArrayLike<number>): Run {
  const { dim, normEps } = config;
  const table = weights["tok_embeddings.weight"]!;
  const layers: LayerTrace[] = [];
  let h = embedding(table, tokens, dim);
  for (let layer = 0; layer < config.nLayers; layer += 1) {
    const trace = layerForward(config, layerWeights(weights, layer), h);
    layers.push(trace);
    h = trace.out;
  }
  const head = config.isTied ? table : weights["output.weight"]!;
  return { layers, h, logits: matmul(rmsNorm(h, weights["norm.weight"]!, normEps), head, dim) };
}

function layerForward(config: LlamaConfig, w: LayerWeights, h: Float64Array): LayerTrace {
  const { dim, normEps } = config;
  const rotation = rotationOf(config, h);
  const attentionIn = rmsNorm(h, w.attentionNorm, normEps);
  const qkv = {
    q: rope(matmul(attentionIn, w.wq, dim), rotation),
    k: rope(matmul(attentionIn, w.wk, dim), rotation),
    v: matmul(attentionIn, w.wv, dim),
  };
  const attentionOut = attention(qkv, config);
  const middle = add(h, matmul(attentionOut, w.wo, config.nHeads * config.headDim));
  const ffnIn = rmsNorm(middle, w.ffnNorm, normEps);
  const [gate, up] = [matmul(ffnIn, w.w1, dim), matmul(ffnIn, w.w3, dim)];
  const out = add(middle, matmul(swiglu(gate, up), w.w2, config.hiddenDim));
  return { h, attentionIn, qkv, attentionOut, middle, ffnIn, gate, up, out };
}

interface LayerBackward {
  readonly config: LlamaConfig;
  readonly weights: Weights;
  readonly layer: number;
  /** Receives the layer's. */
  readonly gradients: Record<string, Float64Array>;
}

/** @returns dL by the layer's input, from dL by its output. `[seq, dim]` */
function layerBackward(
  { config, weights, layer, gradients }: LayerBackward,
  trace: LayerTrace,
  dh: Float64Array,
): Float64Array {
  const { dim, normEps } = config;
  const w = layerWeights(weights, layer);

  const [dinner, dw2] = matmulBackward(swiglu(trace.gate, trace.up), w.w2, config.hiddenDim, dh);
  const [dgate, dup] = swigluBackward(trace.gate, trace.up, dinner);
  const [dffnIn1, dw1] = matmulBackward(trace.ffnIn, w.w1, dim, dgate);
  const [dffnIn3, dw3] = matmulBackward(trace.ffnIn, w.w3, dim, dup);
  const [dthroughFfn, dffnNorm] = rmsNormBackward(trace.middle, w.ffnNorm, normEps, add(dffnIn1, dffnIn3));
  const dmiddle = add(dh, dthroughFfn);

  const queries = config.nHeads * config.headDim;
  const [dattentionOut, dwo] = matmulBackward(trace.attentionOut, w.wo, queries, dmiddle);
  const turned = attentionBackward(trace.qkv, config, dattentionOut);
  const rotation = rotationOf(config, trace.h);
  const [dinQ, dwq] = matmulBackward(trace.attentionIn, w.wq, dim, ropeBackward(turned.q, rotation));
  const [dinK, dwk] = matmulBackward(trace.attentionIn, w.wk, dim, ropeBackward(turned.k, rotation));
  const [dinV, dwv] = matmulBackward(trace.attentionIn, w.wv, dim, turned.v);
  const dattentionIn = add(add(dinQ, dinK), dinV);
  const [dthroughAttention, dattentionNorm] = rmsNormBackward(
    trace.h,
    w.attentionNorm,
    normEps,
    dattentionIn,
  );

  const found = {
    attentionNorm: dattentionNorm,
    wq: dwq,
    wk: dwk,
    wv: dwv,
    wo: dwo,
    ffnNorm: dffnNorm,
    w1: dw1,
    w2: dw2,
    w3: dw3,
  };
  for (const [key, gradient] of Object.entries(found)) {
    gradients[`layers.${layer}.${layerNames[key as keyof LayerWeights]}`] = gradient;
  }
  return add(dmiddle, dthroughAttention);
}

function rotationOf(config: LlamaConfig, h: Float64Array): Rotation {
  const positions = Array.from({ length: h.length / config.dim }, (_, position) => position);
  return { positions, headDim: config.headDim, base: config.ropeTheta };
}

const layerNames = {
  attentionNorm: "attention_norm.weight",
  wq: "attention.wq.weight",
  wk: "attention.wk.weight",
  wv: "attention.wv.weight",
  wo: "attention.wo.weight",
  ffnNorm: "ffn_norm.weight",
  w1: "feed_forward.w1.weight",
  w2: "feed_forward.w2.weight",
  w3: "feed_forward.w3.weight",
} as const;

type LayerWeights = Readonly<Record<keyof typeof layerNames, Float64Array>>;

function layerWeights(weights: Weights, layer: number): LayerWeights {
  const found = Object.entries(layerNames).map(([key, name]) => [key, weights[`layers.${layer}.${name}`]!]);
  return Object.fromEntries(found) as LayerWeights;
}
