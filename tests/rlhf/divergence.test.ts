/** The divergence of two distributions, by hand, and of two models along an answer. */

import { describe, expect, test } from "vitest";
import { Decoder } from "../../src/model/decoder.ts";
import { divergence, divergenceOf } from "../../src/rlhf/divergence.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";

const logits = (...probabilities: number[]): Float32Array => Float32Array.from(probabilities, Math.log);

describe("KL of distributions", () => {
  test("from ½, ½ to ¼, ¾ is ½ log 2 + ½ log ⅔", () => {
    expect(divergenceOf(logits(0.5, 0.5), logits(0.25, 0.75))).toBeCloseTo(
      0.5 * Math.log(2) + 0.5 * Math.log(2 / 3),
      6,
    );
  });

  test("is zero of a distribution and itself, whatever is added to the logits", () => {
    const shifted = logits(0.2, 0.8).map((value) => value + 3);
    expect(divergenceOf(logits(0.2, 0.8), shifted)).toBeCloseTo(0, 6);
  });

  test("does not ask for what neither can say", () => {
    const padded = (...probabilities: number[]): Float32Array =>
      Float32Array.of(...logits(...probabilities), Number.NEGATIVE_INFINITY);
    expect(divergenceOf(padded(0.5, 0.5), padded(0.25, 0.75))).toBe(
      divergenceOf(logits(0.5, 0.5), logits(0.25, 0.75)),
    );
  });
});

describe("KL of models", () => {
  const tokens = randomTokens(12, tinyConfig.vocabSize, 3);
  const example = (from: number) => ({
    tokens,
    lossMask: Uint8Array.from(tokens, (_, i) => (i >= from ? 1 : 0)),
  });

  test("is zero of a model and itself, and counts the answer's tokens only", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, tinyConfig, 1);
    using others = tinyWeights(backend, tinyConfig, 2);
    using policy = new Decoder(backend, weights);
    using same = new Decoder(backend, weights);
    using other = new Decoder(backend, others);
    expect((await divergence(policy, same, [example(4)])).perAnswer).toBe(0);
    const whole = await divergence(policy, other, [example(4)]);
    const last = await divergence(policy, other, [example(11)]);
    expect(whole.perAnswer).toBeCloseTo(8 * whole.perToken, 6);
    expect(last.perAnswer).toBe(last.perToken);
    expect(whole.perAnswer).toBeGreaterThan(last.perAnswer);
    expect(last.perAnswer).toBeGreaterThan(0);
    // Answers are read one by one, each from its own beginning.
    const both = await divergence(policy, other, [example(4), example(11)]);
    expect(both.perAnswer).toBeCloseTo((whole.perAnswer + last.perAnswer) / 2, 5);
  });
});
