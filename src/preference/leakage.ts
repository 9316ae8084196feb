/**
 * Whether what is tested with was trained on: prompts of one split that are in the other, whole or for the most part.
 */

import type { Dialog } from "../dialog/message.ts";
import type { Comparison } from "./comparison.ts";

export interface Leakage {
  /** Places in `test` whose prompt is, but for case, punctuation and spaces, a prompt of `train`. */
  readonly equal: readonly number[];
  /** Further places, most of whose words are in runs of {@link leakageWords} words that `train` has too. */
  readonly overlapping: readonly number[];
}

/** Words of a run that counts as the same text: long enough that it does not come about by chance. */
export const leakageWords = 10;

/** @param share of a prompt's words in such runs, above which it is one of `train`'s. */
export function findLeakage(train: readonly Comparison[], test: readonly Comparison[], share = 0.5): Leakage {
  const prompts = new Set<string>();
  const runs = new Set<string>();
  for (const { prompt } of train) {
    const words = wordsOf(prompt);
    prompts.add(words.join(" "));
    for (let i = 0; i + leakageWords <= words.length; i += 1) runs.add(runAt(words, i));
  }
  const equal: number[] = [];
  const overlapping: number[] = [];
  for (const [place, { prompt }] of test.entries()) {
    const words = wordsOf(prompt);
    if (prompts.has(words.join(" "))) equal.push(place);
    else if (wordsInRuns(words, runs) > share * words.length) overlapping.push(place);
  }
  return { equal, overlapping };
}

/** Lower case, words of letters and digits only, one space between them. */
export function normalisedText(text: string): string {
  return (
    text
      .normalize("NFKC")
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? []
  ).join(" ");
}

// --- internal ---

function wordsOf(prompt: Dialog): string[] {
  // A system message is the same in many conversations.
  const spoken = prompt.filter(({ role }) => role !== "system").map(({ content }) => normalisedText(content));
  return spoken
    .join(" ")
    .split(" ")
    .filter((word) => word !== "");
}

function runAt(words: readonly string[], at: number): string {
  return words.slice(at, at + leakageWords).join(" ");
}

function wordsInRuns(words: readonly string[], runs: ReadonlySet<string>): number {
  let count = 0;
  let covered = 0;
  for (let i = 0; i + leakageWords <= words.length; i += 1) {
    if (!runs.has(runAt(words, i))) continue;
    count += i + leakageWords - Math.max(i, covered);
    covered = i + leakageWords;
  }
  return count;
}
