import { expect, test } from "vitest";
import { rolloutMetrics, updateMetrics } from "../../src/ppo/metrics.ts";

test("means over answers: KL, entropy and rewards by hand", () => {
  const metrics = rolloutMetrics(
    [
      {
        logprobs: Float32Array.of(-1, -2),
        refLogprobs: Float32Array.of(-2, -2),
        values: new Float32Array(2),
        score: 3,
        isSafety: false,
        isFinished: true,
      },
      {
        logprobs: Float32Array.of(-0.5),
        refLogprobs: Float32Array.of(-1),
        values: new Float32Array(1),
        score: 1,
        isSafety: false,
        isFinished: false,
      },
    ],
    0.5,
  );
  expect(metrics).toMatchObject({
    "objective/kl": 0.75,
    "objective/entropy": 1.75,
    "objective/non_score_reward": -0.375,
    "objective/scores": 2,
    "objective/rlhf_reward": 1.625,
    "val/num_eos_tokens": 1,
    "answer/tokens": 1.5,
  });
  expect(metrics["objective/kl_k3"]).toBeCloseTo((Math.exp(-1) + Math.exp(-0.5) - 0.5) / 2, 6);
});

test("means over tokens of the updates: one token as it was, one that ran past the clip", () => {
  const batch = {
    tokens: new Int32Array(3),
    targets: new Int32Array(3),
    mask: Float32Array.of(0, 1, 1),
    rows: [{ rollout: 0, from: 1, length: 2 }],
    oldLogprobs: Float32Array.of(99, -1, -1),
    advantages: Float32Array.of(99, 1, 2),
    oldValues: Float32Array.of(99, 0, 0),
    returns: Float32Array.of(99, 1, 1),
  };
  const updated = {
    logprobs: [Float32Array.of(7, -1, -1 + Math.LN2)],
    values: [Float32Array.of(7, 0, 1)],
    gradientNorm: 3,
    isSkipped: false,
  };
  const metrics = updateMetrics([{ batches: [batch], updated }], { epsilon: 0.25, valueEpsilon: 0.5 });
  expect(metrics["val/ratio"]).toBeCloseTo(1.5, 6);
  expect(metrics["val/ratio_var"]).toBeCloseTo(0.25, 6);
  expect(metrics["policy/approxkl_avg"]).toBeCloseTo(Math.LN2 ** 2 / 4, 6);
  // -1 · 1, and -2 · 1.25 where the ratio is 2.
  expect(metrics["loss/policy_avg"]).toBeCloseTo(-1.75, 6);
  expect(metrics["policy/clipfrac_avg"]).toBe(0.5);
  // ½ 1, and ½ (0.5 - 1)², since the value may gain only half of its way.
  expect(metrics["loss/value_avg"]).toBeCloseTo(0.3125, 6);
  expect(metrics["val/clipfrac_avg"]).toBe(0.5);
  expect(metrics["gradNorm"]).toBe(3);
});
