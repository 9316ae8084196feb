/** Attention over a key-value cache, without materialised probabilities (Dao et al. 2022). No gradients. */

import { dtypes, type DType } from "./dtype.ts";
import { copyInto, reshape, slice } from "./ops.ts";
import { sameShape, shapeError } from "./shape.ts";
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

export interface CachedAttentionInputs {
  /** f32 `[1, tokens, heads, headDim]` */
  readonly q: Tensor;
  /** f16, f32 or q8_0 `[cells, kvHeads · headDim]` */
  readonly keys: Tensor;
  /** Of the same type. `[cells, kvHeads · headDim]` */
  readonly values: Tensor;
  /** What the tokens look at, so many tokens after so many: their masks have all rows together. */
  readonly windows: readonly AttentionWindow[];
  /** Where the results of several windows meet. f32 `[tokens, heads · headDim]` */
  readonly mixed?: Tensor | undefined;
}

/** Cells `start`... which some tokens may look at. */
export interface AttentionWindow {
  /** f16, 0 or -inf. `[tokens, length]`: `length` cells are attended to. */
  readonly mask: Tensor;
  readonly start: number;
}

/**
 * softmax(q kᵀ / √headDim + mask) v, each group of query heads sharing one key-value head.
 *
 * @returns `[tokens, heads · headDim]`
 */
export function cachedAttention(g: Graph, inputs: CachedAttentionInputs): Tensor {
  const { q, windows, mixed } = inputs;
  checkInputs(inputs);
  const [, , heads = 0, headDim = 0] = q.shape;
  if (windows.length === 1) return attend(g, inputs, q, windows[0]!);
  const queries = reshape(g, q, q.shape.slice(1));
  let from = 0;
  for (const window of windows) {
    const count = window.mask.shape[0]!;
    const part = reshape(g, slice(g, queries, from, count), [1, count, heads, headDim]);
    g.effect(copyInto(g, slice(g, mixed!, from, count), attend(g, inputs, part, window)));
    from += count;
  }
  return mixed!;
}

// --- internal ---

const cacheTypes: ReadonlySet<DType> = new Set(["f16", "f32", "q8_0"]);

function attend(g: Graph, inputs: CachedAttentionInputs, q: Tensor, window: AttentionWindow): Tensor {
  const { keys, values } = inputs;
  const { mask, start } = window;
  const [, tokens = 0, heads = 0, headDim = 0] = q.shape;
  const length = mask.shape[1]!;
  const { ggml } = g.backend.library;
  const headsOf = (cache: Tensor): number => {
    const kvHeads = cache.shape[1]! / headDim;
    const row = cache.bytes / cache.shape[0]!;
    const strides = [row / kvHeads, row, row * length] as const;
    const view = ggml.view4d(g.reserve(), cache.ptr, headDim, kvHeads, length, 1, ...strides, start * row);
    return ggml.permute(g.reserve(), view, 0, 2, 1, 3);
  };
  const queries = ggml.permute(g.reserve(), q.ptr, 0, 2, 1, 3);
  const scale = 1 / Math.sqrt(headDim);
  const y = ggml.flashAttnExt(g.reserve(), queries, headsOf(keys), headsOf(values), mask.ptr, scale, 0, 0);
  return g.node(ggml.reshape4d(g.reserve(), y, heads * headDim, tokens, 1, 1), [tokens, heads * headDim]);
}

function checkInputs(inputs: CachedAttentionInputs): void {
  checkCache(inputs);
  const { q, windows, mixed } = inputs;
  const [, tokens = 0, heads = 0, headDim = 0] = q.shape;
  for (const window of windows) checkWindow(inputs, window);
  const covered = windows.reduce((sum, { mask }) => sum + mask.shape[0]!, 0);
  if (covered !== tokens) {
    const why = `the masks have rows for ${covered} of ${tokens} tokens`;
    throw shapeError("cachedAttention", q.shape, windows[0]?.mask.shape ?? [], why);
  }
  if (windows.length === 1) return;
  if (mixed === undefined || !sameShape(mixed.shape, [tokens, heads * headDim])) {
    const why = "several windows want a place for their results, [tokens, heads · headDim]";
    throw shapeError("cachedAttention", q.shape, mixed?.shape ?? [], why);
  }
}

function checkWindow({ q, keys }: CachedAttentionInputs, { mask, start }: AttentionWindow): void {
  if (mask.shape.length !== 2 || mask.dtype !== "f16") {
    throw shapeError("cachedAttention", q.shape, mask.shape, "a mask is not f16 [tokens, length]");
  }
  if (Number.isInteger(start) && start >= 0 && start + mask.shape[1]! <= keys.shape[0]!) return;
  const why = `a window from ${start} on reaches past the cells`;
  throw shapeError("cachedAttention", keys.shape, mask.shape, why);
}

function checkCache({ q, keys, values }: CachedAttentionInputs): void {
  const [batch, , heads = 0, headDim = 0] = q.shape;
  if (q.shape.length !== 4 || batch !== 1 || q.dtype !== "f32") {
    throw shapeError("cachedAttention", q.shape, keys.shape, "q is not f32 [1, tokens, heads, headDim]");
  }
  if (keys.shape.length !== 2 || !cacheTypes.has(keys.dtype)) {
    throw shapeError(
      "cachedAttention",
      q.shape,
      keys.shape,
      "the keys are not f16, f32 or q8_0 [cells, kvHeads · headDim]",
    );
  }
  const kvHeads = keys.shape[1]! / headDim;
  if (!Number.isInteger(kvHeads) || kvHeads < 1 || heads % kvHeads !== 0) {
    throw shapeError("cachedAttention", q.shape, keys.shape, "the heads do not divide");
  }
  if (headDim % dtypes[keys.dtype].block !== 0)
    throw shapeError("cachedAttention", q.shape, keys.shape, `a head is not whole blocks of ${keys.dtype}`);
  if (!sameShape(values.shape, keys.shape) || values.dtype !== keys.dtype) {
    throw shapeError("cachedAttention", keys.shape, values.shape, "keys and values differ");
  }
}
