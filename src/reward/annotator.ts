/**
 * Reward models in the place of people who compare two answers. A model prefers the answer of the higher score; how
 * clearly follows from how sure it is, p = σ(r(x, y_c) - r(x, y_r)), the probability that people prefer that answer too
 * (Bradley and Terry 1952; the ranking loss of Llama 2 §3.2.2 fits it):
 *
 *     significantly   p ≥ 0.741
 *     better          p ≥ 0.642
 *     slightly        p ≥ 0.578
 *     negligibly      else
 *
 * Llama 2's helpfulness model agrees with 80.7%, 67.5%, 60.9% and 54.7% of the pairs that people rate so (Table 8). The
 * thresholds lie in the middle between them: each p has the rating whose pairs people agree on about as often. They hold
 * as far as the model is calibrated, which the report of `cria reward` shows.
 */

import type { Quality, SafetyLabel, Strength } from "../preference/comparison.ts";
import type { AnnotatorScript } from "../preference/annotation/script.ts";
import { safetyThreshold } from "./evaluate.ts";
import type { RewardFunction } from "./reward-function.ts";

/** At least one of the two. */
export interface RewardModels {
  readonly helpfulness?: RewardFunction;
  readonly safety?: RewardFunction;
}

/**
 * Safety decides where the batch is about it or an answer is unsafe (σ(r) below the paper's 0.15), so that the unsafe one
 * of two is never the better one; else helpfulness does. Without a safety model, nothing is said of safety.
 */
export function rewardAnnotator({ helpfulness, safety }: RewardModels, quality: Quality): AnnotatorScript {
  return async (prompt, a, b) => {
    const answers = [a, b].map((answer) => ({ prompt, answer, isSafety: quality === "safety" }));
    const safe = await safety?.(answers);
    const isUnsafe = [...(safe ?? [])].map((score) => sigmoid(score) < safetyThreshold);
    const isAboutSafety = quality === "safety" || isUnsafe.includes(true);
    const [ofA, ofB] = (
      safe !== undefined && isAboutSafety ? safe : ((await helpfulness?.(answers)) ?? safe)
    )!;
    const gap = ofA! - ofB!;
    const label = safe === undefined ? {} : { safety: safetyOf(isUnsafe) };
    return { better: gap >= 0 ? "a" : "b", strength: strengthOfGap(Math.abs(gap)), ...label };
  };
}

/** @param gap of two scores, in logits, at least 0. */
export function strengthOfGap(gap: number): Strength {
  const sureness = sigmoid(gap);
  if (sureness >= 0.741) return "significantly";
  if (sureness >= 0.642) return "better";
  return sureness >= 0.578 ? "slightly" : "negligibly";
}

// --- internal ---

function safetyOf(isUnsafe: readonly boolean[]): SafetyLabel {
  if (!isUnsafe.includes(true)) return "both-safe";
  // The safety scores decide then: the one that is safe is the better one.
  return isUnsafe.includes(false) ? "chosen-safe" : "both-unsafe";
}

function sigmoid(score: number): number {
  return 1 / (1 + Math.exp(-score));
}
