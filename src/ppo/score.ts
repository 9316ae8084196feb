/** Scores of rollouts by whatever function rewards them. */

import { isAnswer } from "../dialog/message.ts";
import { ConfigError } from "../errors/errors.ts";
import type { RewardFunction } from "../reward/reward-function.ts";
import type { Rollout } from "./rollout.ts";

/**
 * One score for each. A text that cannot stand as a turn (blank, or with a tag of the chat format in it) is not shown
 * to the reward function: it has the lowest score of the others, and 0 when there are none.
 *
 * @throws {ConfigError} when the function does not return one finite number for each.
 */
export async function scoresOf(
  rollouts: readonly Rollout[],
  reward: RewardFunction,
  signal?: AbortSignal,
): Promise<Float64Array> {
  const valid = rollouts.filter(({ text }) => isAnswer(text));
  const answers = valid.map(({ prompt, text }) => ({
    prompt: prompt.dialog,
    answer: text,
    isSafety: prompt.isSafety,
  }));
  const scores = answers.length === 0 ? new Float64Array(0) : await reward(answers, signal);
  if (scores.length !== valid.length || !scores.every((score) => Number.isFinite(score))) {
    throw new ConfigError(
      `the reward function returned [${scores.slice(0, 5).join(", ")}] for ${valid.length} answers`,
      { mend: "It returns one finite number for each answer, in their order." },
    );
  }
  const lowest = scores.length === 0 ? 0 : scores.reduce((a, b) => Math.min(a, b));
  const scoreOf = new Map(valid.map((rollout, i) => [rollout, scores[i]!]));
  return Float64Array.from(rollouts, (rollout) => scoreOf.get(rollout) ?? lowest);
}
