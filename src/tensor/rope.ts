/** Rotary position embedding (Su et al. 2021), on adjacent pairs of elements as in Meta's checkpoints. */

import { shapeError } from "./shape.ts";
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Rotates each pair (x₂ᵢ, x₂ᵢ₊₁) by position · θ^(-2i / headDim).
 *
 * @param x         `[batch, seq, heads, headDim]`, headDim even
 * @param positions i32. `[seq]`
 */
export function rope(g: Graph, x: Tensor, positions: Tensor, theta: number): Tensor {
  const headDim = x.shape[3] ?? 1;
  if (x.shape.length !== 4 || headDim % 2 !== 0 || x.dtype !== "f32") {
    throw shapeError(
      "rope",
      x.shape,
      positions.shape,
      "wants f32 [batch, seq, heads, headDim] with an even headDim",
    );
  }
  if (positions.dtype !== "i32" || positions.shape.length !== 1 || positions.shape[0] !== x.shape[1]) {
    throw shapeError("rope", x.shape, positions.shape, "wants one i32 position for each of seq");
  }
  const { ggml } = g.backend.library;
  // Mode 0 is ggml's rotation of adjacent pairs; the zeros and ones after it turn YaRN off.
  const settings = [0, headDim, 0, 0, theta, 1, 0, 1, 0, 0] as const;
  const y = ggml.ropeExt(g.reserve(), x.ptr, positions.ptr, ...settings);
  return g.differentiable(y, x.shape, [
    [x, (dy) => g.node(ggml.ropeExtBack(g.reserve(), dy.ptr, positions.ptr, ...settings), x.shape)],
  ]);
}
