/** Numbers of preference data, in the columns of Llama 2's Table 6, and how clear and how safe they are. */

import type { Comparison, SafetyLabel, Strength } from "./comparison.ts";

export interface PreferenceStatistics {
  readonly comparisons: number;
  /** Questions a conversation, on average. */
  readonly turns: number;
  /** Of the prompt with all turns before, and the chosen answer. The three are averages of the measure. */
  readonly example: number;
  /** Of a question. */
  readonly prompt: number;
  /** Of an answer, chosen, rejected, or of an earlier turn. */
  readonly response: number;
  /** How often the chosen answer is the longer one, ties as a half: people tend to, and so may a reward model. */
  readonly chosenIsLonger: number;
  readonly strengths: Readonly<Partial<Record<Strength | "not stated", number>>>;
  readonly safety: Readonly<Partial<Record<SafetyLabel | "not stated", number>>>;
  readonly judges: Readonly<Record<string, number>>;
}

/** @param measure the length of a text: its tokens or its words. */
export function preferenceStatistics(
  comparisons: readonly Comparison[],
  measure: (text: string) => number,
): PreferenceStatistics {
  const sums = { questions: 0, questionLength: 0, answers: 0, answerLength: 0, example: 0, longer: 0 };
  for (const { prompt, chosen, rejected } of comparisons) {
    let before = 0;
    for (const { role, content } of prompt) {
      const length = measure(content);
      before += length;
      if (role === "user") {
        sums.questions += 1;
        sums.questionLength += length;
      } else if (role === "assistant") {
        sums.answers += 1;
        sums.answerLength += length;
      }
    }
    const [better, worse] = [measure(chosen), measure(rejected)];
    sums.answers += 2;
    sums.answerLength += better + worse;
    sums.example += before + better;
    sums.longer += better === worse ? 0.5 : Number(better > worse);
  }
  const count = comparisons.length;
  return {
    comparisons: count,
    turns: sums.questions / count,
    example: sums.example / count,
    prompt: sums.questionLength / sums.questions,
    response: sums.answerLength / sums.answers,
    chosenIsLonger: sums.longer / count,
    strengths: tally(comparisons.map(({ strength }) => strength ?? "not stated")),
    safety: tally(comparisons.map(({ safety }) => safety ?? "not stated")),
    judges: tally(comparisons.map(({ judge }) => judge)),
  };
}

/** Runs of characters between spaces. */
export function countWords(text: string): number {
  return text.match(/\S+/gu)?.length ?? 0;
}

// --- internal ---

function tally<K extends string>(names: readonly K[]): Record<K, number> {
  const counts = new Map<K, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return Object.fromEntries(counts) as Record<K, number>;
}
