import { expect, test } from "vitest";
import { combinedReward } from "../../src/reward/combined-reward.ts";
import type { Answered, RewardFunction } from "../../src/reward/reward-function.ts";

const asked = (isSafety: boolean): Answered => ({
  prompt: [{ role: "user", content: "?" }],
  answer: "!",
  isSafety,
});
const constant =
  (...scores: number[]) =>
  () =>
    Promise.resolve(Float64Array.from(scores));

test("helpfulness counts, unless the prompt is tagged or the safety score's sigmoid is below 0.15", async () => {
  // σ(-1.7) = 0.154, σ(-1.8) = 0.142.
  const reward = combinedReward(constant(5, 5, 5, 5), constant(-1.7, -1.8, 2, -9));
  const scores = await reward([asked(false), asked(false), asked(true), asked(true)]);
  expect([...scores]).toEqual([5, -1.8, 2, -9]);
});

test("scores are logits: none is lost where the sigmoid is 0 or 1", async () => {
  const reward = combinedReward(constant(800, 0), constant(3, -800));
  expect([...(await reward([asked(false), asked(false)]))]).toEqual([800, -800]);
});

test("the helpfulness model is not asked about answers that the safety score decides", async () => {
  const numbered = (isSafety: boolean, answer: string): Answered => ({ ...asked(isSafety), answer });
  const seen: string[] = [];
  const helpfulness: RewardFunction = (answers) => {
    seen.push(...answers.map(({ answer }) => answer));
    return Promise.resolve(Float64Array.from(answers, ({ answer }) => Number(answer)));
  };
  const answers = ["10", "11", "12", "13"].map((answer, i) => numbered(i === 1, answer));
  expect([...(await combinedReward(helpfulness, constant(1, 2, -9, 3))(answers))]).toEqual([10, 2, -9, 13]);
  expect(seen).toEqual(["10", "13"]);
  await combinedReward(helpfulness, constant(4))([numbered(true, "14")]);
  expect(seen).toEqual(["10", "13"]);
});
