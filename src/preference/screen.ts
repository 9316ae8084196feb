/** What is left out of preference data before anything is trained on it, and the split into train and test. */

import { createHash } from "node:crypto";
import { ConfigError } from "../errors/errors.ts";
import type { Comparison } from "./comparison.ts";
import { languageOf } from "./language.ts";
import { normalisedText } from "./leakage.ts";

export interface ScreenOptions {
  /** An answer of more is left out. */
  readonly maxAnswerCharacters: number;
  /** A prompt (with the turns before it) of more is left out. */
  readonly maxPromptCharacters: number;
  /** Where set, comparisons of which an answer or the last question is clearly in another language are left out. */
  readonly language?: string;
}

export interface Screened {
  readonly kept: readonly Comparison[];
  readonly duplicates: number;
  /** Comparisons kept that prefer the answers the other way round than another one does: both stay. */
  readonly contradictions: number;
  readonly tooLong: number;
  readonly otherLanguage: number;
}

/** Comparisons that are equal but for case, punctuation and spaces count once; the first stays. */
export function screen(comparisons: readonly Comparison[], options: ScreenOptions): Screened {
  const seen = new Set<string>();
  const counts = { duplicates: 0, contradictions: 0, tooLong: 0, otherLanguage: 0 };
  const kept = comparisons.filter((comparison) => {
    if (isTooLong(comparison, options)) {
      counts.tooLong += 1;
      return false;
    }
    if (options.language !== undefined && isInOther(comparison, options.language)) {
      counts.otherLanguage += 1;
      return false;
    }
    const key = comparisonKey(comparison);
    if (seen.has(key)) {
      counts.duplicates += 1;
      return false;
    }
    const { chosen, rejected } = comparison;
    if (seen.has(comparisonKey({ ...comparison, chosen: rejected, rejected: chosen }))) {
      counts.contradictions += 1;
    }
    seen.add(key);
    return true;
  });
  return { kept, ...counts };
}

/** Equal for comparisons that are so but for case, punctuation, spaces and what was said of them. */
export function comparisonKey({ prompt, chosen, rejected }: Comparison): string {
  const turns = prompt.map(({ role, content }) => `${role}: ${comparable(content)}`);
  const texts = [...turns, comparable(chosen), comparable(rejected)];
  return createHash("sha256").update(texts.join("\n")).digest("base64");
}

export interface Split {
  readonly train: readonly Comparison[];
  readonly test: readonly Comparison[];
}

/**
 * Holds a share of the conversations out. Those that begin with the same question stay together, so that none is
 * trained on and tested with; which side they are on follows from the question and the seed alone.
 *
 * @param share expected part of the conversations that is held out, in [0, 1).
 */
export function splitComparisons(comparisons: readonly Comparison[], share: number, seed: number): Split {
  if (!(share >= 0 && share < 1)) {
    throw new ConfigError(`the share held out (${share}) is not at least 0 and below 1`, {
      mend: "Give for instance 0.05.",
    });
  }
  const isHeldOut = ({ prompt }: Comparison): boolean => {
    const opening = prompt.find(({ role }) => role === "user")?.content ?? "";
    const digest = createHash("sha256")
      .update(`${seed}\n${normalisedText(opening)}`)
      .digest();
    return digest.readUInt32BE(0) < share * 2 ** 32;
  };
  return {
    train: comparisons.filter((comparison) => !isHeldOut(comparison)),
    test: comparisons.filter(isHeldOut),
  };
}

// --- internal ---

/** Texts without a letter, such as `1 + 1?`, are compared as they are. */
function comparable(text: string): string {
  const normalised = normalisedText(text);
  return normalised === "" ? text : normalised;
}

function isTooLong({ prompt, chosen, rejected }: Comparison, options: ScreenOptions): boolean {
  const promptCharacters = prompt.reduce((sum, { content }) => sum + content.length, 0);
  return (
    promptCharacters > options.maxPromptCharacters ||
    Math.max(chosen.length, rejected.length) > options.maxAnswerCharacters
  );
}

function isInOther({ prompt, chosen, rejected }: Comparison, language: string): boolean {
  return [prompt.at(-1)!.content, chosen, rejected].some((text) => {
    const found = languageOf(text);
    return found !== undefined && found !== language;
  });
}
