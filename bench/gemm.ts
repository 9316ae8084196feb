/**
 * How fast the device multiplies matrices of the training bench's shapes: the ceiling of what a step can reach.
 */

import { openBackend, type Backend, type BackendOptions } from "../src/tensor/backend.ts";
import { measureGemm, measureMemory, type GemmSize } from "../src/tensor/measure.ts";
import { rounded, type BenchResult } from "./result.ts";

export interface GemmSpeed {
  /** The best of the shapes. */
  readonly peak: number;
  /** Of all shapes one after another: flops over time. */
  readonly mean: number;
  readonly byShape: Readonly<Record<string, number>>;
}

/** 16 sequences of 256 tokens through dim 288, hidden 768, vocab 4096. */
export const gemmShapes: Readonly<Record<string, GemmSize>> = {
  "attention projection": { n: 4096, m: 288, k: 288 },
  "feed-forward in": { n: 4096, m: 768, k: 288 },
  "feed-forward out": { n: 4096, m: 288, k: 768 },
  "output head": { n: 4096, m: 4096, k: 288 },
  "gradient by a weight": { n: 768, m: 288, k: 4096 },
};

/** In GFLOP/s. */
export async function gemmSpeed(backend: Backend, dtype: "f32" | "bf16"): Promise<GemmSpeed> {
  const byShape: Record<string, number> = {};
  let flops = 0;
  let seconds = 0;
  for (const [name, size] of Object.entries(gemmShapes)) {
    const speed = await measureGemm(backend, size, dtype);
    const work = 2 * size.n * size.m * size.k;
    byShape[name] = speed;
    flops += work;
    seconds += work / speed / 1e9;
  }
  return { peak: Math.max(...Object.values(byShape)), mean: flops / seconds / 1e9, byShape };
}

export async function benchGemm(options: BackendOptions): Promise<BenchResult> {
  using backend = openBackend(options);
  const bf16 = await gemmSpeed(backend, "bf16");
  const f32 = await gemmSpeed(backend, "f32");
  const memory = await measureMemory(backend);
  const rows = Object.entries(gemmShapes).map(([name, { n, m, k }]): [string, string] => [
    `${name}, ${n} x ${m} x ${k}`,
    `bf16 ${bf16.byShape[name]!.toFixed(0)}, f32 ${f32.byShape[name]!.toFixed(0)} GFLOP/s`,
  ]);
  return {
    rows: [...rows, ["weights read by a product with one row", `${memory.toFixed(1)} GB/s`]],
    json: {
      threads: backend.threads,
      features: backend.features,
      gigaflopsPerSecond: { bf16: speedNumbers(bf16), f32: speedNumbers(f32) },
      memoryGigabytesPerSecond: rounded(memory),
    },
  };
}

// --- internal ---

function speedNumbers({ peak, mean, byShape }: GemmSpeed): object {
  return {
    peak: rounded(peak),
    mean: rounded(mean),
    byShape: Object.fromEntries(Object.entries(byShape).map(([name, speed]) => [name, rounded(speed)])),
  };
}
