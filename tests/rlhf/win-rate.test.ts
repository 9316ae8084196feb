import { expect, test } from "vitest";
import { winRate } from "../../src/rlhf/win-rate.ts";

test("a win counts one, a tie half, a loss nothing", () => {
  expect(winRate([[1, 0.5], [0.2]], [[0, 0.5], [0.3]])).toMatchObject({
    rate: 0.5,
    wins: 1,
    ties: 1,
    losses: 1,
  });
});

test("who wins everywhere wins without doubt", () => {
  expect(winRate([[1], [1], [1]], [[0], [0], [0]])).toMatchObject({ rate: 1, low: 1, high: 1 });
});

test("four answers to each of 10 prompts that agree are no surer than one: prompts are what is drawn", () => {
  const points = Array.from({ length: 10 }, (_, i) => (i < 7 ? 1 : 0));
  const once = winRate(
    points.map((x) => [x]),
    points.map((x) => [1 - x]),
  );
  const often = winRate(
    points.map((x) => [x, x, x, x]),
    points.map((x) => [1 - x, 1 - x, 1 - x, 1 - x]),
  );
  expect([often.rate, often.low, often.high]).toEqual([once.rate, once.low, once.high]);
  // The binomial's 2.5% and 97.5% points of 10 draws at 0.7 are 4 and 9 or 10.
  expect(once.low).toBeCloseTo(0.4, 6);
  expect(once.high).toBeGreaterThanOrEqual(0.9);
});
