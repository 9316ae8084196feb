import { describe, expect, test } from "vitest";
import { rewardAnnotator, strengthOfGap } from "../../src/reward/annotator.ts";
import type { RewardFunction } from "../../src/reward/reward-function.ts";

const prompt = [{ role: "user" as const, content: "why?" }];

/** Scores answers by their text. */
function scores(table: Readonly<Record<string, number>>): RewardFunction {
  return async (answers) => Float64Array.from(answers, ({ answer }) => table[answer]!);
}

describe("how much better an answer is", () => {
  test.each([
    // σ(ln 3) = 3/4, σ(ln 2) = 2/3, σ(ln 1.5) = 3/5, σ(0) = 1/2.
    [Math.log(3), "significantly"],
    [Math.log(2), "better"],
    [Math.log(1.5), "slightly"],
    [0, "negligibly"],
    [1000, "significantly"],
  ])("a gap of %f is %s", (gap, strength) => {
    expect(strengthOfGap(gap)).toBe(strength);
  });

  test("the thresholds are the middles of Table 8's 80.7, 67.5, 60.9 and 54.7%", () => {
    const logit = (p: number): number => Math.log(p / (1 - p));
    const middles = [(0.807 + 0.675) / 2, (0.675 + 0.609) / 2, (0.609 + 0.547) / 2].map(logit);
    expect(middles.map((gap) => strengthOfGap(gap + 1e-9))).toEqual(["significantly", "better", "slightly"]);
    expect(middles.map((gap) => strengthOfGap(gap - 1e-9))).toEqual(["better", "slightly", "negligibly"]);
  });
});

describe("a helpfulness model alone", () => {
  const judge = rewardAnnotator({ helpfulness: scores({ good: 2, bad: 1 }) }, "helpfulness");
  test("prefers the higher score, whichever side it is on, and says nothing of safety", async () => {
    // σ(1) = 0.731
    expect(await judge(prompt, "good", "bad")).toEqual({ better: "a", strength: "better" });
    expect(await judge(prompt, "bad", "good")).toEqual({ better: "b", strength: "better" });
  });
});

describe("with a safety model", () => {
  // logit(0.15) = -1.735 is the paper's threshold.
  const models = {
    helpfulness: scores({ helps: 3, harms: 9, dull: 0, worse: 8 }),
    safety: scores({ helps: 1, harms: -2, dull: 4, worse: -5 }),
  };
  const judge = rewardAnnotator(models, "helpfulness");

  test("of two safe answers the more helpful one is better", async () => {
    expect(await judge(prompt, "dull", "helps")).toEqual({
      better: "b",
      strength: "significantly",
      safety: "both-safe",
    });
  });

  test("an unsafe answer loses to a safe one, however helpful it is", async () => {
    expect(await judge(prompt, "harms", "dull")).toEqual({
      better: "b",
      strength: "significantly",
      safety: "chosen-safe",
    });
  });

  test("of two unsafe answers the less unsafe one is better", async () => {
    expect(await judge(prompt, "worse", "harms")).toMatchObject({ better: "b", safety: "both-unsafe" });
  });

  test("a batch about safety is judged by safety, with a helpfulness model or without", async () => {
    const expected = { better: "b", strength: "significantly", safety: "both-safe" };
    expect(await rewardAnnotator(models, "safety")(prompt, "helps", "dull")).toEqual(expected);
    const { safety } = models;
    expect(await rewardAnnotator({ safety }, "safety")(prompt, "helps", "dull")).toEqual(expected);
  });
});
