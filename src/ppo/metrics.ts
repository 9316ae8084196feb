/**
 * What an iteration measures, under the names of TRL's PPOTrainer, so that its users know them, and the whitening's
 * statistics, which it has not. Means are over tokens of answers; TRL 0.19 counts padding in the entropy, in
 * approxkl and in the ratio, and its ratio_var is of mini-batches' means.
 */

import type { Updated } from "./learner.ts";
import { klEstimate, type TokenLogprobs } from "./reward-shaping.ts";
import type { PpoBatch } from "./sequences.ts";

/** An answer, what it was given, and what the policy and the reference made of it. */
export interface Trajectory extends TokenLogprobs {
  /** V before each token, when it was written. `[tokens]` */
  readonly values: Float32Array;
  /** Before whitening. */
  readonly score: number;
  /** Whether its prompt is tagged. */
  readonly isSafety: boolean;
  readonly isFinished: boolean;
}

/** Means over an iteration's answers. */
export function rolloutMetrics(trajectories: readonly Trajectory[], beta: number): Record<string, number> {
  const mean = (of: (trajectory: Trajectory) => number): number =>
    trajectories.reduce((sum, trajectory) => sum + of(trajectory), 0) / trajectories.length;
  const kl = mean((trajectory) => klEstimate(trajectory).k1);
  const penalty = kl === 0 ? 0 : -beta * kl;
  const scores = mean(({ score }) => score);
  return {
    "objective/kl": kl,
    "objective/kl_k3": mean((trajectory) => klEstimate(trajectory).k3),
    "objective/entropy": mean(({ logprobs }) => logprobs.reduce((sum, logprob) => sum - logprob, 0)),
    "objective/non_score_reward": penalty,
    "objective/rlhf_reward": scores + penalty,
    "objective/scores": scores,
    "val/num_eos_tokens": trajectories.filter(({ isFinished }) => isFinished).length,
    "answer/tokens": mean(({ logprobs }) => logprobs.length),
  };
}

export interface ClipRanges {
  readonly epsilon: number;
  readonly valueEpsilon: number;
}

/** A mini-batch before its update, and what the update's forward pass made of it. */
export interface Update {
  readonly batches: readonly PpoBatch[];
  readonly updated: Updated;
}

/** Means over all tokens of an iteration's mini-batches, each by the policy that its update began with. */
export function updateMetrics(updates: readonly Update[], ranges: ClipRanges): Record<string, number> {
  const tokens = updates.flatMap((update) => [...tokensOf(update, ranges)]);
  const mean = (of: (token: TokenUpdate) => number): number =>
    tokens.reduce((sum, token) => sum + of(token), 0) / tokens.length;
  const ratio = mean((token) => token.ratio);
  return {
    "policy/approxkl_avg": mean(({ moved }) => 0.5 * moved ** 2),
    "policy/clipfrac_avg": mean(({ isClipped }) => Number(isClipped)),
    "loss/policy_avg": mean(({ policyLoss }) => policyLoss),
    "loss/value_avg": mean(({ valueLoss }) => valueLoss),
    "val/clipfrac_avg": mean(({ isValueClipped }) => Number(isValueClipped)),
    "val/ratio": ratio,
    "val/ratio_var": mean((token) => (token.ratio - ratio) ** 2),
    gradNorm: updates.reduce((sum, { updated }) => sum + updated.gradientNorm, 0) / updates.length,
  };
}

// --- internal ---

interface TokenUpdate {
  readonly ratio: number;
  /** log π_θ - log π_old. */
  readonly moved: number;
  readonly policyLoss: number;
  readonly isClipped: boolean;
  readonly valueLoss: number;
  readonly isValueClipped: boolean;
}

/**
 * The arithmetic of the losses again, token by token: the graph keeps only their sum.
 *
 * @yields each token of an answer.
 */
function* tokensOf(
  { batches, updated }: Update,
  { epsilon, valueEpsilon }: ClipRanges,
): Generator<TokenUpdate> {
  for (const [i, batch] of batches.entries()) {
    const [logprobs, values] = [updated.logprobs[i]!, updated.values[i]!];
    for (const { from, length } of batch.rows) {
      for (let at = from; at < from + length; at += 1) {
        const moved = logprobs[at]! - batch.oldLogprobs[at]!;
        const ratio = Math.exp(moved);
        const advantage = batch.advantages[at]!;
        const unclipped = -advantage * ratio;
        const clipped = -advantage * bounded(ratio, 1 - epsilon, 1 + epsilon);
        const [value, oldValue, goal] = [values[at]!, batch.oldValues[at]!, batch.returns[at]!];
        const error = (value - goal) ** 2;
        const near = oldValue + bounded(value - oldValue, -valueEpsilon, valueEpsilon);
        const clippedError = (near - goal) ** 2;
        yield {
          ratio,
          moved,
          policyLoss: Math.max(unclipped, clipped),
          isClipped: clipped > unclipped,
          valueLoss: 0.5 * Math.max(error, clippedError),
          isValueClipped: clippedError > error,
        };
      }
    }
  }
}

function bounded(x: number, low: number, high: number): number {
  return Math.min(Math.max(x, low), high);
}
