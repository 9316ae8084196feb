/**
 * Text -> ids, as SentencePiece's BPE encoder: prepend a space, write spaces as U+2581, merge by score, and
 * spell what is left over in bytes.
 *
 * The merges are global over the text, but when no piece has a space behind another character, no merge
 * crosses into the next word: then each word is encoded apart, and words seen before come from a cache.
 * `createVocabulary` tells which it is.
 */
import type { NormalizerSpec } from "../formats/sentencepiece.ts";
import { characterAt, isSpace, ownCopy, spaceSymbol } from "./characters.ts";
import { createMerger, type Merger } from "./merge.ts";
import type { TextMatches, Vocabulary } from "./vocabulary.ts";

export function createEncoder(
  vocabulary: Vocabulary,
  normalizer: NormalizerSpec,
): (text: string) => Int32Array {
  const words = new WordEncoder(vocabulary);
  const cache = new WordCache();
  const { given, normalised } = vocabulary;
  return (text) => {
    const out = new IdList(text.length >> 1);
    // As in Hugging Face's library and in llama.cpp, what follows an added token begins as a text does.
    cutAtMatches({ text, searched: text }, given, out, (part) => {
      const spaced = normalise(part, normalizer);
      // Such pieces are written with U+2581, which is one unit, as a space is.
      const searched = normalised === undefined ? spaced : spaced.replaceAll(" ", spaceSymbol);
      const encode = (stretch: string): void => encodeStretch(words, cache, stretch, out);
      cutAtMatches({ text: spaced, searched }, normalised, out, encode);
    });
    return out.take();
  };
}

// --- internal ---

/** Words of up to this many UTF-16 units are remembered; longer ones seldom come back. */
const cachedLength = 32;

/** Spaces stay spaces here and count as U+2581 when symbols are looked up. */
function normalise(text: string, normalizer: NormalizerSpec): string {
  if (text === "") return "";
  if (!normalizer.removeExtraWhitespaces) return normalizer.addDummyPrefix ? ` ${text}` : text;
  const start = firstNonSpace(text);
  if (start === text.length) return "";
  const collapsed = text.slice(start).replaceAll(/ {2,}/g, " ");
  const prefixed = normalizer.addDummyPrefix ? ` ${collapsed}` : collapsed;
  let end = prefixed.length;
  while (end > 0 && isSpace(prefixed.charCodeAt(end - 1))) end -= 1;
  return prefixed.slice(0, end);
}

function firstNonSpace(text: string): number {
  let i = 0;
  while (i < text.length && text.charCodeAt(i) === 0x20) i += 1;
  return i;
}

/**
 * Pushes the ids of what is found, which never merges with its neighbours, and hands on what lies between.
 *
 * @param searched the text as the matches are spelled, unit by unit.
 */
function cutAtMatches(
  { text, searched }: { readonly text: string; readonly searched: string },
  matches: TextMatches | undefined,
  out: IdList,
  encode: (part: string) => void,
): void {
  let from = 0;
  for (const { start, end, id } of matches === undefined ? [] : found(searched, matches)) {
    if (start > from) encode(text.slice(from, start));
    out.push(id);
    out.endsInUnknown = false;
    from = end;
  }
  if (from < text.length) encode(from === 0 ? text : text.slice(from));
}

/** The longest at each place, with the white space that goes with it. */
function found(text: string, { pattern, byText }: TextMatches): { start: number; end: number; id: number }[] {
  const all: { start: number; end: number; id: number }[] = [];
  let from = 0;
  for (const { 0: piece, index } of text.matchAll(pattern)) {
    const { id, added } = byText.get(piece)!;
    let [start, end] = [index, index + piece.length];
    const isInWord = wordCharacter.test(text.charAt(start - 1)) || wordCharacter.test(text.charAt(end));
    if (added?.isWord === true && isInWord) continue;
    if (added?.stripsLeft === true) start -= /\s*$/u.exec(text.slice(from, start))![0].length;
    if (added?.stripsRight === true) end += /^\s*/u.exec(text.slice(end))![0].length;
    all.push({ start, end, id });
    from = end;
  }
  return all;
}

const wordCharacter = /[\p{L}\p{M}\p{N}\p{Pc}]/u;

function encodeStretch(words: WordEncoder, cache: WordCache, text: string, out: IdList): void {
  const { isWordBound, bytes } = words.vocabulary;
  if (!isWordBound) {
    words.encode(text, out);
    return;
  }
  for (let start = 0, end = 0; start < text.length; start = end) {
    end = endOfWord(text, start);
    const word = text.slice(start, end);
    // Without bytes, unknown characters run together across words: what a word becomes depends on the last.
    if (word.length > cachedLength || bytes === undefined) {
      words.encode(word, out);
      continue;
    }
    if (cache.append(word, out)) continue;
    const before = out.length;
    words.encode(word, out);
    cache.add(word, out, before);
  }
}

/** A word is a run of spaces and what follows it up to the next space. */
function endOfWord(text: string, start: number): number {
  let i = start;
  while (i < text.length && isSpace(text.charCodeAt(i))) i += 1;
  while (i < text.length && !isSpace(text.charCodeAt(i))) i += 1;
  return i;
}

/** Encodes words, in buffers that it keeps. */
class WordEncoder {
  readonly vocabulary: Vocabulary;
  readonly #merge: Merger;
  readonly #codes = new Int32Array(64);
  readonly #symbols = new Int32Array(64);
  readonly #origins = new Int32Array(64);

  constructor(vocabulary: Vocabulary) {
    this.vocabulary = vocabulary;
    this.#merge = createMerger(vocabulary);
  }

  /** Appends the word's ids. */
  encode(word: string, out: IdList): void {
    // The buffers of a giant word are not kept.
    const [codes, symbols, origins] =
      word.length <= this.#codes.length
        ? [this.#codes, this.#symbols, this.#origins]
        : [new Int32Array(word.length), new Int32Array(word.length), new Int32Array(word.length)];
    const { characters, bytes, vocabSize, unkId } = this.vocabulary;
    const length = codePoints(word, codes);
    for (let i = 0; i < length; i += 1) symbols[i] = characters.get(codes[i]!) ?? -1;
    const count = this.#merge(symbols, length, origins);
    for (let i = 0; i < count; i += 1) {
      const symbol = symbols[i]!;
      const isPiece = symbol >= 0 && symbol < vocabSize;
      if (isPiece) out.push(symbol);
      else if (bytes !== undefined) pushBytes(codes[origins[i]!]!, bytes, out);
      else if (!out.endsInUnknown) out.push(unkId);
      out.endsInUnknown = !isPiece && bytes === undefined;
    }
  }
}

function codePoints(text: string, out: Int32Array): number {
  let count = 0;
  for (let i = 0; i < text.length; i += 1) {
    const code = characterAt(text, i);
    if (code > 0xffff) i += 1;
    out[count] = code;
    count += 1;
  }
  return count;
}

/** UTF-8 (RFC 3629). */
function pushBytes(code: number, ids: Int32Array, out: IdList): void {
  if (code < 0x80) {
    out.push(ids[code]!);
    return;
  }
  const trailing = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  const lead = trailing === 1 ? 0xc0 : trailing === 2 ? 0xe0 : 0xf0;
  out.push(ids[lead | (code >> (6 * trailing))]!);
  for (let i = trailing - 1; i >= 0; i -= 1) out.push(ids[0x80 | ((code >> (6 * i)) & 0x3f)]!);
}

/** Growing list of ids. */
class IdList {
  ids: Int32Array;
  length = 0;
  /** Whether the last character was unknown: a run of them is one id (when there are no bytes to spell it). */
  endsInUnknown = false;

  constructor(capacity: number) {
    this.ids = new Int32Array(Math.max(16, capacity));
  }

  push(id: number): void {
    if (this.length === this.ids.length) this.reserve(1);
    this.ids[this.length] = id;
    this.length += 1;
  }

  reserve(count: number): void {
    if (this.length + count <= this.ids.length) return;
    const grown = new Int32Array(Math.max(2 * this.ids.length, this.length + count));
    grown.set(this.ids);
    this.ids = grown;
  }

  take(): Int32Array {
    return this.ids.slice(0, this.length);
  }
}

/** Words and their ids. Emptied when full, which bounds it at a few megabytes. */
class WordCache {
  readonly #places = new Map<string, number>();
  readonly #ids = new Int32Array(1 << 18);
  #used = 0;

  /** Appends the word's ids. @returns false when it is not known. */
  append(word: string, out: IdList): boolean {
    const place = this.#places.get(word);
    if (place === undefined) return false;
    const start = place >> 8;
    const count = place & 0xff;
    out.reserve(count);
    for (let i = 0; i < count; i += 1) out.ids[out.length + i] = this.#ids[start + i]!;
    out.length += count;
    return true;
  }

  /** Remembers that the ids of `out` from `from` on are the word's. */
  add(word: string, out: IdList, from: number): void {
    const count = out.length - from;
    // Bytes make at most three ids of each UTF-16 unit, so a count fits in the 8 bits of a place.
    if (this.#used + count > this.#ids.length) {
      this.#places.clear();
      this.#used = 0;
    }
    this.#ids.set(out.ids.subarray(from, out.length), this.#used);
    this.#places.set(ownCopy(word), (this.#used << 8) | count);
    this.#used += count;
  }
}
