/** Preferences that a judge gives. */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Comparison } from "../../src/preference/comparison.ts";
import type { AnswerSampler } from "../../src/generate/answers.ts";
import { readComparisons } from "../../src/preference/read.ts";
import { collectComparisons, comparison, type Collected } from "../../src/rlhf/collect.ts";
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

describe("of two variants", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "cria-collect-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const prompts = Array.from({ length: 8 }, (_, i) => ({
    dialog: [{ role: "user" as const, content: `What is ${i}?` }],
    isSafety: false,
  }));

  /** The first variant's answers score 0.9, the second's 0.1. */
  async function collected(seed: number) {
    const seeds: Record<string, number[]> = {};
    const place = join(folder, String(seed));
    mkdirSync(place);
    const openSampler = (model: string) => {
      const run: AnswerSampler = async function* (requests) {
        for (const [request, { seeds: drawn }] of requests.entries())
          for (const [index, one] of drawn.entries()) {
            (seeds[model] ??= []).push(one);
            const text = `${model === "new" ? 0.9 : 0.1} said`;
            yield await Promise.resolve({ request, index, text, tokens: 2, reason: "stop" as const });
          }
      };
      return { run, [Symbol.dispose]() {} };
    };
    const variants = [
      { model: "new", temperature: 0.8 },
      { model: "old", temperature: 1.1 },
    ] as const;
    const options = { prompts, variants, pairs: 2, testFraction: 0.25, seed };
    const inputs = { openSampler, judge, judgeName: "a test", folder: place, origin: {} };
    return { outcome: await collectComparisons(options, inputs), seeds };
  }

  async function promptsIn({ test: file }: Collected): Promise<string[]> {
    const { comparisons } = await readComparisons(file);
    return [...new Set(comparisons.map(({ prompt }) => prompt[0]!.content))].toSorted();
  }

  test("every pair is compared, and whole prompts are set apart to test on", async () => {
    const { outcome } = await collected(1);
    expect(outcome).toMatchObject({ trainPairs: 12, testPairs: 4, leftOut: 0, firstWins: 1 });
    expect(await promptsIn(outcome)).toHaveLength(2);
  });

  test("the prompts to test on are the same in every version, whatever the seed", async () => {
    const [first, second] = [await collected(1), await collected(2)];
    expect(await promptsIn(second.outcome)).toEqual(await promptsIn(first.outcome));
  });

  test("no two answers are drawn from one seed, of one version or of two", async () => {
    const [first, second] = [await collected(1), await collected(2)];
    const drawn = [first, second].flatMap(({ seeds }) => Object.values(seeds).flat());
    expect(drawn).toHaveLength(2 * 2 * 8 * 2);
    expect(new Set(drawn).size).toBe(drawn.length);
  });
});
