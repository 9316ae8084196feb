import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { klEstimate, shapedRewards, whitenedScoresApart } from "../../src/ppo/reward-shaping.ts";

const logprobs = Float32Array.of(-1, -2, -0.5);
const refLogprobs = Float32Array.of(-1.5, -1, -0.5);

describe("shaped rewards", () => {
  test("each token pays β times what it leaves the reference by, the last has the score", () => {
    expect(shapedRewards({ logprobs, refLogprobs }, 4, 0.5)).toEqual(Float64Array.of(-0.25, 0.5, 4));
  });

  test("with β = 0 the score is all there is", () => {
    expect([...shapedRewards({ logprobs, refLogprobs }, 4, 0)].map((x) => x + 0)).toEqual([0, 0, 4]);
  });

  test("one token pays and is scored", () => {
    const one = { logprobs: Float32Array.of(-1), refLogprobs: Float32Array.of(-2) };
    expect(shapedRewards(one, 1, 0.25)).toEqual(Float64Array.of(0.75));
  });
});

describe("estimates of the KL", () => {
  test("are exactly 0 where the policies agree", () => {
    expect(klEstimate({ logprobs, refLogprobs: logprobs })).toEqual({ k1: 0, k3: 0 });
  });

  test("k₁ sums the differences; k₃ has no negative term", () => {
    const { k1, k3 } = klEstimate({ logprobs, refLogprobs });
    expect(k1).toBe(-0.5);
    // e^-0.5 - 1 + 0.5 and e^1 - 1 - 1.
    expect(k3).toBeCloseTo(Math.exp(-0.5) - 0.5 + Math.E - 2, 12);
  });

  test("both have the KL for their mean; k₃ is never negative", () => {
    // π = (0.7, 0.3), π₀ = (0.4, 0.6).
    const [p, q] = [0.7, 0.4];
    const kl = p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q));
    const random = createRandom(5);
    const count = 20_000;
    let [k1, k3] = [0, 0];
    for (let i = 0; i < count; i += 1) {
      const isFirst = random.next() < p;
      const estimate = klEstimate({
        logprobs: Float32Array.of(Math.log(isFirst ? p : 1 - p)),
        refLogprobs: Float32Array.of(Math.log(isFirst ? q : 1 - q)),
      });
      expect(estimate.k3).toBeGreaterThanOrEqual(0);
      k1 += estimate.k1 / count;
      k3 += estimate.k3 / count;
    }
    // Five standard errors: deviations are below 0.6.
    expect(Math.abs(k1 - kl)).toBeLessThan(5 * (0.6 / Math.sqrt(count)));
    expect(Math.abs(k3 - kl)).toBeLessThan(5 * (0.6 / Math.sqrt(count)));
  });
});

describe("scores that are whitened apart", () => {
  const of = (isSafety: boolean, score: number) => ({ isSafety, score });

  test("have mean 0 and deviation 1 within each kind, in their order", () => {
    const whitened = whitenedScoresApart([of(false, 1), of(true, 50), of(false, 3), of(true, 30)]);
    for (const [i, value] of [-1, 1, 1, -1].entries()) expect(whitened[i]).toBeCloseTo(value, 6);
  });
  test("of one kind are those of plain whitening", () => {
    expect([...whitenedScoresApart([of(true, 2), of(true, 2)])]).toEqual([0, 0]);
    expect([...whitenedScoresApart([])]).toEqual([]);
  });
});
