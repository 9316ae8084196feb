/** The whole model's loss and gradients against the float64 oracle. */

import { describe, expect, test } from "vitest";
import { llamaConfig, type LlamaConfig } from "../../src/model/config.ts";
import { createWeights } from "../../src/model/weights.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import type { Precision } from "../../src/tensor/graph.ts";
import { nextToken } from "../../src/train/next-token.ts";
import { Trainer } from "../../src/train/step.ts";
import { lossAndGradients, randomWeights } from "../oracle/llama.ts";
import { randomTokens } from "../tiny-model.ts";
import { maxRelativeError } from "./numerical.ts";

const base = { dim: 32, nLayers: 2, nHeads: 4, hiddenDim: 64, vocabSize: 48, maxSeqLen: 16, normEps: 1e-5 };
const models: Readonly<Record<string, LlamaConfig>> = {
  "a key-value head for each head, untied": llamaConfig({ ...base, nKvHeads: 4 }),
  "grouped queries, untied": llamaConfig({ ...base, nKvHeads: 2 }),
  "one key-value head, tied": llamaConfig({ ...base, nKvHeads: 1, isTied: true }),
};

const seq = 16;
const text = randomTokens(2 * seq + 1, base.vocabSize, 11);
const lossWeights = Float32Array.from({ length: 2 * seq }, (_, i) => (i % 3 === 0 ? 0 : 1 + (i % 2)));

async function engine(config: LlamaConfig, precision: Precision) {
  using backend = openBackend({ threads: 2 });
  using weights = createWeights(backend, config);
  for (const [name, values] of Object.entries(randomWeights(config, 5)))
    weights.byName[name]!.write(Float32Array.from(values));
  using trainer = new Trainer(backend, weights, nextToken, {
    batch: 2,
    seq,
    precision,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-5,
    weightDecay: 0,
    gradClip: 1,
  });
  const { loss } = await trainer.gradients([
    { tokens: text.slice(0, -1), targets: text.slice(1), weights: lossWeights },
  ]);
  return {
    loss,
    gradients: Object.fromEntries(
      Object.entries(trainer.state.gradients).map(([name, t]) => [name, t.readF32()]),
    ),
  };
}

/** Two sequences, whose losses share one mean. */
function oracle(config: LlamaConfig) {
  const weights = randomWeights(config, 5);
  let loss = 0;
  const gradients: Record<string, Float64Array> = {};
  const total = lossWeights.reduce((a, b) => a + b, 0);
  for (const row of [0, 1]) {
    const [from, to] = [row * seq, (row + 1) * seq];
    const own = lossWeights.slice(from, to);
    const share = own.reduce((a, b) => a + b, 0) / total;
    const result = lossAndGradients(config, weights, text.slice(from, to), text.slice(from + 1, to + 1), own);
    loss += share * result.loss;
    for (const [name, gradient] of Object.entries(result.gradients)) {
      gradients[name] = gradient.map((value, i) => share * value + (gradients[name]?.[i] ?? 0));
    }
  }
  return { loss, gradients };
}

describe.each(Object.entries(models))("%s", (_, config) => {
  test("loss and every gradient agree with float64", async () => {
    const [ours, exact] = [await engine(config, "f32"), oracle(config)];
    expect(Math.abs(ours.loss - exact.loss) / exact.loss).toBeLessThan(1e-6);
    // 2^-24 a rounding; sums of up to 64 terms in each of some twenty products between a weight and the loss.
    for (const [name, gradient] of Object.entries(exact.gradients)) {
      expect([name, maxRelativeError(ours.gradients[name]!, gradient) < 256 * 2 ** -24]).toEqual([
        name,
        true,
      ]);
    }
  });
});

test("in bf16 every gradient keeps its direction", async () => {
  const config = models["grouped queries, untied"]!;
  const [ours, exact] = [await engine(config, "bf16"), oracle(config)];
  expect(Math.abs(ours.loss - exact.loss) / exact.loss).toBeLessThan(2 ** -8);
  for (const [name, gradient] of Object.entries(exact.gradients)) {
    const [a, b] = [ours.gradients[name]!, gradient];
    const dot = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
      Array.from(x).reduce((s, v, i) => s + v * y[i]!, 0);
    expect([name, dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)) > 0.999]).toEqual([name, true]);
  }
});
