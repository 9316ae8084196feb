/** How fast a device is at what models are made of. */

import type { Backend } from "./backend.ts";
import { Graph } from "./graph.ts";
import { matmul } from "./matmul.ts";
import { createStorage } from "./storage.ts";

export interface GemmSize {
  readonly n: number;
  readonly m: number;
  readonly k: number;
}

/** Best of a few runs of an `[n, k]` by `[m, k]` product, in GFLOP/s. */
export async function measureGemm(
  backend: Backend,
  { n, m, k }: GemmSize,
  dtype: "f32" | "f16" | "bf16",
): Promise<number> {
  const seconds = await bestProduct(backend, { n, m, k }, dtype);
  return (2 * n * m * k) / seconds / 1e9;
}

/** Bytes of weights read by a product with one row, as in generation, in GB/s. */
export async function measureMemory(backend: Backend): Promise<number> {
  const [m, k] = [16_384, 4096];
  const seconds = await bestProduct(backend, { n: 1, m, k }, "f32");
  return (4 * m * k) / seconds / 1e9;
}

// --- internal ---

async function bestProduct(
  backend: Backend,
  { n, m, k }: GemmSize,
  dtype: "f32" | "f16" | "bf16",
): Promise<number> {
  using storage = createStorage("measured weights", backend, { w: { shape: [m, k], dtype } });
  using graph = new Graph("measured product", backend, { capacity: 16 });
  const x = graph.input([n, k]);
  graph.output(matmul(graph, x, storage.tensors.w));
  graph.allocate();
  await graph.compute();
  let best = Number.POSITIVE_INFINITY;
  const start = performance.now();
  for (let i = 0; i < 20 && (i < 3 || performance.now() - start < 700); i += 1) {
    const before = performance.now();
    await graph.compute();
    best = Math.min(best, performance.now() - before);
  }
  return best / 1000;
}
