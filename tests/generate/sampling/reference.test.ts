/** The sampler draws what the plain one draws. */

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../../src/corpus/random.ts";
import { createSampler, sample, type SamplingOptions } from "../../../src/generate/sampling.ts";
import {
  all,
  logits,
  sampleBySorting,
  sum,
  probabilities,
  evenCounts,
  randomLogits,
  someLogits,
  share,
  shareOr,
  unit,
} from "./reference.ts";

describe("without sorting", () => {
  test("temperature, top-k and top-p draw the tokens that sorting drew", () => {
    fc.assert(
      fc.property(
        // Whole eighths have ties, and normal ones many tokens that are nearly equal.
        fc.oneof(
          fc
            .array(fc.integer({ min: -40, max: 40 }), { minLength: 1, maxLength: 50 })
            .map((eighths) => Float32Array.from(eighths, (eighth) => eighth / 8)),
          someLogits.map(({ vocabSize, seed, deviation }) => randomLogits(20 * vocabSize, seed, deviation)),
        ),
        fc.constantFrom(0, 0.01, 0.6, 1, 1.7, 50),
        fc.constantFrom(0, 1, 2, 7, 40, 1000, 10_000),
        shareOr(1),
        unit,
        (logits, temperature, topK, topP, u) => {
          const options = { temperature, topK, topP };
          expect(sample(logits, options, () => u)).toBe(sampleBySorting(logits, options, u));
        },
      ),
      { numRuns: 600 },
    );
  });

  test.each([
    ["no spread at all", 0],
    ["a spread below the resolution of the bins", 1e-4],
    ["a spread of two nats", 2],
  ])("32 000 logits with %s draw the tokens that sorting drew", (_title, deviation) => {
    const logits = randomLogits(32_000, 1, deviation);
    for (const u of [0, 0.1, 0.5, 0.77, 0.999]) {
      for (const options of [{ ...all, topP: 0.9 }, { ...all, topK: 1001 }, { ...all, topP: 0.01 }, all])
        expect(sample(logits, options, () => u)).toBe(sampleBySorting(logits, options, u));
    }
  });

  test("a draw of the largest number below 1 is the last token that is kept", () => {
    const largest = 1 - 2 ** -53;
    expect(sample(logits, all, () => largest)).toBe(3);
    expect(sample(logits, { ...all, topK: 3 }, () => largest)).toBe(1);
  });
});

describe("every combination", () => {
  test("draws a token that can be drawn, at any temperature and of any logits", () => {
    const inf = Number.NEGATIVE_INFINITY;
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(fc.float({ noNaN: true, max: Math.fround(3e38) }), fc.constantFrom(inf, 0, 1e-45)),
          {
            minLength: 1,
            maxLength: 40,
          },
        ),
        fc.constantFrom(0, 1e-300, 1e-9, 1, 1e9, 1e300),
        fc.record({ topK: fc.nat(5), topP: share, minP: fc.constantFrom(0, 0.5, 1), typicalP: share }),
        fc.constantFrom(0, 0.5, 1 - 2 ** -53),
        (values, temperature, filters, u) => {
          const logits = Float32Array.from([...values, 0]);
          const possible = (id: number): void => {
            expect(Number.isInteger(id)).toBe(true);
            expect(logits[id]).toBeGreaterThan(inf);
          };
          possible(sample(logits, { temperature, ...filters }, () => u));
          if (temperature === 0) return;
          const mirostat = { tau: 3, eta: 0.1 };
          possible(sample(logits, { ...all, temperature, mirostat }, () => u));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("draws each token as often as the formulas say, to less than one draw", () => {
    fc.assert(
      fc.property(
        someLogits,
        fc.record({
          temperature: fc.constantFrom(0.3, 1, 2),
          topK: fc.constantFrom(0, 2, 5, 30),
          topP: shareOr(1),
          minP: fc.constantFrom(0, 0.05, 0.5),
          typicalP: shareOr(1),
          repeatPenalty: fc.constantFrom(1, 1.3, 0.8),
          repeatLastN: fc.constantFrom(0, 1, 3, 64, -1),
          presencePenalty: fc.constantFrom(0, 0.7, -0.5),
          frequencyPenalty: fc.constantFrom(0, 0.2),
        }),
        fc.array(fc.nat(9), { maxLength: 6 }),
        fc.array(fc.nat(9), { maxLength: 6 }),
        ({ vocabSize, seed, deviation }, options, prompt, generated) => {
          const logits = randomLogits(vocabSize + 10, seed, deviation);
          const used = { prompt, generated };
          const found = evenCounts(logits, options, used, 256);
          const expected = probabilities(logits, options, used);
          const worst = Math.max(...found.map((count, id) => Math.abs(count - 256 * expected[id]!)));
          expect(worst).toBeLessThan(1.001);
        },
      ),
      { numRuns: 400 },
    );
  });

  // χ² of 19 degrees of freedom is above 50 once in 7000 seeds.
  test.each<[string, Partial<SamplingOptions>]>([
    ["temperature", { temperature: 0.7 }],
    ["top-k", { topK: 6 }],
    ["top-p", { topP: 0.8 }],
    ["min-p", { minP: 0.1 }],
    ["typical-p", { typicalP: 0.7 }],
    ["a bias", { logitBias: new Map([[3, 1.5]]) }],
    ["all filters", { temperature: 1.2, topK: 15, typicalP: 0.95, topP: 0.9, minP: 0.02 }],
  ])("by %s, 20 000 seeded draws have a χ² below 50", (_title, options) => {
    const logits = randomLogits(20, 5, 1);
    const random = createRandom(9);
    const sampler = createSampler({ ...all, ...options }, 20, () => random.next());
    const found = new Array<number>(20).fill(0);
    for (let i = 0; i < 20_000; i += 1) found[sampler.sample(logits)]! += 1;
    const expected = probabilities(logits, { ...all, ...options });
    const terms = found.map((count, id) => {
      const mean = 20_000 * expected[id]!;
      if (mean === 0) expect(count).toBe(0);
      return mean === 0 ? 0 : (count - mean) ** 2 / mean;
    });
    expect(sum(terms)).toBeLessThan(50);
  });
});
