/** The optimiser's kernels against the float64 oracle. */

import { expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { createAdamW, createAdamWState } from "../../src/tensor/adamw.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { createStorage } from "../../src/tensor/storage.ts";
import { adamwStep, clipGlobalNorm } from "../oracle/adamw.ts";
import { relativeDifference } from "../tiny-model.ts";

const shapes = { matrix: [4, 3], gain: [3] } as const;
const names = ["matrix", "gain"] as const;
const options = { beta1: 0.9, beta2: 0.95, eps: 1e-5, weightDecay: 0.1, gradClip: 1 };

/** Of each tensor, the same numbers in f32 here and there. */
function drawn(seed: number, scale: number): Record<string, Float64Array> {
  const random = createRandom(seed);
  const draw = (): number => Math.fround(scale * (random.next() - 0.5));
  return { matrix: Float64Array.from({ length: 12 }, draw), gain: Float64Array.from({ length: 3 }, draw) };
}

test("five steps of gradients above and below the clip are AdamW's, and only matrices decay", async () => {
  using backend = openBackend({ threads: 1 });
  const specs = {
    matrix: { shape: shapes.matrix, requiresGrad: true },
    gain: { shape: shapes.gain, requiresGrad: true },
  };
  using weights = createStorage("weights", backend, specs);
  using state = createAdamWState(backend, weights.tensors);
  using optimizer = createAdamW(backend, weights.tensors, state, options);
  const [p, m, v] = [drawn(1, 1), drawn(0, 0), drawn(0, 0)];
  for (const name of names) weights.tensors[name].write(Float32Array.from(p[name]!));
  // Norms of about 11, 0.1, 1.1, 0.6 and 110.
  for (const [i, scale] of [10, 0.1, 1, 0.5, 100].entries()) {
    const [t, lr] = [i + 1, 0.01 / (i + 1)];
    const gradients = drawn(10 + i, scale);
    for (const name of names) state.gradients[name]!.write(Float32Array.from(gradients[name]!));
    const norm = await optimizer.gradientNorm();
    await optimizer.update(lr, t);
    expect(norm).toBeCloseTo(clipGlobalNorm(gradients, options.gradClip), 4);
    for (const name of names) {
      const weightDecay = name === "matrix" ? options.weightDecay : 0;
      adamwStep(p[name]!, gradients[name]!, m[name]!, v[name]!, { ...options, lr, weightDecay, t });
    }
  }
  // A few roundings of 2^-24 in each of five steps.
  const bound = 64 * 2 ** -24;
  for (const name of names) {
    expect(relativeDifference(weights.tensors[name].readF32(), p[name]!)).toBeLessThan(bound);
    expect(relativeDifference(state.m[name]!.readF32(), m[name]!)).toBeLessThan(bound);
    expect(relativeDifference(state.v[name]!.readF32(), v[name]!)).toBeLessThan(bound);
  }
});
