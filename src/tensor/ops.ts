/**
 * Operations on tensors: each builds a node and states, beside it, how gradients flow back through it.
 *
 * Shapes are outermost first. dy is the gradient of the loss by the op's output. Matrix products take operands of
 * the graph's precision; sums, norms, softmax and everything else are f32.
 */

import { ConfigError } from "../errors/errors.ts";
import { isQuantised } from "./dtype.ts";
import type { Graph } from "./graph.ts";
import { checkShape, elementsOf, extentsOf, sameShape, shapeError, shapeText, type Shape } from "./shape.ts";
import { requireFloat, requireWeight, type Tensor } from "./tensor.ts";

/** y = a + b. Both `[...]`. */
export function add(g: Graph, a: Tensor, b: Tensor): Tensor {
  requireSame("add", a, b);
  const y = ggml(g).add(g.reserve(), a.ptr, b.ptr);
  return g.differentiable(y, a.shape, [
    [a, (dy) => dy],
    [b, (dy) => dy],
  ]);
}

/** target += x, in the target's own memory. Takes effect when it runs. */
export function addInto(g: Graph, target: Tensor, x: Tensor): Tensor {
  requireSame("addInto", target, x);
  return g.node(ggml(g).addInplace(g.reserve(), target.ptr, x.ptr), target.shape);
}

/** target = x, in the target's own memory. Takes effect when it runs. */
export function copyInto(g: Graph, target: Tensor, x: Tensor): Tensor {
  requireSame("copyInto", target, x);
  return g.node(ggml(g).cpy(g.reserve(), x.ptr, target.ptr), target.shape);
}

/** y = a * b, element by element. Both `[...]`. */
export function mul(g: Graph, a: Tensor, b: Tensor): Tensor {
  requireSame("mul", a, b);
  const y = ggml(g).mul(g.reserve(), a.ptr, b.ptr);
  return g.differentiable(y, a.shape, [
    [a, (dy) => mul(g, dy, b)],
    [b, (dy) => mul(g, dy, a)],
  ]);
}

/** y = x * gain, the gain repeated over all leading dimensions. x `[..., dim]`, gain `[dim]`. */
export function mulGain(g: Graph, x: Tensor, gain: Tensor): Tensor {
  if (gain.shape.length !== 1 || gain.shape[0] !== x.shape.at(-1)) {
    throw shapeError(
      "mulGain",
      x.shape,
      gain.shape,
      "the gain is not one number for each of the last dimension",
    );
  }
  requireF32("mulGain", x, gain);
  const y = ggml(g).mul(g.reserve(), x.ptr, gain.ptr);
  return g.differentiable(y, x.shape, [
    [x, (dy) => mulGain(g, dy, gain)],
    [gain, (dy) => sumLeading(g, mul(g, dy, x), gain)],
  ]);
}

/** y = x * factor, the factor one number. x `[...]`, factor `[1]`. */
export function mulScalar(g: Graph, x: Tensor, factor: Tensor): Tensor {
  if (factor.elements !== 1)
    throw shapeError("mulScalar", x.shape, factor.shape, "the factor is not one number");
  requireF32("mulScalar", x, factor);
  return g.node(ggml(g).mul(g.reserve(), x.ptr, factor.ptr), x.shape);
}

/** y = scale * x. */
export function scale(g: Graph, x: Tensor, factor: number): Tensor {
  requireF32("scale", x);
  const y = ggml(g).scale(g.reserve(), x.ptr, factor);
  return g.differentiable(y, x.shape, [[x, (dy) => scale(g, dy, factor)]]);
}

/** The sum of all elements. [1] */
export function sum(g: Graph, x: Tensor): Tensor {
  requireF32("sum", x);
  const y = ggml(g).sum(g.reserve(), x.ptr);
  return g.differentiable(y, [1], [[x, (dy) => repeat(g, dy, x)]]);
}

/** Σ x², as a global gradient norm needs it. [1] */
export function sumOfSquares(g: Graph, x: Tensor): Tensor {
  requireF32("sumOfSquares", x);
  const squares = ggml(g).sqr(g.reserve(), x.ptr);
  return g.node(ggml(g).sum(g.reserve(), squares), [1]);
}

/**
 * RMSNorm without its gain (Zhang and Sennrich 2019, eq. 4): x / √(mean(x²) + ε), over the last dimension.
 */
export function rmsNorm(g: Graph, x: Tensor, eps: number): Tensor {
  requireF32("rmsNorm", x);
  if (!(eps >= 0 && Number.isFinite(eps))) throw new ConfigError(`rmsNorm: ε is ${eps}, not a number from 0`);
  const y = ggml(g).rmsNorm(g.reserve(), x.ptr, eps);
  return g.differentiable(y, x.shape, [
    [x, (dy) => g.node(ggml(g).rmsNormBack(g.reserve(), dy.ptr, x.ptr, eps), x.shape)],
  ]);
}

/** SiLU(x) = x · σ(x). */
export function silu(g: Graph, x: Tensor): Tensor {
  requireF32("silu", x);
  const y = ggml(g).silu(g.reserve(), x.ptr);
  return g.differentiable(y, x.shape, [[x, (dy) => siluBack(g, dy, x)]]);
}

/** SwiGLU's inside (Shazeer 2020, eq. 6): SiLU(gate) · up. Both `[...]`. */
export function swiglu(g: Graph, gate: Tensor, up: Tensor): Tensor {
  requireSame("swiglu", gate, up);
  const y = ggml(g).swigluSplit(g.reserve(), gate.ptr, up.ptr);
  return g.differentiable(y, gate.shape, [
    [gate, (dy) => siluBack(g, mul(g, dy, up), gate)],
    [up, (dy) => mul(g, dy, silu(g, gate))],
  ]);
}

/**
 * Softmax over the last dimension of scale · x + mask.
 *
 * @param x    scores. `[batch, heads, queries, keys]`
 * @param mask f16, added to every head: 0 or -inf. `[queries, keys]`
 */
export function softmax(g: Graph, x: Tensor, mask: Tensor, factor: number): Tensor {
  requireF32("softmax", x);
  if (mask.dtype !== "f16" || !sameShape(mask.shape, x.shape.slice(-2))) {
    throw shapeError("softmax", x.shape, mask.shape, `the mask (${mask.dtype}) is not f16 [queries, keys]`);
  }
  const y = g.node(ggml(g).softMaxExt(g.reserve(), x.ptr, mask.ptr, factor, 0), x.shape);
  return g.differentiable(y.ptr, x.shape, [[x, (dy) => softmaxBack(g, dy, y, factor)]]);
}

/**
 * Rows of a table. table `[rows, dim]`, indices i32 `[n]` -> `[n, dim]`.
 */
export function rows(g: Graph, table: Tensor, indices: Tensor): Tensor {
  if (table.shape.length !== 2 || indices.shape.length !== 1 || indices.dtype !== "i32") {
    throw shapeError("rows", table.shape, indices.shape, `wants a table [rows, dim] and i32 indices [n]`);
  }
  requireWeight("rows", table);
  if (!(indices.limit >= 1 && indices.limit <= table.shape[0]!)) {
    throw shapeError(
      "rows",
      table.shape,
      indices.shape,
      `indices may reach ${indices.limit}, past the table's rows`,
    );
  }
  const y = ggml(g).getRows(g.reserve(), table.ptr, indices.ptr);
  return g.differentiable(
    y,
    [indices.shape[0]!, table.shape[1]!],
    [[table, (dy) => g.node(ggml(g).getRowsBack(g.reserve(), dy.ptr, indices.ptr, table.ptr), table.shape)]],
  );
}

/** Writes rows into a table's own memory: table[indices[i]] = x[i]. indices i64 `[n]`. Takes effect when it runs. */
export function setRows(g: Graph, table: Tensor, x: Tensor, indices: Tensor): Tensor {
  const fits = table.shape.length === 2 && x.shape.length === 2 && table.shape[1] === x.shape[1];
  const isIndexed = indices.shape.length === 1 && indices.shape[0] === x.shape[0];
  if (!fits || !isIndexed || indices.dtype !== "i64" || x.dtype !== "f32") {
    throw shapeError(
      "setRows",
      table.shape,
      x.shape,
      "wants a table [rows, dim], f32 [n, dim] and i64 indices [n]",
    );
  }
  if (table.dtype !== "q8_0") requireFloat("setRows", table);
  if (!(indices.limit >= 1 && indices.limit <= table.shape[0]!)) {
    throw shapeError(
      "setRows",
      table.shape,
      indices.shape,
      `indices may reach ${indices.limit}, past the table's rows`,
    );
  }
  return g.node(ggml(g).setRows(g.reserve(), table.ptr, x.ptr, indices.ptr), table.shape, {
    dtype: table.dtype,
  });
}

/** The same elements in another shape. */
export function reshape(g: Graph, x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  refuseQuantised("reshape", x);
  checkShape("reshape", shape);
  if (elementsOf(shape) !== x.elements)
    throw shapeError("reshape", x.shape, shape, "the counts of elements differ");
  const y = ggml(g).reshape4d(g.reserve(), x.ptr, ...extentsOf(shape));
  return x.dtype === "f32"
    ? g.differentiable(y, shape, [[x, (dy) => reshape(g, dy, x.shape)]])
    : g.node(y, shape, { dtype: x.dtype, limit: x.limit });
}

/** The dimensions in another order, laid out anew: y's dimension i is x's dimension axes[i]. */
export function permute(g: Graph, x: Tensor, axes: readonly number[]): Tensor {
  const rank = x.shape.length;
  if (axes.length !== rank || ![...axes].sort((a, b) => a - b).every((axis, i) => axis === i)) {
    throw new ConfigError(
      `permute: (${axes.join(", ")}) is no order of the dimensions of ${shapeText(x.shape)}`,
    );
  }
  requireF32("permute", x);
  const inverse = axes.map((_, i) => axes.indexOf(i));
  // ggml_permute says where each source dimension goes, innermost first.
  const goesTo = [0, 1, 2, 3].map((inner) => (inner < rank ? rank - 1 - inverse[rank - 1 - inner]! : inner));
  const view = ggml(g).permute(g.reserve(), x.ptr, goesTo[0]!, goesTo[1]!, goesTo[2]!, goesTo[3]!);
  const y = g.differentiable(
    ggml(g).cont(g.reserve(), view),
    axes.map((axis) => x.shape[axis]!),
    [[x, (dy) => permute(g, dy, inverse)]],
  );
  g.permutedFrom.set(y, view);
  return y;
}

/** Rows [from, from + count) of the outermost dimension, without a copy. */
export function slice(g: Graph, x: Tensor, from: number, count: number): Tensor {
  refuseQuantised("slice", x);
  const isInside = from >= 0 && count >= 1 && from + count <= x.shape[0]!;
  if (!isInside || !Number.isInteger(from) || !Number.isInteger(count)) {
    throw new ConfigError(`slice: rows ${from} to ${from + count} lie outside ${shapeText(x.shape)}`);
  }
  const shape = [count, ...x.shape.slice(1)];
  const rowBytes = x.bytes / x.shape[0]!;
  const [a, b, c, d] = extentsOf(shape);
  const size = x.bytes / x.elements;
  const strides = [size * a, size * a * b, size * a * b * c] as const;
  const y = ggml(g).view4d(g.reserve(), x.ptr, a, b, c, d, ...strides, from * rowBytes);
  return g.node(y, shape, { dtype: x.dtype, limit: x.limit });
}

/** The kernels check neither: a mismatch would read past the end. */
export function requireSame(op: string, a: Tensor, b: Tensor): void {
  if (!sameShape(a.shape, b.shape)) throw shapeError(op, a.shape, b.shape, "the shapes differ");
  requireF32(op, a, b);
}

export function requireF32(op: string, ...tensors: readonly Tensor[]): void {
  for (const tensor of tensors) {
    if (tensor.dtype !== "f32")
      throw new ConfigError(`${op}: ${shapeText(tensor.shape)} is ${tensor.dtype}, not f32`);
  }
}

// --- internal ---

function ggml(g: Graph): Graph["backend"]["library"]["ggml"] {
  return g.backend.library.ggml;
}

function siluBack(g: Graph, dy: Tensor, x: Tensor): Tensor {
  return g.node(ggml(g).siluBack(g.reserve(), dy.ptr, x.ptr), x.shape);
}

function softmaxBack(g: Graph, dy: Tensor, y: Tensor, factor: number): Tensor {
  const dx = g.effect(g.node(ggml(g).softMaxExtBack(g.reserve(), dy.ptr, y.ptr, factor, 0), y.shape));
  // The allocator may give dx the memory of y when dx is y's last reader, and the kernel then reads y overwritten.
  // So y gets a later reader: of one element, for nothing.
  const first = ggml(g).view4d(g.reserve(), y.ptr, 1, 1, 1, 1, 4, 4, 4, 0);
  g.effect(g.node(ggml(g).scale(g.reserve(), first, 1), [1]));
  return dx;
}

/** Σ over all leading dimensions: `[..., dim]` -> `[dim]`, the shape of `like`. */
function sumLeading(g: Graph, x: Tensor, like: Tensor): Tensor {
  return g.node(ggml(g).repeatBack(g.reserve(), x.ptr, like.ptr), like.shape);
}

function repeat(g: Graph, x: Tensor, like: Tensor): Tensor {
  return g.node(ggml(g).repeat(g.reserve(), x.ptr, like.ptr), like.shape);
}

/** Their elements have no addresses of their own. */
function refuseQuantised(op: string, x: Tensor): void {
  if (!isQuantised(x.dtype)) return;
  throw new ConfigError(`${op}: ${shapeText(x.shape)} is ${x.dtype}, which is stored in blocks`);
}
