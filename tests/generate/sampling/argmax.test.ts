import { describe, expect, test } from "vitest";
import { createRandom } from "../../../src/corpus/random.ts";
import { argmax } from "../../../src/generate/sampling/argmax.ts";

describe("argmax", () => {
  const random = createRandom(1);

  test.each([1, 7, 8, 9, 16, 37, 200])("is the first of the largest of %i logits", (length) => {
    for (let i = 0; i < 50; i += 1) {
      // Few values, so that the largest is there more than once.
      const logits = Float32Array.from({ length }, () => random.int(6) - 3);
      expect(argmax(logits)).toBe(logits.indexOf(Math.max(...logits)));
    }
  });

  test("passes over -Infinity, and is -1 when there is nothing else", () => {
    const logits = new Float32Array(20).fill(Number.NEGATIVE_INFINITY);
    expect(argmax(logits)).toBe(-1);
    logits[13] = -1e30;
    expect(argmax(logits)).toBe(13);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("refuses %f wherever it stands", (bad) => {
    for (let i = 0; i < 20; i += 1) {
      const logits = new Float32Array(20);
      logits[i] = bad;
      expect(() => argmax(logits)).toThrow(`the model's logit of token ${i} is ${bad}`);
    }
  });
});
