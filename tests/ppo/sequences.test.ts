import { expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import type { Rollout } from "../../src/ppo/rollout.ts";
import { layOut, rowOf, rowTokens } from "../../src/ppo/sequences.ts";

function rollout(prompt: number[], answer: number[]): Rollout {
  return {
    prompt: { dialog: [{ role: "user", content: "?" }], isSafety: false },
    promptTokens: Int32Array.from(prompt),
    answer: Int32Array.from(answer),
    text: "!",
    isFinished: true,
  };
}

const options = { miniBatchSize: 2, microBatchSize: 2, maxTokens: 8, padId: 9 };

test("what is known of an answer's token lies where the token before it is read", () => {
  const [mini] = layOut([rollout([1, 5, 6], [7, 2])], options, createRandom(1));
  const [{ tokens, targets, mask, rows }] = mini as [(typeof mini & object)[number]];
  // The last token is no input; the second row of the micro-batch is empty.
  expect([...tokens]).toEqual([1, 5, 6, 7, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
  expect(targets.slice(0, 5)).toEqual(Int32Array.of(5, 6, 7, 2, 9));
  expect([...mask]).toEqual([0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  expect(rows).toEqual([{ rollout: 0, from: 2, length: 2 }]);
  expect(rowOf(Float32Array.from(targets), rows[0]!)).toEqual(Float32Array.of(7, 2));
});

test("every rollout is in one mini-batch, in an order of the seed's; in it the lengths ascend", () => {
  const rollouts = [5, 1, 4, 2, 3].map((length) =>
    rollout(
      [1],
      Array.from({ length }, () => 4),
    ),
  );
  const places = (seed: number): number[][] =>
    layOut(rollouts, options, createRandom(seed)).map((mini) =>
      mini.flatMap(({ rows }) => rows.map((row) => row.rollout)),
    );
  expect(places(1).map(({ length }) => length)).toEqual([2, 2, 1]);
  expect(
    places(1)
      .flat()
      .toSorted((a, b) => a - b),
  ).toEqual([0, 1, 2, 3, 4]);
  expect(places(1)).toEqual(places(1));
  expect(new Set([1, 2, 3, 4, 5, 6].map((seed) => String(places(seed)))).size).toBeGreaterThan(2);
  for (const mini of places(1)) {
    const lengths = mini.map((i) => rollouts[i]!.answer.length);
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  }
});

test("rows are as long as their longest text, in steps of 32, and no longer than they may be", () => {
  expect([rowTokens(1, 100), rowTokens(32, 100), rowTokens(33, 100), rowTokens(90, 90)]).toEqual([
    32, 32, 64, 90,
  ]);
});
