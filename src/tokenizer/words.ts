/**
 * Counting what a tokenizer is trained on: words, which are a run of spaces and what follows it, and the
 * characters in them.
 *
 * As in SentencePiece, each line is a text of its own with a space in front. Unlike there, long lines are
 * not left out: words do not reach over spaces, so a line's length makes no difference to them.
 */
import { characterAt, isSpace, ownCopy } from "./characters.ts";

export interface WordCounts {
  /** With spaces as they were, U+0020 or U+2581. */
  readonly words: readonly string[];
  readonly counts: readonly number[];
}

/** @param joinsSpaces whether a run of spaces is one word with what follows, or a word for each space. */
export function countWords(texts: Iterable<string>, joinsSpaces: boolean): WordCounts {
  const places = new Map<string, number>();
  const words: string[] = [];
  const counts: number[] = [];
  const count = (word: string): void => {
    const place = places.get(word);
    if (place !== undefined) {
      counts[place]! += 1;
      return;
    }
    const copy = ownCopy(word);
    places.set(copy, words.length);
    words.push(copy);
    counts.push(1);
  };
  for (const text of texts) countText(withoutMetaPieces(text), joinsSpaces, count);
  return { words, counts };
}

/** Code points, spaces as U+2581, lone surrogates as U+FFFD. */
export function characterCounts({ words, counts }: WordCounts): Map<number, number> {
  const characters = new Map<number, number>();
  for (const [i, word] of words.entries()) {
    for (const code of codePointsOf(word)) characters.set(code, (characters.get(code) ?? 0) + counts[i]!);
  }
  return characters;
}

export function codePointsOf(word: string): number[] {
  const codes: number[] = [];
  for (let i = 0; i < word.length; i += 1) {
    const code = characterAt(word, i);
    if (code > 0xffff) i += 1;
    codes.push(code);
  }
  return codes;
}

// --- internal ---

const newline = 0x0a;

function countText(text: string, joinsSpaces: boolean, count: (word: string) => void): void {
  let start = 0;
  while (start < text.length) {
    if (text.charCodeAt(start) === newline) {
      start += 1;
      continue;
    }
    const isLineStart = start === 0 || text.charCodeAt(start - 1) === newline;
    if (isLineStart && !joinsSpaces && isSpace(text.charCodeAt(start))) count(" ");
    const end = endOfWord(text, start, joinsSpaces);
    const word = text.slice(start, end);
    const needsPrefix = isLineStart && (joinsSpaces || !isSpace(text.charCodeAt(start)));
    count(needsPrefix ? ` ${word}` : word);
    start = end;
  }
}

function endOfWord(text: string, start: number, joinsSpaces: boolean): number {
  let i = start;
  if (joinsSpaces) while (isSpace(text.charCodeAt(i))) i += 1;
  else if (isSpace(text.charCodeAt(i))) i += 1;
  for (; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === newline || isSpace(code)) break;
  }
  return i;
}

/** Text that reads like a meta piece must not be learnt from; a tab ends up in no piece. */
function withoutMetaPieces(text: string): string {
  if (!text.includes("<")) return text;
  return text.replaceAll(/<unk>|<\/?s>|<0x[0-9A-F]{2}>/g, "\t");
}
