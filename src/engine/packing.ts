/**
 * Weights laid out for products: for some types the CPU has kernels that read several rows at once, interleaved
 * or in tiles. Such a tensor is packed when its data is set, and nothing but a product can read it from then on.
 */

import { Arena, type Extents } from "./arena.ts";
import type { Backend } from "./backend.ts";
import type { Pointer } from "./ffi.ts";

/** The memory in which products read a weight of this type and size fastest; undefined for the common one. */
export function packedBufferType(backend: Backend, type: number, extents: Extents): Pointer | undefined {
  return backend.packedBufferTypes.find((bufferType) => canMultiply(backend, bufferType, { type, extents }));
}

// --- internal ---

interface Weight {
  readonly type: number;
  readonly extents: Extents;
}

/** Asks the device about a product with such a weight. Its memory is taken, which costs nothing until it is touched. */
function canMultiply(backend: Backend, bufferType: Pointer, { type, extents }: Weight): boolean {
  const { ggml } = backend.library;
  using weights = new Arena("packing", backend, 1, bufferType);
  using graph = new Arena("packing", backend, 2);
  const weight = weights.newTensor(type, extents);
  const buffer = ggml.allocCtxTensors(weights.ctx, bufferType);
  if (buffer === 0) return false;
  const x = graph.newTensor(0, [extents[0], 1, 1, 1]);
  const isSupported = backend.supports(ggml.mulMat(graph.reserve(1), weight, x));
  ggml.bufferFree(buffer);
  return isSupported;
}
