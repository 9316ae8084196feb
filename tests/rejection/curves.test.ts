/** The expected reward among N of K samples, against counting by hand. */

import { describe, expect, test } from "vitest";
import { expectedOrderStatistic, rewardCurves } from "../../src/rejection/curves.ts";
import type { ScoredSample } from "../../src/rejection/score.ts";

/** One prompt's samples at the first temperature. */
function scored(...scores: readonly (number | undefined)[]): ScoredSample[] {
  return scores.map((score, k) => ({
    prompt: 0,
    temperature: 0,
    k,
    text: "Yes.",
    tokens: 2,
    reason: "stop",
    score,
  }));
}
const curveOf = (samples: readonly ScoredSample[], k: number): ReturnType<typeof rewardCurves>[number] =>
  rewardCurves(samples, { temperatures: [1], samples: k })[0]!;

describe("among N of the samples 1, 2 and 4", () => {
  test("the expected greatest is the mean of one, of the pairs' greater (2, 4, 4), and the greatest", () => {
    const { max } = curveOf(scored(2, 4, 1), 3);
    for (const [i, value] of [7 / 3, 10 / 3, 4].entries()) expect(max[i]).toBeCloseTo(value, 12);
  });

  test("the expected median is the mean of one, of the pairs' means (1.5, 2.5, 3), and the median", () => {
    const { median } = curveOf(scored(4, 1, 2), 3);
    for (const [i, value] of [7 / 3, 7 / 3, 2].entries()) expect(median[i]).toBeCloseTo(value, 12);
  });
});

test("the least of one sample is the sample, and of all of them the least", () => {
  expect(expectedOrderStatistic([1, 2, 4], 1, 1)).toBeCloseTo(7 / 3, 12);
  expect(expectedOrderStatistic([1, 2, 4], 3, 1)).toBe(1);
});

test("a sample that could not be scored counts as its prompt's lowest", () => {
  expect(curveOf(scored(undefined, 1, 3), 3).max).toEqual(curveOf(scored(1, 1, 3), 3).max);
});

test("with a hundred samples the curve is finite and never falls", () => {
  const { max } = curveOf(scored(...Array.from({ length: 100 }, (_, i) => Math.sin(i * i))), 100);
  expect(max.every((value, i) => i === 0 || value > max[i - 1]! - 1e-12)).toBe(true);
  expect(max.at(-1)).toBeCloseTo(Math.max(...Array.from({ length: 100 }, (_, i) => Math.sin(i * i))), 9);
});
