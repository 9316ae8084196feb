/**
 * What sampling more gains (Llama 2 figures 7 and 8): the expected greatest and median score among N of a prompt's K
 * samples, averaged over prompts.
 *
 * Not of one drawn N but of all C(K, N) choices: the j-th smallest of N is the i-th smallest of K in
 * C(i-1, j-1) C(K-i, N-j) of them.
 */

import type { ScoredSample } from "./score.ts";

export interface RewardCurve {
  readonly temperature: number;
  /** Mean over prompts of E[max of N], for N from 1. `[K]` */
  readonly max: readonly number[];
  /** Mean over prompts of E[median of N], for N from 1. `[K]` */
  readonly median: readonly number[];
}

/** A curve for each temperature. Samples that could not be scored count as the lowest score of their prompt. */
export function rewardCurves(
  scored: readonly ScoredSample[],
  { temperatures, samples }: { temperatures: readonly number[]; samples: number },
): RewardCurve[] {
  return temperatures.map((temperature, t) => {
    const groups = new Map<number, (number | undefined)[]>();
    for (const { prompt, score } of scored.filter((sample) => sample.temperature === t))
      groups.set(prompt, [...(groups.get(prompt) ?? []), score]);
    const sorted = [...groups.values()].map(sortedScores).filter(({ length }) => length === samples);
    const sizes = Array.from({ length: samples }, (_, i) => i + 1);
    return {
      temperature,
      max: sizes.map((n) => mean(sorted.map((scores) => expectedOrderStatistic(scores, n, n)))),
      median: sizes.map((n) => mean(sorted.map((scores) => expectedMedian(scores, n)))),
    };
  });
}

/**
 * E of the j-th smallest among n values that are drawn from `sorted` without replacement.
 *
 * @param sorted ascending. `[K]`
 * @param j      from 1 to n.
 */
export function expectedOrderStatistic(sorted: readonly number[], n: number, j: number): number {
  const all = choose(sorted.length, n);
  return sorted.reduce(
    (sum, value, i) => sum + (value * choose(i, j - 1) * choose(sorted.length - 1 - i, n - j)) / all,
    0,
  );
}

// --- internal ---

/** Of an even number of values, the mean of the middle two. */
function expectedMedian(sorted: readonly number[], n: number): number {
  const [low, high] = [Math.floor((n + 1) / 2), Math.ceil((n + 1) / 2)];
  const lower = expectedOrderStatistic(sorted, n, low);
  return low === high ? lower : (lower + expectedOrderStatistic(sorted, n, high)) / 2;
}

/** A prompt of which no sample has a score tells nothing: none. */
function sortedScores(scores: readonly (number | undefined)[]): number[] {
  const known = scores.filter((score) => score !== undefined);
  if (known.length === 0) return [];
  const lowest = Math.min(...known);
  return scores.map((score) => score ?? lowest).toSorted((a, b) => a - b);
}

/** C(n, k), in f64: exact where it matters, finite up to n = 1029. */
function choose(n: number, k: number): number {
  if (k < 0 || k > n) return 0;
  let result = 1;
  for (let i = 1; i <= Math.min(k, n - k); i += 1) result = (result * (n - i + 1)) / i;
  return result;
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : values.reduce((a, b) => a + b, 0) / values.length;
}
