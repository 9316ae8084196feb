/** Keys and values of the tokens read so far, written in place. */

import { ConfigError } from "../errors/errors.ts";
import type { Backend } from "../tensor/backend.ts";
import { dtypes } from "../tensor/dtype.ts";
import { createStorage, type TensorSpec } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LlamaConfig } from "./config.ts";
import type { LlamaWeights } from "./weights.ts";

/** f16 is half the memory of f32, which keeps the numbers of a model whose weights are f32; q8_0 is half of f16. */
export const cacheTypes = ["f16", "f32", "q8_0"] as const;
export type CacheType = (typeof cacheTypes)[number];

export interface KvCache extends Disposable {
  /** How many tokens it can hold: a multiple of `cacheStep`. */
  readonly cells: number;
  /** By layer. `[cells, nKvHeads · headDim]` */
  readonly keys: readonly Tensor[];
  /** By layer. `[cells, nKvHeads · headDim]` */
  readonly values: readonly Tensor[];
  readonly bytes: number;
}

/** Attention reads the cache in whole steps, so that one graph serves many lengths. */
export const cacheStep = 256;

export interface CacheSize {
  readonly tokens: number;
  readonly dtype: CacheType;
}

/** What a cache holds unless it is told: f32 for weights of f32, else f16. */
export function cacheTypeFor({ layers }: LlamaWeights): CacheType {
  return layers[0]?.wk.dtype === "f32" ? "f32" : "f16";
}

/** Takes memory for so many tokens, all zero (a cell that was never written must not hold NaN); the caller disposes it. */
export function createKvCache(backend: Backend, config: LlamaConfig, size: CacheSize): KvCache {
  const { tokens, dtype } = size;
  const { block } = dtypes[dtype];
  if (config.headDim % block !== 0) {
    throw new ConfigError(
      `heads of ${config.headDim} cannot be cached in ${dtype}, which has blocks of ${block}`,
      {
        mend: "Use --cache-type f16.",
      },
    );
  }
  const cells = Math.ceil(tokens / cacheStep) * cacheStep;
  const shape = [cells, config.nKvHeads * config.headDim];
  const layers = Array.from({ length: config.nLayers }, (_, i) => i);
  const specs: Record<string, TensorSpec> = {};
  for (const i of layers) {
    specs[`keys.${i}`] = { shape, dtype };
    specs[`values.${i}`] = { shape, dtype };
  }
  const storage = createStorage("kv cache", backend, specs);
  return {
    cells,
    keys: layers.map((i) => storage.tensors[`keys.${i}`]!),
    values: layers.map((i) => storage.tensors[`values.${i}`]!),
    bytes: storage.bytes,
    [Symbol.dispose]: () => storage[Symbol.dispose](),
  };
}
