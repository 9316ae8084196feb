/**
 * From two whole conversations that end differently to a comparison: what they share is the prompt.
 */

import type { Dialog } from "../dialog/message.ts";
import { checkDialog, strip } from "../dialog/message.ts";
import { CriaError } from "../errors/errors.ts";
import type { Comparison, Quality, SafetyLabel, Strength } from "./comparison.ts";
import { strengths } from "./comparison.ts";

/** Two conversations, the first preferred, and what a data set says of the preference. */
export interface Pair {
  readonly chosen: Dialog;
  readonly rejected: Dialog;
  readonly strength?: Strength;
  /** How much better, on a scale of the data set's own: see {@link strengthOfMargin}. */
  readonly margin?: number;
  /** Of the paper's bins, or that the chosen answer is the unsafe one, whose pairs the paper leaves out. */
  readonly safety?: SafetyLabel | "chosen-unsafe";
  readonly quality?: Quality;
  readonly judge?: string;
}

/** Why a pair of a data set is no comparison. */
export type Exclusion =
  | "the conversations part before their last answers"
  | "no answer at the end"
  | "the answers are equal"
  | "neither answer is preferred"
  | "the rejected answer is rated higher"
  | "the chosen answer is the unsafe one"
  | "not a conversation of Llama 2's chat format";

/** What holds for the pairs that do not say so themselves. */
export interface PairDefaults {
  readonly quality: Quality;
  readonly judge: string;
  /** The largest margin of the file's pairs. */
  readonly largestMargin: number;
}

/** The comparison, or why there is none. Texts are stripped. */
export function comparisonOfPair(pair: Pair, defaults: PairDefaults): Comparison | Exclusion {
  const chosen = stripped(pair.chosen);
  const rejected = stripped(pair.rejected);
  const exclusion = exclusionOfTexts(chosen, rejected) ?? exclusionOfRating(pair);
  if (exclusion !== undefined) return exclusion;
  const safety = pair.safety === "chosen-unsafe" ? undefined : pair.safety;
  const strength = pair.strength ?? strengthOfMargin(pair.margin, defaults.largestMargin);
  return {
    prompt: chosen.slice(0, -1),
    chosen: chosen.at(-1)!.content,
    rejected: rejected.at(-1)!.content,
    ...(strength === undefined ? {} : { strength }),
    ...(safety === undefined ? {} : { safety }),
    quality: pair.quality ?? defaults.quality,
    judge: pair.judge ?? defaults.judge,
  };
}

/**
 * The strength that a margin stands for. Of the paper's tables (Llama 2 Table 27) one ends at 1 and the other at 3,
 * both in four equal steps from 0; a margin on another scale is read in four equal steps of the file's largest.
 *
 * @param largest of the file that it is from.
 */
export function strengthOfMargin(margin: number | undefined, largest: number): Strength | undefined {
  if (margin === undefined) return undefined;
  const scale = largest <= 1 ? 1 : Math.max(3, largest);
  return strengths[3 - Math.round((3 * margin) / scale)];
}

// --- internal ---

function exclusionOfTexts(chosen: Dialog, rejected: Dialog): Exclusion | undefined {
  const [answer, other] = [chosen.at(-1), rejected.at(-1)];
  if (answer?.role !== "assistant" || other?.role !== "assistant") return "no answer at the end";
  if (!isSameDialog(chosen.slice(0, -1), rejected.slice(0, -1))) {
    return "the conversations part before their last answers";
  }
  if (!isDialog(chosen) || !isDialog(rejected)) return "not a conversation of Llama 2's chat format";
  return answer.content === other.content ? "the answers are equal" : undefined;
}

function exclusionOfRating({ margin, safety }: Pair): Exclusion | undefined {
  if (margin !== undefined && margin < 0) return "the rejected answer is rated higher";
  return safety === "chosen-unsafe" ? "the chosen answer is the unsafe one" : undefined;
}

function stripped(dialog: Dialog): Dialog {
  return dialog.map(({ role, content }) => ({ role, content: strip(content) }));
}

function isSameDialog(a: Dialog, b: Dialog): boolean {
  return (
    a.length === b.length &&
    a.every(({ role, content }, i) => role === b[i]!.role && content === b[i]!.content)
  );
}

function isDialog(dialog: Dialog): boolean {
  try {
    checkDialog(dialog, "dialog");
    return true;
  } catch (error) {
    if (error instanceof CriaError) return false;
    throw error;
  }
}
