/**
 * Matrix products, and the casts and transposes they share.
 *
 * ggml multiplies rows by rows, y = x wᵀ, at full speed only from contiguous operands, so both gradients are
 * products of contiguous transposes too (its outer product is several times slower). In bf16, an inner dimension
 * that is no multiple of 32 falls off the fast kernel: such products stay in f32.
 */

import { dtypes, type DType } from "./dtype.ts";
import type { Pointer } from "../engine/ffi.ts";
import type { Graph } from "./graph.ts";
import { sameShape, shapeError, shapeText } from "./shape.ts";
import { requireFloat, requireWeight, type Tensor } from "./tensor.ts";
import { ConfigError } from "../errors/errors.ts";

/**
 * y = x wᵀ for each leading index: y[..., n, m] = Σₖ x[..., n, k] · w[..., m, k]. f32 sums.
 *
 * @param x f32. `[..., n, k]`
 * @param w any type that has a kernel; a matrix `[m, k]` serves all leading indices. `[m, k]` or `[..., m, k]`
 * @returns f32. `[..., n, m]`
 */
export function matmul(g: Graph, x: Tensor, w: Tensor): Tensor {
  const [n, k] = [x.shape.at(-2) ?? 0, x.shape.at(-1)!];
  const [m, wk] = [w.shape.at(-2) ?? 0, w.shape.at(-1)!];
  if (k !== wk) throw shapeError("matmul", x.shape, w.shape, `inner dims ${k} and ${wk} differ`);
  if (n === 0 || m === 0) throw shapeError("matmul", x.shape, w.shape, "both need at least two dims");
  const isMatrix = w.shape.length === 2;
  if (!isMatrix && !sameShape(x.shape.slice(0, -2), w.shape.slice(0, -2))) {
    throw shapeError("matmul", x.shape, w.shape, "leading dims differ");
  }
  if (x.dtype !== "f32") throw shapeError("matmul", x.shape, w.shape, `x is ${x.dtype}, not f32`);
  requireWeight("matmul", w);
  const y = product(g, x, w);
  return g.differentiable(y.ptr, y.shape, [
    [x, (dy) => product(g, dy, transposed(g, w))],
    [w, (dy) => product(g, transposed(g, rowsOf(g, dy, isMatrix)), transposed(g, rowsOf(g, x, isMatrix)))],
  ]);
}

/** x in the type that products of this inner size take. */
export function operand(g: Graph, x: Tensor): Tensor {
  if (x.dtype !== "f32" || operandType(g, x.shape.at(-1)!) === "f32") return x;
  const known = g.derived.cast.get(x);
  if (known !== undefined) return known;
  const ptr = g.backend.library.ggml.cast(g.reserve(), sourceOf(g, x), dtypes.bf16.id);
  return remember(g.derived.cast, x, g.node(ptr, x.shape, { dtype: "bf16" }));
}

/** xᵀ over the last two dimensions, contiguous, in the type that products take. */
export function transposed(g: Graph, x: Tensor): Tensor {
  const known = g.derived.transposed.get(x);
  if (known !== undefined) return known;
  requireFloat("transposed", x);
  if (x.shape.length < 2)
    throw new ConfigError(`transposed: ${shapeText(x.shape)} has not two dimensions to exchange`);
  const shape = [...x.shape.slice(0, -2), x.shape.at(-1)!, x.shape.at(-2)!];
  const dtype = operandType(g, x.shape.at(-2)!) === "bf16" ? "bf16" : x.dtype;
  const ptr =
    dtype === "bf16" && x.dtype === "f32" && x.shape.length === 2 ? castBlocks(g, x) : laidOut(g, x, dtype);
  return remember(g.derived.transposed, x, g.node(ptr, shape, { dtype }));
}

// --- internal ---

/** xᵀ as bf16, by way of blocks of 16 rows: one column after another, each read would touch another cache line. */
function castBlocks(g: Graph, x: Tensor): Pointer {
  const { ggml } = g.backend.library;
  const [rows, cols] = x.shape as [number, number];
  const blocks = ggml.reshape4d(g.reserve(), x.ptr, cols, 16, rows / 16, 1);
  const turned = ggml.cast(g.reserve(), ggml.permute(g.reserve(), blocks, 1, 0, 2, 3), dtypes.bf16.id);
  const joined = ggml.cont(g.reserve(), ggml.permute(g.reserve(), turned, 0, 2, 1, 3));
  return ggml.reshape4d(g.reserve(), joined, rows, cols, 1, 1);
}

function laidOut(g: Graph, x: Tensor, dtype: DType): Pointer {
  const { ggml } = g.backend.library;
  const view = ggml.permute(g.reserve(), sourceOf(g, x), 1, 0, 2, 3);
  return dtype === "bf16" ? ggml.cast(g.reserve(), view, dtypes.bf16.id) : ggml.cont(g.reserve(), view);
}

/** The product itself, of operands that may already be cast. */
function product(g: Graph, x: Tensor, w: Tensor): Tensor {
  const left = operand(g, w);
  // The kernel converts an f32 x itself; one that is already cast for another product is shared, and one that was
  // permuted is laid out and cast in one step.
  const isCast = left.dtype === "bf16" && (g.derived.cast.has(x) || g.permutedFrom.has(x));
  const right = isCast ? operand(g, x) : x;
  const ptr = g.backend.library.ggml.mulMat(g.reserve(), left.ptr, right.ptr);
  return g.node(ptr, [...x.shape.slice(0, -1), w.shape.at(-2)!]);
}

function sourceOf(g: Graph, x: Tensor): Pointer {
  return g.permutedFrom.get(x) ?? x.ptr;
}

function operandType(g: Graph, inner: number): DType & ("bf16" | "f32") {
  return g.precision === "bf16" && inner % 32 === 0 ? "bf16" : "f32";
}

/** All leading dimensions as rows, when one matrix served them all: its gradient sums over them. */
function rowsOf(g: Graph, x: Tensor, isMatrix: boolean): Tensor {
  if (!isMatrix || x.shape.length === 2) return x;
  const shape = [x.elements / x.shape.at(-1)!, x.shape.at(-1)!];
  const ptr = g.backend.library.ggml.reshape4d(g.reserve(), x.ptr, shape[1]!, shape[0]!, 1, 1);
  return g.node(ptr, shape, { dtype: x.dtype });
}

function remember(cache: Map<Tensor, Tensor>, key: Tensor, value: Tensor): Tensor {
  cache.set(key, value);
  return value;
}
