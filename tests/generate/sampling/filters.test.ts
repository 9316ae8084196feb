/** Temperature, and what keeps some of the tokens. */

import { describe, expect, test } from "vitest";
import { sample } from "../../../src/generate/sampling.ts";
import { all, counts, randomLogits } from "./reference.ts";

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

  test("top-p keeps a token whose predecessors sum to exactly p", () => {
    // At this temperature a logit of -n has the mass 2^-n without rounding: 1/2, 1/4, 1/8, 1/8.
    const halves = { ...all, temperature: Math.LOG2E, topP: 0.5 };
    const found = [0.1, 0.6, 0.7, 0.99].map((u) => sample(Float32Array.of(0, -1, -2, -2), halves, () => u));
    expect(found).toEqual([0, 0, 1, 1]);
  });

  test("top-p keeps the token that crosses p, and drops those after it", () => {
    // Before token 0 stand 1/2 <= 0.6, before token 1 stand 3/4 > 0.6.
    expect(counts({ ...all, topP: 0.6 })).toEqual([5, 0, 11, 0]);
    expect(counts({ ...all, topP: 0.4 })).toEqual([0, 0, 16, 0]);
  });
});

describe("min-p", () => {
  test("keeps tokens of at least this share of the largest: 1/4 of 1/2 is 1/8", () => {
    expect(counts({ ...all, minP: 0.3 })).toEqual([5, 0, 11, 0]);
    expect(counts({ ...all, minP: 0.2 })).toEqual([4, 2, 8, 2]);
  });

  test("of 1 takes the most probable token", () => {
    expect(counts({ ...all, minP: 1 })).toEqual([0, 0, 16, 0]);
  });
});

describe("typical-p", () => {
  test("keeps the tokens whose surprise is nearest to the entropy, and may drop the most probable", () => {
    // Surprises 1, 2, 3, 3 bits, entropy 1.75: token 0 is 0.25 from it, token 2 0.75, the others 1.25.
    expect(counts({ ...all, typicalP: 0.2 })).toEqual([16, 0, 0, 0]);
    expect(counts({ ...all, typicalP: 0.5 })).toEqual([5, 0, 11, 0]);
  });

  test("keeps as many of 3000 tokens as the formula says, whatever the share", () => {
    // Many tokens in each bin, so that the limit is crossed among those that the bins alone cannot order.
    const many = randomLogits(3000, 3, 0.5);
    const total = many.reduce((sum, logit) => sum + Math.exp(logit), 0);
    const surprise = Array.from(many, (logit) => Math.log(total) - logit);
    const entropy = surprise.reduce((sum, nats) => sum + Math.exp(-nats) * nats, 0);
    const order = [...many.keys()].sort(
      (a, b) => Math.abs(surprise[a]! - entropy) - Math.abs(surprise[b]! - entropy),
    );
    for (const typicalP of [0.003, 0.01, 0.05, 0.2, 0.5, 0.9]) {
      let before = 0;
      const kept = order.filter((id) => {
        const isKept = before <= typicalP;
        before += Math.exp(-surprise[id]!);
        return isKept;
      });
      // The most probable and the least probable token that are kept.
      const ends = [kept.reduce((a, b) => (surprise[b]! < surprise[a]! ? b : a))];
      ends.push(kept.reduce((a, b) => (surprise[b]! > surprise[a]! ? b : a)));
      const drawn = [0, 1 - 2 ** -53].map((u) => sample(many, { ...all, typicalP }, () => u));
      expect(drawn).toEqual(ends);
    }
  });

  test("of equally surprising tokens keeps the lower ids", () => {
    const even = new Float32Array(10);
    const found = Array.from({ length: 20 }, (_, i) =>
      sample(even, { ...all, typicalP: 0.25 }, () => (i + 0.5) / 20),
    );
    expect([...new Set(found)]).toEqual([0, 1, 2]);
  });
});
