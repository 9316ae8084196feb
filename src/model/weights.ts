/**
 * The weights of a Llama under Meta's names, with Meta's rotary layout (adjacent pairs).
 */

import type { Backend } from "../tensor/backend.ts";
import { createStorage, type Storage, type TensorSpec } from "../tensor/storage.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { unusedIds, type Tokenizer } from "../tokenizer/tokenizer.ts";
import type { LlamaConfig } from "./config.ts";

export interface LayerWeights {
  /** `[dim]` */
  readonly attentionNorm: Tensor;
  /** `[nHeads · headDim, dim]` */
  readonly wq: Tensor;
  /** `[nKvHeads · headDim, dim]` */
  readonly wk: Tensor;
  /** `[nKvHeads · headDim, dim]` */
  readonly wv: Tensor;
  /** `[dim, nHeads · headDim]` */
  readonly wo: Tensor;
  /** `[dim]` */
  readonly ffnNorm: Tensor;
  /** `[hiddenDim, dim]` */
  readonly w1: Tensor;
  /** `[dim, hiddenDim]` */
  readonly w2: Tensor;
  /** `[hiddenDim, dim]` */
  readonly w3: Tensor;
}

export interface LlamaWeights {
  readonly config: LlamaConfig;
  /** `[vocab, dim]` */
  readonly embedding: Tensor;
  readonly layers: readonly LayerWeights[];
  /** `[dim]` */
  readonly norm: Tensor;
  /** `[vocab, dim]`, the embedding's rows when the two are tied; of a model that scores, `[1, dim]`. */
  readonly head: Tensor;
  /** Ids that are not in the tokenizer: decoders give them the logit -Infinity. */
  readonly unusedIds: readonly number[];
  /** All of them under Meta's names. */
  readonly byName: Readonly<Record<string, Tensor>>;
}

/** Weights and the memory they lie in; the caller disposes it. */
export interface OwnedWeights extends LlamaWeights, Disposable {
  readonly bytes: number;
}

/** What a model's last product gives for each token: a logit for every next token, or one number. */
export type HeadKind = "next-token" | "scalar";

/** `[vocab, dim]` */
export const embeddingName = "tok_embeddings.weight";

/** `[vocab, dim]`. Of a tied model only where the head is packed beside the embedding. */
export const headName = "output.weight";

/** The scalar head's name. `[1, dim]` */
export const scalarHead = "score.weight";

export function headKind({ byName }: Pick<LlamaWeights, "byName">): HeadKind {
  return byName[scalarHead] === undefined ? "next-token" : "scalar";
}

/** Shape of every weight, by Meta's name, in the order of computation. */
export function weightShapes(config: LlamaConfig, head: HeadKind = "next-token"): Record<string, Shape> {
  const { dim, nLayers, nHeads, nKvHeads, headDim, hiddenDim, vocabSize, isTied } = config;
  const shapes: Record<string, Shape> = { [embeddingName]: [vocabSize, dim] };
  for (let i = 0; i < nLayers; i += 1) {
    const layer = `layers.${i}`;
    shapes[`${layer}.attention_norm.weight`] = [dim];
    shapes[`${layer}.attention.wq.weight`] = [nHeads * headDim, dim];
    shapes[`${layer}.attention.wk.weight`] = [nKvHeads * headDim, dim];
    shapes[`${layer}.attention.wv.weight`] = [nKvHeads * headDim, dim];
    shapes[`${layer}.attention.wo.weight`] = [dim, nHeads * headDim];
    shapes[`${layer}.ffn_norm.weight`] = [dim];
    shapes[`${layer}.feed_forward.w1.weight`] = [hiddenDim, dim];
    shapes[`${layer}.feed_forward.w2.weight`] = [dim, hiddenDim];
    shapes[`${layer}.feed_forward.w3.weight`] = [hiddenDim, dim];
  }
  shapes["norm.weight"] = [dim];
  if (head === "scalar") shapes[scalarHead] = [1, dim];
  else if (!isTied) shapes[headName] = [vocabSize, dim];
  return shapes;
}

/** The same weights, whose decoders never say what the tokenizer has no piece for: what is trained knows no tokenizer. */
export function spokenBy(weights: LlamaWeights, { model }: Pick<Tokenizer, "model">): LlamaWeights {
  return { ...weights, unusedIds: unusedIds({ model, rows: weights.config.vocabSize }) };
}

/** Makes the logits of ids that are not in the tokenizer -Infinity, in place. `[n, vocab]` */
export function banUnused(logits: Float32Array, { unusedIds, config }: LlamaWeights): Float32Array {
  if (unusedIds.length === 0) return logits;
  for (let row = 0; row < logits.length; row += config.vocabSize)
    for (const id of unusedIds) logits[row + id] = Number.NEGATIVE_INFINITY;
  return logits;
}

/** Named tensors as the model reads them. */
function weightsOf(
  config: LlamaConfig,
  byName: Readonly<Record<string, Tensor>>,
): Omit<LlamaWeights, "unusedIds"> {
  const named = (name: string): Tensor => byName[name]!;
  return {
    config,
    byName,
    embedding: named(embeddingName),
    layers: Array.from({ length: config.nLayers }, (_, i) => ({
      attentionNorm: named(`layers.${i}.attention_norm.weight`),
      wq: named(`layers.${i}.attention.wq.weight`),
      wk: named(`layers.${i}.attention.wk.weight`),
      wv: named(`layers.${i}.attention.wv.weight`),
      wo: named(`layers.${i}.attention.wo.weight`),
      ffnNorm: named(`layers.${i}.ffn_norm.weight`),
      w1: named(`layers.${i}.feed_forward.w1.weight`),
      w2: named(`layers.${i}.feed_forward.w2.weight`),
      w3: named(`layers.${i}.feed_forward.w3.weight`),
    })),
    norm: named("norm.weight"),
    head: byName[scalarHead] ?? byName[headName] ?? named(embeddingName),
  };
}

/** Takes memory for f32 weights that are trained, all zero. */
export function createWeights(
  backend: Backend,
  config: LlamaConfig,
  head: HeadKind = "next-token",
): OwnedWeights {
  const specs: Record<string, TensorSpec> = {};
  for (const [name, shape] of Object.entries(weightShapes(config, head)))
    specs[name] = { shape, requiresGrad: true };
  return ownedWeights(config, createStorage("weights", backend, specs));
}

/** Weights in a storage that they own from here on. */
export function ownedWeights(
  config: LlamaConfig,
  storage: Storage,
  unusedIds: readonly number[] = [],
): OwnedWeights {
  return {
    ...weightsOf(config, storage.tensors),
    unusedIds,
    bytes: storage.bytes,
    [Symbol.dispose]: () => storage[Symbol.dispose](),
  };
}
