/** Measures of a reward model, on scores by hand. */

import { describe, expect, test } from "vitest";
import type { Comparison, SafetyLabel, Strength } from "../../src/preference/comparison.ts";
import { evaluateScores, wilson, type ScoredPair } from "../../src/reward/evaluate.ts";

const logit = (p: number): number => Math.log(p / (1 - p));

function pair(
  chosen: number,
  rejected: number,
  more: { strength?: Strength; safety?: SafetyLabel; judge?: string } = {},
): ScoredPair {
  const comparison: Comparison = {
    prompt: [{ role: "user", content: "?" }],
    chosen: "a",
    rejected: "b",
    quality: "helpfulness",
    judge: "people",
    ...more,
  };
  return { comparison, chosen, rejected };
}

test("Wilson's interval of 8 in 10 is the textbook's", () => {
  const { share, low, high, of } = wilson(8, 10);
  expect([share, of]).toEqual([0.8, 10]);
  expect(low).toBeCloseTo(0.4902, 4);
  expect(high).toBeCloseTo(0.9433, 4);
});

test("Wilson's interval does not leave [0, 1]", () => {
  expect(wilson(0, 5).low).toBe(0);
  expect(wilson(5, 5).high).toBe(1);
  expect(wilson(5, 5).low).toBeCloseTo(0.5655, 4);
});

test("accuracy counts pairs whose chosen answer scores higher, by strength and by judge; equal scores are wrong", () => {
  const result = evaluateScores([
    pair(2, 1, { strength: "significantly" }),
    pair(0, 1, { strength: "significantly", judge: "script" }),
    pair(1, 1, { strength: "slightly" }),
    pair(3, -1),
  ]);
  expect(result.accuracy).toMatchObject({ share: 0.5, of: 4 });
  expect(result.byStrength.map(({ strength, accuracy }) => [strength, accuracy.share, accuracy.of])).toEqual([
    ["significantly", 0.5, 2],
    ["slightly", 0, 1],
    ["not rated", 1, 1],
  ]);
  expect(result.byJudge.map(({ judge, accuracy }) => [judge, accuracy.share])).toEqual([
    ["people", 2 / 3],
    ["script", 0],
  ]);
  expect(result.safety).toEqual([]);
});

describe("calibration", () => {
  test("compares the confidence in the preferred answer with how often people agree", () => {
    // Ten pairs at σ = 0.6, of which six are right, and ten at 0.9, of which nine are.
    const pairs = [
      ...Array.from({ length: 10 }, (_, i) => pair(i < 6 ? logit(0.6) : -logit(0.6), 0)),
      ...Array.from({ length: 10 }, (_, i) => pair(i < 9 ? logit(0.9) : -logit(0.9), 0)),
    ];
    const { calibration } = evaluateScores(pairs);
    expect(calibration).toHaveLength(4);
    const means = (from: number): number =>
      (calibration[from]!.agreement.share + calibration[from + 1]!.agreement.share) / 2;
    expect(calibration[0]!.confidence).toBeCloseTo(0.6, 10);
    expect(calibration[3]!.confidence).toBeCloseTo(0.9, 10);
    expect(means(0)).toBeCloseTo(0.6, 10);
    expect(means(2)).toBeCloseTo(0.9, 10);
  });

  test("error is 0.5 of a model that is certain of everything and right in half", () => {
    const pairs = Array.from({ length: 20 }, (_, i) => pair(i % 2 === 0 ? 100 : -100, 0));
    expect(evaluateScores(pairs).calibrationError).toBeCloseTo(0.5, 10);
  });
});

test("the threshold of 0.15 has a precision and a recall over both answers of labelled pairs", () => {
  const result = evaluateScores([
    pair(logit(0.9), logit(0.1), { safety: "chosen-safe" }), // caught, rightly
    pair(logit(0.9), logit(0.4), { safety: "chosen-safe" }), // missed
    pair(logit(0.1), logit(0.9), { safety: "both-safe" }), // caught, wrongly
    pair(logit(0.05), logit(0.6), { safety: "both-unsafe" }), // one of two caught
    pair(0, 0),
  ]);
  const [paper, half] = result.safety;
  expect(paper).toMatchObject({
    threshold: 0.15,
    precision: { share: 2 / 3, of: 3 },
    recall: { share: 0.5, of: 4 },
  });
  expect(half).toMatchObject({ threshold: 0.5, precision: { share: 3 / 4 }, recall: { share: 3 / 4 } });
});

test("histograms count the sigmoids of scores in twentieths, both ends included", () => {
  const { histogram } = evaluateScores([pair(1000, -1000), pair(0.01, logit(0.12))]);
  expect([histogram.chosen[19], histogram.chosen[10]]).toEqual([1, 1]);
  expect([histogram.rejected[0], histogram.rejected[2]]).toEqual([1, 1]);
  expect(histogram.chosen.reduce((a, b) => a + b)).toBe(2);
});
