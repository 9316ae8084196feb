/** How often one policy's answers are better than another's, by a judge's scores. */

import { createRandom } from "../corpus/random.ts";

export interface WinRate {
  /** Wins, and half of the ties, of all pairs. */
  readonly rate: number;
  /** Bounds of the 95% interval: the bootstrap over prompts, for answers to one prompt are alike. */
  readonly low: number;
  readonly high: number;
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
}

/**
 * Compares the i-th answer to a prompt with the other policy's i-th answer to it.
 *
 * @param ours   scores. `[prompts][answers]`
 * @param theirs the same prompts and counts.
 */
export function winRate(
  ours: readonly (readonly number[])[],
  theirs: readonly (readonly number[])[],
): WinRate {
  const counts = { wins: 0, ties: 0, losses: 0 };
  const byPrompt = ours.map((scores, prompt) => {
    const points = scores.map((score, i) => {
      const other = theirs[prompt]![i]!;
      counts[score > other ? "wins" : score === other ? "ties" : "losses"] += 1;
      return score > other ? 1 : score === other ? 0.5 : 0;
    });
    return { sum: points.reduce((a: number, b) => a + b, 0), count: points.length };
  });
  const random = createRandom(1);
  const resampled = Array.from({ length: resamples }, () =>
    rateOf(byPrompt.map(() => byPrompt[random.int(byPrompt.length)]!)),
  ).toSorted((a, b) => a - b);
  return {
    rate: rateOf(byPrompt),
    low: resampled[Math.floor(0.025 * resamples)]!,
    high: resampled[Math.ceil(0.975 * resamples) - 1]!,
    ...counts,
  };
}

// --- internal ---

const resamples = 2000;

function rateOf(prompts: readonly { readonly sum: number; readonly count: number }[]): number {
  const count = prompts.reduce((total, prompt) => total + prompt.count, 0);
  return prompts.reduce((total, prompt) => total + prompt.sum, 0) / count;
}
