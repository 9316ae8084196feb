/** What an iteration gives its gradient steps: rewards, returns and advantages of two answers of one token, by hand. */

import { describe, expect, test } from "vitest";
import { learn, type IterationOptions } from "../../src/ppo/iteration.ts";
import type { PpoBatch } from "../../src/ppo/sequences.ts";

const options: IterationOptions = {
  beta: 0.5,
  gamma: 1,
  lambda: 1,
  epsilon: 0.2,
  valueEpsilon: 0.2,
  whitenScores: false,
  missingEosPenalty: 0,
  miniBatchSize: 2,
  microBatchSize: 2,
  maxTokens: 2,
  padId: 0,
};

/** The first answer ends by itself, the second was cut off. */
const trajectories = [
  { score: 5, value: 1, isFinished: true },
  { score: 1, value: -1, isFinished: false },
].map(({ score, value, isFinished }) => ({
  logprobs: Float32Array.of(-1),
  refLogprobs: Float32Array.of(-1),
  values: Float32Array.of(value),
  score,
  isSafety: false,
  isFinished,
}));

const layout = [
  [
    {
      tokens: new Int32Array(4),
      targets: new Int32Array(4),
      mask: Float32Array.of(0, 1, 1, 0),
      rows: [
        { rollout: 0, from: 1, length: 1 },
        { rollout: 1, from: 2, length: 1 },
      ],
    },
  ],
];

/** The tokens of the answers in the batch that the gradient step got. */
async function given(
  changes: Partial<IterationOptions> = {},
  moved = 0,
): Promise<{ returns: number[]; advantages: number[] }> {
  const seen: PpoBatch[] = [];
  await learn(
    { layout, trajectories, kl: 0 },
    {
      step(batches) {
        seen.push(...batches);
        const logprobs = batches.map(({ oldLogprobs }) => oldLogprobs.map((logprob) => logprob + moved));
        const values = batches.map(({ oldValues }) => oldValues);
        return Promise.resolve({ logprobs, values, gradientNorm: 1, isSkipped: false });
      },
    },
    { ...options, ...changes },
  );
  const [{ returns, advantages }] = seen as [PpoBatch];
  return { returns: [...returns.subarray(1, 3)], advantages: [...advantages.subarray(1, 3)] };
}

describe("a gradient step is given", () => {
  test("returns as they are, and whitened advantages", async () => {
    // Advantages 5 - 1 = 4 and 1 - (-1) = 2, of mean 3 and deviation 1.
    const { returns, advantages } = await given();
    expect(returns).toEqual([5, 1]);
    for (const [i, x] of [1, -1].entries()) expect(advantages[i]).toBeCloseTo(x, 6);
  });

  test("whitened scores, where they are asked for", async () => {
    const { returns } = await given({ whitenScores: true });
    for (const [i, x] of [1, -1].entries()) expect(returns[i]).toBeCloseTo(x, 6);
  });

  test("after whitening, a penalty for an answer that was cut off", async () => {
    const { returns } = await given({ whitenScores: true, missingEosPenalty: 0.5 });
    for (const [i, x] of [1, -1.5].entries()) expect(returns[i]).toBeCloseTo(x, 6);
  });
});

test("a policy that gives other bits before its first update is refused", async () => {
  await expect(given({}, 0.5)).rejects.toThrow(
    /^the ratio at the first update of an iteration is 1\.6487\d+, not exactly 1: the device/,
  );
});
