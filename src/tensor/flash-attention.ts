/** Attention over a key-value cache, without materialised probabilities (Dao et al. 2022). No gradients. */

import { sameShape, shapeError } from "./shape.ts";
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

export interface CachedAttentionInputs {
  /** f32 `[1, tokens, heads, headDim]` */
  readonly q: Tensor;
  /** f16 or f32 `[cells, kvHeads · headDim]` */
  readonly keys: Tensor;
  /** f16 or f32 `[cells, kvHeads · headDim]` */
  readonly values: Tensor;
  /** f16, 0 or -inf. `[tokens, length]`: the first `length` cells are attended to. */
  readonly mask: Tensor;
}

/**
 * softmax(q kᵀ / √headDim + mask) v, each group of query heads sharing one key-value head.
 *
 * @returns `[tokens, heads · headDim]`
 */
export function cachedAttention(g: Graph, inputs: CachedAttentionInputs): Tensor {
  const { q, keys, values, mask } = inputs;
  const [, tokens = 0, heads = 0, headDim = 0] = q.shape;
  const length = mask.shape[1] ?? 0;
  const kvHeads = (keys.shape[1] ?? 0) / headDim;
  checkInputs(inputs, kvHeads);
  const { ggml } = g.backend.library;
  const headsOf = (cache: Tensor): number => {
    const bytes = cache.bytes / cache.elements;
    const view = ggml.view4d(
      g.reserve(),
      cache.ptr,
      headDim,
      kvHeads,
      length,
      1,
      headDim * bytes,
      kvHeads * headDim * bytes,
      kvHeads * headDim * length * bytes,
      0,
    );
    return ggml.permute(g.reserve(), view, 0, 2, 1, 3);
  };
  const queries = ggml.permute(g.reserve(), q.ptr, 0, 2, 1, 3);
  const scale = 1 / Math.sqrt(headDim);
  const y = ggml.flashAttnExt(g.reserve(), queries, headsOf(keys), headsOf(values), mask.ptr, scale, 0, 0);
  return g.node(ggml.reshape4d(g.reserve(), y, heads * headDim, tokens, 1, 1), [tokens, heads * headDim]);
}

// --- internal ---

function checkInputs(inputs: CachedAttentionInputs, kvHeads: number): void {
  checkCache(inputs, kvHeads);
  const { q, keys, mask } = inputs;
  const tokens = q.shape[1];
  const length = mask.shape[1] ?? 0;
  const isMask = mask.shape.length === 2 && mask.dtype === "f16" && mask.shape[0] === tokens;
  if (!isMask || length < 1 || length > keys.shape[0]!) {
    throw shapeError("cachedAttention", q.shape, mask.shape, "the mask is not f16 [tokens, length <= cells]");
  }
}

function checkCache({ q, keys, values }: CachedAttentionInputs, kvHeads: number): void {
  const [batch, , heads = 0] = q.shape;
  if (q.shape.length !== 4 || batch !== 1 || q.dtype !== "f32") {
    throw shapeError("cachedAttention", q.shape, keys.shape, "q is not f32 [1, tokens, heads, headDim]");
  }
  if (keys.shape.length !== 2 || (keys.dtype !== "f16" && keys.dtype !== "f32")) {
    throw shapeError(
      "cachedAttention",
      q.shape,
      keys.shape,
      "the keys are not f16 or f32 [cells, kvHeads · headDim]",
    );
  }
  if (!Number.isInteger(kvHeads) || kvHeads < 1 || heads % kvHeads !== 0) {
    throw shapeError("cachedAttention", q.shape, keys.shape, "the heads do not divide");
  }
  if (!sameShape(values.shape, keys.shape) || values.dtype !== keys.dtype) {
    throw shapeError("cachedAttention", keys.shape, values.shape, "keys and values differ");
  }
}
