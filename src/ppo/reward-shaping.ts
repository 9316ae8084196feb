/**
 * What a policy is rewarded for (Llama 2 §3.2.3):
 *
 *     R(g | p) = R̃c(g | p) - β KL(π_θ(· | p) ‖ π₀(· | p)),     R̃c = whiten(logit(Rc))
 *
 * The paper does not say how the penalty is spread: here, as in Stiennon et al. 2020 and TRL, each token has its own,
 * -β (log π_θ - log π₀), and the score comes with the last token. (TRL 0.19 puts the score one place after
 * the last token where there is padding, so that γλ discounts it once; 0.11 had it where it is here.) Nor does the paper
 * say over what scores are whitened: here, over the answers of an iteration.
 */

import { whiten } from "./advantages.ts";

export interface TokenLogprobs {
  /** log π_θ of each token of an answer, by the policy that wrote it. `[tokens]` */
  readonly logprobs: Float32Array;
  /** log π₀ of each. `[tokens]` */
  readonly refLogprobs: Float32Array;
}

/** Rewards of each token: -β (log π_θ - log π₀), and the score at the last. `[tokens]` */
export function shapedRewards(
  { logprobs, refLogprobs }: TokenLogprobs,
  score: number,
  beta: number,
): Float64Array {
  const rewards = Float64Array.from(logprobs, (logprob, t) => -beta * (logprob - refLogprobs[t]!));
  rewards[rewards.length - 1]! += score;
  return rewards;
}

/** A score, and which reward model gave it: that of safety where the prompt is tagged. */
export interface KindScore {
  readonly score: number;
  readonly isSafety: boolean;
}

/** Scores of safety prompts and of others, each whitened over its own kind: the two models' scales differ. In order. */
export function whitenedScoresApart(scores: readonly KindScore[]): Float64Array {
  const result = new Float64Array(scores.length);
  for (const kind of [false, true]) {
    const places = scores.flatMap(({ isSafety }, i) => (isSafety === kind ? [i] : []));
    const { rows } = whiten([Float64Array.from(places, (i) => scores[i]!.score)]);
    for (const [place, i] of places.entries()) result[i] = rows[0]![place]!;
  }
  return result;
}

/** Two estimates of one answer's KL(π_θ ‖ π₀) from what π_θ wrote, in nats (Schulman 2020, "Approximating KL"). */
export interface KlEstimate {
  /** k₁ = Σ log π_θ - log π₀: unbiased, and may be negative for an answer. */
  readonly k1: number;
  /** k₃ = Σ eˣ - 1 - x, x = log π₀ - log π_θ: unbiased too, and never negative. */
  readonly k3: number;
}

export function klEstimate({ logprobs, refLogprobs }: TokenLogprobs): KlEstimate {
  let [k1, k3] = [0, 0];
  for (let t = 0; t < logprobs.length; t += 1) {
    const x = refLogprobs[t]! - logprobs[t]!;
    k1 -= x;
    k3 += Math.expm1(x) - x;
  }
  // A rounding below 0 would be a lie.
  return { k1: k1 === 0 ? 0 : k1, k3: Math.max(0, k3) };
}
