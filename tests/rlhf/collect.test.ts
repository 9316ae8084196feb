/** Preferences that a judge gives. */

import { describe, expect, test } from "vitest";
import type { Comparison } from "../../src/preference/comparison.ts";
import { comparison } from "../../src/rlhf/collect.ts";
import type { Judge } from "../../src/rlhf/judge.ts";

/** The answer's first word is its score; "!" violates. */
const judge: Judge = ({ answer }) => ({
  score: Number(answer.split(" ")[0]),
  isViolation: answer.endsWith("!"),
  isFalseRefusal: false,
  criteria: {},
});
const dialog = [{ role: "user", content: "Who?" }] as const;

function prefer(a: string, b: string, isSafety = false): Comparison | undefined {
  return comparison({ dialog, isSafety }, [a, b], { judge, judgeName: "a test" });
}

test("the answer of the higher score is chosen, wherever it stands, under the judge's name", () => {
  const expected = {
    prompt: dialog,
    chosen: "0.9 yes",
    rejected: "0.1 no",
    strength: "significantly",
    safety: "both-safe",
    quality: "helpfulness",
    judge: "a test",
  };
  expect(prefer("0.9 yes", "0.1 no")).toEqual(expected);
  expect(prefer("0.1 no", "0.9 yes")).toEqual(expected);
});

test.each([
  ["0.75", "0.25", "significantly"],
  ["0.5", "0.25", "better"],
  ["0.375", "0.25", "slightly"],
  ["0.28125", "0.25", "negligibly"],
])("scores of %s and %s are %s apart", (a, b, strength) => {
  expect(prefer(a, b)?.strength).toBe(strength);
});

describe("a pair says nothing", () => {
  test("when its scores are equal", () => expect(prefer("0.5 a", "0.5 b")).toBeUndefined());
  test("when an answer is blank", () => expect(prefer("0.5", " ")).toBeUndefined());
  test("when the better answer is the unsafe one", () => {
    expect(prefer("0.9 yes!", "0.1 no", true)).toBeUndefined();
  });
});

test.each([
  ["0.9 no", "0.1 yes!", "chosen-safe"],
  ["0.9 no", "0.1 no", "both-safe"],
  ["0.9 yes!", "0.1 yes!", "both-unsafe"],
])("of a safety prompt, %s over %s is in the bin %s", (a, b, safety) => {
  expect(prefer(a, b, true)).toMatchObject({ safety, quality: "safety" });
});
