/** Rotary position embedding (Su et al. 2021), on adjacent pairs of elements as in Meta's checkpoints. */

import type { Pointer } from "../engine/ffi.ts";
import { shapeError } from "./shape.ts";
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/** How fast the pairs of a head turn. */
export interface Rotation {
  /** θ: pair i turns by position · θ^(-2i / headDim), scaled as the rest says. */
  readonly theta: number;
  /** All angles are divided by it. */
  readonly factor?: number;
  /** And each pair's by its own. f32. `[headDim / 2]` */
  readonly divisors?: Tensor;
  /** Only slow pairs are divided by `factor` (Peng et al. 2023, §3.2); q and k grow by `attention`. */
  readonly yarn?: Yarn;
}

export interface Yarn {
  /** In tokens. */
  readonly originalContext: number;
  /** Turns within it, above which a pair is left alone and below which it is divided. */
  readonly betaFast: number;
  readonly betaSlow: number;
  readonly attention: number;
}

/**
 * Rotates each pair (x₂ᵢ, x₂ᵢ₊₁) by its angle at each position.
 *
 * @param x         `[batch, seq, heads, headDim]`, headDim even
 * @param positions i32. `[seq]`
 */
export function rope(g: Graph, x: Tensor, positions: Tensor, rotation: Rotation): Tensor {
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
  const { divisors } = rotation;
  if (divisors !== undefined && (divisors.dtype !== "f32" || divisors.shape.join() !== String(headDim / 2))) {
    throw shapeError("rope", x.shape, divisors.shape, "wants one f32 divisor for each pair");
  }
  const { ggml } = g.backend.library;
  const settings = nativeSettings(headDim, rotation);
  const y = ggml.ropeExt(g.reserve(), x.ptr, positions.ptr, ...settings);
  return g.differentiable(y, x.shape, [
    [x, (dy) => g.node(ggml.ropeExtBack(g.reserve(), dy.ptr, positions.ptr, ...settings), x.shape)],
  ]);
}

// --- internal ---

/** ggml's rotation of adjacent pairs. */
const adjacentPairs = 0;

/** What ggml_rope_ext takes from `freqs` on. */
type Settings = readonly [
  freqs: Pointer,
  dims: number,
  mode: number,
  originalContext: number,
  base: number,
  scale: number,
  extrapolation: number,
  attention: number,
  betaFast: number,
  betaSlow: number,
];

function nativeSettings(headDim: number, { theta, factor = 1, divisors, yarn }: Rotation): Settings {
  const freqs = divisors?.ptr ?? 0;
  const scale = 1 / factor;
  if (yarn === undefined) return [freqs, headDim, adjacentPairs, 0, theta, scale, 0, 1, 0, 0];
  const { originalContext, betaFast, betaSlow, attention } = yarn;
  // The kernel multiplies by YaRN's own 0.1 ln s + 1.
  const relative = attention / (1 + 0.1 * Math.log(factor));
  return [freqs, headDim, adjacentPairs, originalContext, theta, scale, 1, relative, betaFast, betaSlow];
}
