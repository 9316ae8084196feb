import { describe, expect, test } from "vitest";
import { checkSampling, metaSampling, sample, type SamplingOptions } from "../../src/generate/sampling.ts";

const all: SamplingOptions = { temperature: 1, topK: 0, topP: 1 };
/** Probabilities 1/2, 1/4, 1/8, 1/8 for the tokens 2, 0, 1, 3. */
const logits = Float32Array.from([1 / 4, 1 / 8, 1 / 2, 1 / 8], Math.log);

/** The token for each of 16 draws spread evenly over [0, 1). */
function draws(options: SamplingOptions): number[] {
  return Array.from({ length: 16 }, (_, i) => sample(logits, options, () => (i + 0.5) / 16));
}

function counts(options: SamplingOptions): number[] {
  const found = draws(options);
  return [0, 1, 2, 3].map((token) => found.filter((drawn) => drawn === token).length);
}

describe("sampling", () => {
  test("at temperature 0 takes the most probable token, the first of equals", () => {
    expect(counts({ ...all, temperature: 0 })).toEqual([0, 0, 16, 0]);
    expect(sample(Float32Array.of(1, 3, 3), { ...all, temperature: 0 }, () => 0.99)).toBe(1);
  });

  test("at temperature 1 draws each token as often as it is probable", () => {
    expect(counts(all)).toEqual([4, 2, 8, 2]);
  });

  test("at temperature 1/2 squares the odds: 4 : 1 : 16 : 1 in 22", () => {
    // 16 draws: 16/22 of them is 11.6, 4/22 is 2.9, 1/22 is 0.7.
    expect(counts({ ...all, temperature: 0.5 })).toEqual([3, 1, 11, 1]);
  });

  test("top-k keeps the k most probable: odds 2 : 1 for two", () => {
    expect(counts({ ...all, topK: 2 })).toEqual([5, 0, 11, 0]);
    expect(counts({ ...all, topK: 1 })).toEqual([0, 0, 16, 0]);
  });

  test("top-p keeps the token that crosses p, and drops those after it", () => {
    // Before token 0 stand 1/2 <= 0.6, before token 1 stand 3/4 > 0.6.
    expect(counts({ ...all, topP: 0.6 })).toEqual([5, 0, 11, 0]);
    expect(counts({ ...all, topP: 0.4 })).toEqual([0, 0, 16, 0]);
  });

  test("refuses settings that cannot be", () => {
    expect(() => checkSampling({ ...metaSampling, temperature: -1 })).toThrow(
      "temperature (-1) is not a number from 0 up",
    );
    expect(() => checkSampling({ ...metaSampling, topK: 1.5 })).toThrow(
      "top-k (1.5) is not a whole number from 0 up",
    );
    expect(() => checkSampling({ ...metaSampling, topP: 0 })).toThrow("top-p (0) does not lie in (0, 1]");
  });
});
