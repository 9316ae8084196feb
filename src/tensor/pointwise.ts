/** Operations on single elements that losses of preferences are made of. */

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
