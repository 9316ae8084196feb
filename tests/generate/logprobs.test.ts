import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { logprobsOf } from "../../src/generate/logprobs.ts";

/** Probabilities 1/2, 1/4, 1/8, 1/8 for the tokens 2, 0, 1, 3. */
const logits = Float32Array.from([1 / 4, 1 / 8, 1 / 2, 1 / 8], Math.log);

/** By float64 in the plainest way; the logits must not overflow. */
function direct(logits: ArrayLike<number>): number[] {
  const total = Array.from(logits, Math.exp).reduce((a, b) => a + b, 0);
  return Array.from(logits, (logit) => logit - Math.log(total));
}

describe("log-probabilities", () => {
  test("are the token's, and the most probable ones', the first of equals first", () => {
    const { id, logprob, top } = logprobsOf(logits, 1, 3);
    expect(id).toBe(1);
    // f32 logits: log 2 is rounded by 2^-25.
    expect(logprob).toBeCloseTo(-3 * Math.LN2, 6);
    expect(top.map((token) => token.id)).toEqual([2, 0, 1]);
    expect(top.map((token) => token.logprob / Math.LN2)).toEqual([
      expect.closeTo(-1, 6),
      expect.closeTo(-2, 6),
      expect.closeTo(-3, 6),
    ]);
  });

  test("report no other token when none is asked for, and at most all of them", () => {
    expect(logprobsOf(logits, 0, 0).top).toEqual([]);
    expect(logprobsOf(logits, 0, 1000).top.map(({ id }) => id)).toEqual([2, 0, 1, 3]);
  });

  test("do not overflow, and do not change when all logits move together", () => {
    const far = logits.map((logit) => 16 * Math.round(logit));
    const moved = far.map((logit) => logit + 2 ** 20);
    expect(logprobsOf(moved, 1, 4)).toEqual(logprobsOf(far, 1, 4));
    expect(logprobsOf(Float32Array.of(3e38, -3e38), 1, 0).logprob).toBe(
      Math.fround(-3e38) - Math.fround(3e38),
    );
  });

  test("of a certain token are 0, of an impossible one -Infinity", () => {
    const certain = Float32Array.of(0, Number.NEGATIVE_INFINITY);
    expect(logprobsOf(certain, 0, 2)).toEqual({
      id: 0,
      logprob: 0,
      top: [
        { id: 0, logprob: 0 },
        { id: 1, logprob: Number.NEGATIVE_INFINITY },
      ],
    });
    expect(logprobsOf(certain, 1, 0).logprob).toBe(Number.NEGATIVE_INFINITY);
  });

  test("agree with float64 sums, and the top with sorting", () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 1, maxLength: 60 }),
        fc.nat(59),
        fc.nat(70),
        (values, place, top) => {
          const logits = Float32Array.from(values);
          const id = place % logits.length;
          const expected = direct(logits);
          const found = logprobsOf(logits, id, top);
          // exp is taken to 2^-34, and a sum of positive terms keeps that.
          expect(Math.abs(found.logprob - expected[id]!)).toBeLessThan(2 ** -32);
          const order = [...logits.keys()].toSorted((a, b) => logits[b]! - logits[a]! || a - b);
          expect(found.top.map(({ id }) => id)).toEqual(order.slice(0, top));
          for (const { id, logprob } of found.top)
            expect(Math.abs(logprob - expected[id]!)).toBeLessThan(2 ** -32);
        },
      ),
    );
  });

  test("of 32 000 equal tokens are -log 32000", () => {
    expect(logprobsOf(new Float32Array(32_000).fill(5), 7, 0).logprob).toBeCloseTo(-Math.log(32_000), 12);
  });

  test.each([
    [4, 0, "token 4 is not one of 4 tokens"],
    [-1, 0, "token -1 is not one of 4 tokens"],
    [0, -1, "top-logprobs (-1) is not a whole number from 0 to 1000"],
    [0, 1e9, "top-logprobs (1000000000) is not a whole number from 0 to 1000"],
  ])("of token %d with %d others are refused", (id, top, message) => {
    expect(() => logprobsOf(logits, id, top)).toThrow(
      expect.objectContaining({ name: "ConfigError", message }),
    );
  });

  test("of a broken model are refused", () => {
    expect(() => logprobsOf(Float32Array.of(0, Number.NaN), 0, 0)).toThrow(
      "the model's logit of token 1 is NaN",
    );
    expect(() => logprobsOf(Float32Array.of(Number.NEGATIVE_INFINITY), 0, 0)).toThrow(
      "all 1 logits of the model are -Infinity",
    );
  });
});
