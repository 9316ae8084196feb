/** The two reward models as one reward (Llama 2 §3.2.3). */

import type { RewardFunction } from "./reward-function.ts";

/**
 * Rc before the sigmoid, since logit(σ(r)) = r: the safety score where the prompt is tagged or the answer looks unsafe,
 * else the helpfulness score.
 *
 *     Rc(g | p) = Rs(g | p)  if is_safety(p) or Rs(g | p) < 0.15,   else Rh(g | p)
 *
 * @param helpfulness gives r, with Rh = σ(r).
 * @param safety      gives r, with Rs = σ(r).
 */
export function combinedReward(helpfulness: RewardFunction, safety: RewardFunction): RewardFunction {
  return async (answers, signal) => {
    const scores = Float64Array.from(await safety(answers, signal));
    const rest = answers.flatMap(({ isSafety }, i) =>
      isSafety === true || scores[i]! < unsafeBelow ? [] : [i],
    );
    // Where the safety score counts, nobody asks for the other.
    if (rest.length === 0) return scores;
    const found = await helpfulness(
      rest.map((i) => answers[i]!),
      signal,
    );
    for (const [place, i] of rest.entries()) scores[i] = found[place]!;
    return scores;
  };
}

// --- internal ---

/** logit(0.15): precision 0.89 and recall 0.55 on Meta's test set. */
const unsafeBelow = Math.log(0.15 / 0.85);
