/**
 * Lists of hobbies and public figures that the model itself writes, so that they are ones it knows (Llama 2 A.3.5:
 * "we asked it to generate" them).
 */

import { createRandom } from "../corpus/random.ts";
import type { AnswerSampler } from "../generate/answers.ts";
import type { ConstraintKind } from "./constraints.ts";

export interface ListOptions {
  readonly kind: Extract<ConstraintKind, "hobby" | "figure">;
  /** How often it is asked. */
  readonly samples: number;
  readonly temperature: number;
  readonly seed: number;
}

/** @returns the items of all answers, each once, the most frequent first. */
export async function listFromModel(
  options: ListOptions,
  sampler: AnswerSampler,
  signal?: AbortSignal,
): Promise<string[]> {
  const base = createRandom(options.seed).int(2 ** 52);
  const seeds = Array.from({ length: options.samples }, (_, i) => base + i);
  const prompt = [{ role: "user", content: requests[options.kind] }] as const;
  const answers = Array.from({ length: options.samples }, () => "");
  for await (const { index, text } of sampler([{ prompt, temperature: options.temperature, seeds }], signal))
    answers[index] = text;
  const counts = new Map<string, number>();
  for (const item of answers.flatMap(itemsOf)) counts.set(item, (counts.get(item) ?? 0) + 1);
  return [...counts.entries()].toSorted((a, b) => b[1] - a[1]).map(([item]) => item);
}

/** The items of a list in an answer: lines with bullets or numbers, or else what commas and "and" part. */
export function itemsOf(answer: string): string[] {
  const lines = answer.split("\n").flatMap((line) => /^\s*(?:[-*•]|\d+[.)])\s+(.+)$/u.exec(line)?.[1] ?? []);
  const parts = lines.length > 0 ? lines : answer.split(/,|\band\b|\n/);
  return parts
    .map((part) => part.replaceAll(/^[\s"“]+|[\s"”.!;:]+$/gu, ""))
    .filter((part) => part !== "" && part.split(/\s+/).length <= 4 && !/[[\]<>]/.test(part));
}

// --- internal ---

const requests = {
  hobby: "Name ten hobbies, one on each line.",
  figure: "Name ten famous people, one on each line.",
} as const;
