/** What changes logits before a token is drawn. */

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createSampler, sample, type TokenConstraint } from "../../../src/generate/sampling.ts";
import { all, logits, counts, randomLogits, someLogits, shareOr, unit, maskOf } from "./reference.ts";

describe("biases, bans and constraints", () => {
  test("a bias adds to the logit: log 4 makes 1/8 as probable as 1/2", () => {
    // Odds 2 : 4 : 4 : 1 in 11.
    expect(counts({ ...all, logitBias: new Map([[1, Math.log(4)]]) })).toEqual([3, 6, 6, 1]);
  });

  test("a bias of -Infinity bans a token, and so does the list of banned ones", () => {
    expect(counts({ ...all, logitBias: new Map([[2, Number.NEGATIVE_INFINITY]]) })).toEqual([8, 4, 0, 4]);
    expect(counts({ ...all, bannedIds: [2, 0] })).toEqual([0, 8, 0, 8]);
    expect(counts({ ...all, temperature: 0, bannedIds: [2] })).toEqual([16, 0, 0, 0]);
  });

  test("a bias of 100 forces a token", () => {
    expect(counts({ ...all, logitBias: new Map([[3, 100]]) })).toEqual([0, 0, 0, 16]);
  });

  test("nothing outside the mask is ever drawn", () => {
    fc.assert(
      fc.property(
        someLogits,
        fc.array(fc.nat(69), { minLength: 1, maxLength: 5 }),
        fc.record({ temperature: fc.constantFrom(0, 1), topK: fc.constantFrom(0, 3), topP: shareOr(1) }),
        unit,
        ({ vocabSize, seed, deviation }, places, options, u) => {
          const ids = places.map((place) => place % vocabSize);
          const constraint = maskOf(ids, vocabSize);
          const logits = randomLogits(vocabSize, seed, deviation);
          const before = logits.slice();
          const id = sample(logits, { ...options, typicalP: 0.9, constraint }, () => u);
          expect(ids).toContain(id);
          expect(logits).toEqual(before);
        },
      ),
    );
  });

  test("a mask of all tokens changes nothing, and neither does none", () => {
    const constraint = maskOf([...logits.keys()], 4);
    expect(counts({ ...all, constraint })).toEqual([4, 2, 8, 2]);
    expect(counts({ ...all, constraint: { ...constraint, allowed: () => undefined } })).toEqual([4, 2, 8, 2]);
  });

  test("a constraint is asked before each token and told of each that is accepted", () => {
    const heard: string[] = [];
    const bits = new Uint32Array(1);
    const constraint: TokenConstraint = {
      allowed: () => {
        heard.push("allowed");
        // Token 0, then 1, then 2.
        bits[0] = 1 << (heard.filter((event) => event === "allowed").length - 1);
        return bits;
      },
      accept: (id) => void heard.push(`accept ${id}`),
    };
    const sampler = createSampler({ ...all, constraint }, 4, () => 0.5);
    sampler.read([3]);
    for (let i = 0; i < 3; i += 1) sampler.accept(sampler.sample(logits));
    expect(heard).toEqual(["allowed", "accept 0", "allowed", "accept 1", "allowed", "accept 2"]);
  });
});

describe("penalties", () => {
  const greedy = { ...all, temperature: 0 };

  test("a repeated token has a positive logit divided and a negative one multiplied", () => {
    // 3 / 2 < 2, and -1 · 2 < -1.5.
    const up = createSampler({ ...greedy, repeatPenalty: 2 }, 2, () => 0);
    up.read([0]);
    expect(up.sample(Float32Array.of(3, 2))).toBe(1);
    expect(up.sample(Float32Array.of(-1, -1.5))).toBe(1);
    expect(up.sample(Float32Array.of(3, 1))).toBe(0);
  });

  test("the repetition penalty looks back on the last n tokens, of the prompt too, and forgets older ones", () => {
    const sampler = createSampler({ ...greedy, repeatPenalty: 2, repeatLastN: 2 }, 4, () => 0);
    const best = (): number => sampler.sample(Float32Array.of(8, 7, 6, 5));
    sampler.read([0]);
    expect(best()).toBe(1);
    sampler.accept(1);
    expect(best()).toBe(2);
    // 0 is the third last now; 1 stands twice, once of them in the window when 2 comes.
    sampler.accept(1);
    expect(best()).toBe(0);
    sampler.accept(2);
    expect(best()).toBe(0);
    sampler.accept(3);
    expect(sampler.sample(Float32Array.of(0, 7, 6, 5))).toBe(1);
  });

  test("presence counts a generated token once, frequency each time, and neither the prompt", () => {
    const logits = Float32Array.of(1, 0);
    const presence = createSampler({ ...greedy, presencePenalty: 0.75 }, 2, () => 0);
    const frequency = createSampler({ ...greedy, frequencyPenalty: 0.75 }, 2, () => 0);
    for (const sampler of [presence, frequency]) {
      sampler.read([0, 0, 0]);
      sampler.accept(0);
      expect(sampler.sample(logits)).toBe(0);
      sampler.accept(0);
    }
    expect(presence.sample(logits)).toBe(0);
    expect(frequency.sample(logits)).toBe(1);
  });

  test("of 1, and over no tokens, a repetition penalty changes nothing", () => {
    for (const options of [{ repeatPenalty: 1 }, { repeatPenalty: 9, repeatLastN: 0 }]) {
      const sampler = createSampler({ ...greedy, ...options }, 2, () => 0);
      sampler.read([0]);
      expect(sampler.sample(Float32Array.of(3, 2.9))).toBe(0);
    }
  });

  test("nothing changes before a token is accepted", () => {
    const sampler = createSampler({ ...greedy, frequencyPenalty: 1 }, 2, () => 0);
    const twice = [sampler.sample(Float32Array.of(1, 0.5)), sampler.sample(Float32Array.of(1, 0.5))];
    expect(twice).toEqual([0, 0]);
    sampler.accept(0);
    expect(sampler.sample(Float32Array.of(1, 0.5))).toBe(1);
  });
});
