import { expect, test } from "vitest";
import { checkRolloutSampling } from "../../src/ppo/guards.ts";
import type { SamplingOptions } from "../../src/generate/sampling/options.ts";
import { printed } from "../train/printed.ts";

const own: SamplingOptions = { temperature: 1, topK: 0, topP: 1 };

test("the policy's own distribution is taken, at any one temperature", () => {
  expect(() => checkRolloutSampling(own, 1)).not.toThrow();
  expect(() => checkRolloutSampling({ ...own, temperature: 0.7 }, 0.7)).not.toThrow();
  expect(() =>
    checkRolloutSampling(
      { ...own, minP: 0, typicalP: 1, repeatPenalty: 1, presencePenalty: 0, frequencyPenalty: 0 },
      1,
    ),
  ).not.toThrow();
});

const cut = "tokens that it cuts off keep their probability in log π_θ, and are never drawn";
const bent = "it changes the probabilities that tokens are drawn by, and not log π_θ";

test.each<[string, Partial<SamplingOptions>, string, string]>([
  ["top_k (40)", { topK: 40 }, cut, "Set top_k to 0, or leave it out."],
  ["top_p (0.9)", { topP: 0.9 }, cut, "Set top_p to 1, or leave it out."],
  ["min_p (0.05)", { minP: 0.05 }, cut, "Set min_p to 0, or leave it out."],
  ["typical_p (0.5)", { typicalP: 0.5 }, cut, "Set typical_p to 1, or leave it out."],
  ["repeat_penalty (1.1)", { repeatPenalty: 1.1 }, bent, "Set repeat_penalty to 1, or leave it out."],
  ["presence_penalty (0.5)", { presencePenalty: 0.5 }, bent, "Set presence_penalty to 0, or leave it out."],
  [
    "frequency_penalty (0.5)",
    { frequencyPenalty: 0.5 },
    bent,
    "Set frequency_penalty to 0, or leave it out.",
  ],
  ["mirostat (given)", { mirostat: { tau: 5, eta: 0.1 } }, bent, "Leave mirostat out."],
  ["logit_bias (given)", { logitBias: new Map([[1, 2]]) }, bent, "Leave logit_bias out."],
  ["banned_ids (given)", { bannedIds: [3] }, cut, "Leave banned_ids out."],
  [
    "a constraint (given)",
    { constraint: { allowed: () => undefined, accept: () => {} } },
    cut,
    "Leave a constraint out.",
  ],
])("%s is refused, with the reason", (name, change, why, mend) => {
  expect(printed(() => checkRolloutSampling({ ...own, ...change }, 1))).toBe(
    `${name} biases the KL to the reference: ${why}\n  ${mend}`,
  );
});

test("a temperature that log-probabilities do not know of is refused, and so is none", () => {
  expect(printed(() => checkRolloutSampling({ ...own, temperature: 0.7 }, 1))).toMatchInlineSnapshot(`
    "rollouts are sampled at temperature 0.7 and their log-probabilities are computed at 1: the KL to the reference would be that of another policy than the one that wrote them
      Give both the same temperature."
  `);
  expect(printed(() => checkRolloutSampling({ ...own, temperature: 0 }, 0))).toMatchInlineSnapshot(`
    "temperature (0) is not a number above 0 and at most 10
      Rollouts are drawn from the policy: 1 is InstructGPT's."
  `);
});
