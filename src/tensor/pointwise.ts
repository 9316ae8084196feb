/**
 * Operations on single elements that losses of preferences and policy gradients are made of.
 *
 * ggml has no smaller of two and no gradient of a clamp: both are products with masks of 0 and 1, which are exact and
 * let NaN through.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Graph } from "./graph.ts";
import { mul, requireF32, requireSame, scale } from "./ops.ts";
import type { Tensor } from "./tensor.ts";

/** y = a - b. Both `[...]`. */
export function sub(g: Graph, a: Tensor, b: Tensor): Tensor {
  requireSame("sub", a, b);
  const y = g.backend.library.ggml.sub(g.reserve(), a.ptr, b.ptr);
  return g.differentiable(y, a.shape, [
    [a, (dy) => dy],
    [b, (dy) => scale(g, dy, -1)],
  ]);
}

/**
 * softplus(x) = log(1 + eˣ), and x itself above 20, where eˣ would soon overflow. Its derivative is σ(x). So -log σ(x)
 * is softplus(-x): finite for every x, with a gradient that does not vanish where σ(x) underflows.
 */
export function softplus(g: Graph, x: Tensor): Tensor {
  requireF32("softplus", x);
  const { ggml } = g.backend.library;
  return g.differentiable(ggml.softplus(g.reserve(), x.ptr), x.shape, [
    [x, (dy) => mul(g, dy, g.node(ggml.sigmoid(g.reserve(), x.ptr), x.shape))],
  ]);
}

/** y = eˣ. */
export function exp(g: Graph, x: Tensor): Tensor {
  requireF32("exp", x);
  const y = g.node(ggml(g).exp(g.reserve(), x.ptr), x.shape);
  return g.differentiable(y.ptr, x.shape, [[x, (dy) => mul(g, dy, y)]]);
}

/**
 * y = x within [low, high], else the nearer bound, and there no gradient. The bounds may be infinite. The kernel makes
 * NaN the upper bound: whoever must notice it looks at x.
 */
export function clamp(g: Graph, x: Tensor, low: number, high: number): Tensor {
  requireF32("clamp", x);
  if (!(low <= high)) throw new ConfigError(`clamp: ${low} to ${high} is not a range`);
  const y = ggml(g).clamp(g.reserve(), x.ptr, low, high);
  return g.differentiable(y, x.shape, [
    [
      x,
      (dy) => {
        const inside = not(g, isAbove(g, x, high));
        return mul(g, mul(g, dy, inside), not(g, isBelow(g, x, low)));
      },
    ],
  ]);
}

/** The smaller of two, element by element; of equals a, which alone has the gradient then. Both `[...]`. */
export function minimum(g: Graph, a: Tensor, b: Tensor): Tensor {
  requireSame("minimum", a, b);
  return choose(g, a, b, isAbove(g, difference(g, a, b), 0));
}

/** The larger of two, element by element; of equals a, which alone has the gradient then. Both `[...]`. */
export function maximum(g: Graph, a: Tensor, b: Tensor): Tensor {
  requireSame("maximum", a, b);
  return choose(g, a, b, isAbove(g, difference(g, b, a), 0));
}

// --- internal ---

/** y = b where `isB` is 1, a where it is 0. */
function choose(g: Graph, a: Tensor, b: Tensor, isB: Tensor): Tensor {
  const isA = not(g, isB);
  const [left, right] = [ggml(g).mul(g.reserve(), a.ptr, isA.ptr), ggml(g).mul(g.reserve(), b.ptr, isB.ptr)];
  return g.differentiable(ggml(g).add(g.reserve(), left, right), a.shape, [
    [a, (dy) => mul(g, dy, isA)],
    [b, (dy) => mul(g, dy, isB)],
  ]);
}

/** 1 where x > bound, else 0. */
function isAbove(g: Graph, x: Tensor, bound: number): Tensor {
  const shifted = ggml(g).scaleBias(g.reserve(), x.ptr, 1, -bound);
  return g.node(ggml(g).step(g.reserve(), shifted), x.shape);
}

/** 1 where x < bound, else 0. */
function isBelow(g: Graph, x: Tensor, bound: number): Tensor {
  const shifted = ggml(g).scaleBias(g.reserve(), x.ptr, -1, bound);
  return g.node(ggml(g).step(g.reserve(), shifted), x.shape);
}

function not(g: Graph, mask: Tensor): Tensor {
  return g.node(ggml(g).scaleBias(g.reserve(), mask.ptr, -1, 1), mask.shape);
}

function difference(g: Graph, a: Tensor, b: Tensor): Tensor {
  return g.node(ggml(g).sub(g.reserve(), a.ptr, b.ptr), a.shape);
}

function ggml(g: Graph): Graph["backend"]["library"]["ggml"] {
  return g.backend.library.ggml;
}
