/**
 * Plain text made uniform: one paragraph per line, no byte that is not text, no frame.
 *
 * Hard-wrapped lines are rejoined by this rule. A document counts as hard-wrapped when its long lines (the
 * 95th percentile) are 50 to 100 characters and most lines that are followed by another are full: the next
 * word would not have fitted (with a slack of an eighth of the width, since typists wrapped by eye). In such
 * a document a full line is joined to the next one, unless that is indented deeper, which begins a paragraph.
 * So prose becomes paragraphs, while verse, headings, lists and tables, whose lines are short, stay.
 */

import type { Document } from "./document.ts";
import { stripGutenberg } from "./gutenberg.ts";

/** @returns the cleaned document, or undefined if fewer than `minCharacters` are left (at least one). */
export function cleanDocument(document: Document, minCharacters = 1): Document | undefined {
  const text = cleanText(document.text);
  return text.length < Math.max(1, minCharacters) ? undefined : { id: document.id, text };
}

// --- internal ---

const MIN_WRAP_WIDTH = 50;
const MAX_WRAP_WIDTH = 100;
/** Two blank lines set chapters and scenes apart; more say nothing further. */
const MAX_BLANK_LINES = 2;

function cleanText(text: string): string {
  const lines = stripGutenberg(
    withoutControls(text)
      .split("\n")
      .map((line) => line.trimEnd()),
  );
  return squeezeBlankLines(rejoinWrapped(lines)).join("\n");
}

/** One kind of line end; no byte order marks, control characters, half surrogates or signs of damage. */
function withoutControls(text: string): string {
  return text
    .replaceAll(/\r\n?|[\v\f\u0085\u2028\u2029]/g, "\n")
    .replaceAll(/(?![\t\n])[\p{Cc}\p{Cs}\ufeff\ufffd\ufffe\uffff]/gu, "");
}

function rejoinWrapped(lines: readonly string[]): readonly string[] {
  const width = wrapWidth(lines);
  if (width === undefined) return lines;
  const joined: string[] = [];
  let parts: string[] = [];
  for (let i = 0; i < lines.length; i += 1) {
    const line = lines[i]!;
    parts.push(parts.length === 0 ? line : line.trimStart());
    if (!continues(line, lines[i + 1], width)) {
      joined.push(joinParts(parts));
      parts = [];
    }
  }
  return joined;
}

/** The width that a hard-wrapped document was wrapped at; undefined if it is not one. */
function wrapWidth(lines: readonly string[]): number | undefined {
  const lengths = Float64Array.from(
    lines.filter((line) => line !== ""),
    (line) => line.length,
  ).sort();
  const width = lengths[Math.floor(lengths.length * 0.95)];
  if (width === undefined || width < MIN_WRAP_WIDTH || width > MAX_WRAP_WIDTH) return undefined;
  let followed = 0;
  let full = 0;
  for (let i = 0; i + 1 < lines.length; i += 1) {
    if (lines[i] === "" || lines[i + 1] === "") continue;
    followed += 1;
    if (isFull(lines[i]!, lines[i + 1]!, width)) full += 1;
  }
  return full * 2 > followed ? width : undefined;
}

function continues(line: string, next: string | undefined, width: number): boolean {
  if (line === "" || next === undefined || next === "") return false;
  return indentation(next) <= indentation(line) && isFull(line, next, width);
}

/** The first word of `next` would not have fitted on the line. */
function isFull(line: string, next: string, width: number): boolean {
  const start = indentation(next);
  const end = next.indexOf(" ", start);
  const firstWord = (end < 0 ? next.length : end) - start;
  return line.length + 1 + firstWord > width - width / 8;
}

function indentation(line: string): number {
  return line.length - line.trimStart().length;
}

/** A space for each line end, but none after a dash or the hyphen of a compound. */
function joinParts(parts: readonly string[]): string {
  let joined = parts[0]!;
  for (let i = 1; i < parts.length; i += 1) {
    joined += /(?:--|—|[\p{L}\p{N}]-)$/u.test(parts[i - 1]!) ? parts[i]! : ` ${parts[i]!}`;
  }
  return joined;
}

function squeezeBlankLines(lines: readonly string[]): string[] {
  const kept: string[] = [];
  let blank = 0;
  for (const line of lines) {
    if (line === "") {
      blank += 1;
      continue;
    }
    if (kept.length > 0) for (let i = 0; i < Math.min(blank, MAX_BLANK_LINES); i += 1) kept.push("");
    blank = 0;
    kept.push(line);
  }
  return kept;
}
