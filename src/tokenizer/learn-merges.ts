/**
 * Byte pair encoding, learnt (Sennrich et al. 2016, algorithm 1, as SentencePiece's trainer does it): take
 * the most frequent pair of neighbouring symbols inside words, make it a symbol, replace it everywhere,
 * again. Of equally frequent pairs the shorter wins, then the one first in code point order.
 *
 * Each word is stored once, all in one array; each pair knows where it occurs, and a merge touches those
 * places alone. Counts of pairs only fall after they were made, so a heap with stale counts serves: an
 * entry that comes up with a count out of date goes back with the right one.
 */
import { spaceCode } from "./characters.ts";
import { PairTable } from "./pair-table.ts";
import { noScript, scriptOf } from "./script.ts";
import { codePointsOf, type WordCounts } from "./words.ts";

/** Which pieces may be made. */
export interface PieceRules {
  readonly maxPieceLength: number;
  readonly splitDigits: boolean;
  readonly splitByNumber: boolean;
  readonly splitByUnicodeScript: boolean;
  readonly allowWhitespaceOnlyPieces: boolean;
}

/**
 * @param alphabet code points that may be in pieces. A word's other characters part it.
 * @param limit    how many pieces to make at most.
 * @returns the pieces in the order they were made; fewer than `limit` when no pair is left.
 */
export function learnMerges(
  words: WordCounts,
  alphabet: Iterable<number>,
  rules: PieceRules,
  progress: { readonly limit: number; readonly onMerge: (done: number) => void },
): string[] {
  const symbols = new Symbols(alphabet, rules);
  const learner = new Learner(words, symbols);
  const pieces: string[] = [];
  while (pieces.length < progress.limit) {
    const pair = learner.takeBest();
    if (pair === -1) break;
    // Never a text twice: what merges happened inside a text depends on nothing around it, so it always
    // comes from the same two halves.
    pieces.push(learner.textOf(pair));
    learner.merge(pair);
    progress.onMerge(pieces.length);
  }
  return pieces;
}

// --- internal ---

/** Parts words, and stands for characters outside the alphabet. Never in a pair. */
const separator = 0;

/** Characters and the pieces made of them. */
class Symbols {
  readonly texts: string[] = [""];
  readonly lengths: number[] = [0];
  readonly #ofCode = new Map<number, number>();
  readonly #rules: PieceRules;
  /** The script the symbol starts and ends with; `noScript` or `anyScript` when it does not bind. */
  readonly #firstScript: number[] = [noScript];
  readonly #lastScript: number[] = [noScript];
  readonly #kinds: SymbolKind[] = ["alone"];

  constructor(alphabet: Iterable<number>, rules: PieceRules) {
    this.#rules = rules;
    for (const code of alphabet) {
      this.#ofCode.set(code, this.texts.length);
      const script = scriptIn(code, rules);
      this.#add(String.fromCodePoint(code), 1, [script, script], kindOf(code, rules));
    }
  }

  ofCode(code: number): number {
    return this.#ofCode.get(code) ?? separator;
  }

  canMerge(left: number, right: number): boolean {
    const [leftKind, rightKind] = [this.#kinds[left]!, this.#kinds[right]!];
    if (leftKind === "alone" || rightKind === "alone") return false;
    if (this.lengths[left]! + this.lengths[right]! > this.#rules.maxPieceLength) return false;
    if (rightKind === "spaces") return leftKind === "spaces" && this.#rules.allowWhitespaceOnlyPieces;
    // A space only stands in front, and there is only one unless the piece is nothing else.
    if (rightKind === "spaced" || (leftKind === "spaces" && this.lengths[left]! > 1)) return false;
    const [before, after] = [this.#lastScript[left]!, this.#firstScript[right]!];
    return before < 0 || after < 0 || before === after;
  }

  merge(left: number, right: number): number {
    const id = this.texts.length;
    const [leftFirst, leftLast] = [this.#firstScript[left]!, this.#lastScript[left]!];
    const [rightFirst, rightLast] = [this.#firstScript[right]!, this.#lastScript[right]!];
    const first = leftFirst === noScript ? rightFirst : leftFirst;
    const last = rightLast === noScript ? leftLast : rightLast;
    const length = this.lengths[left]! + this.lengths[right]!;
    const kind =
      this.#kinds[right] === "spaces" || this.#kinds[left] === "text" ? this.#kinds[left]! : "spaced";
    this.#add(this.texts[left]! + this.texts[right]!, length, [first, last], kind);
    return id;
  }

  #add(text: string, length: number, scripts: readonly [number, number], kind: SymbolKind): void {
    this.texts.push(text);
    this.lengths.push(length);
    this.#firstScript.push(scripts[0]);
    this.#lastScript.push(scripts[1]);
    this.#kinds.push(kind);
  }
}

/** `spaced` is a space and text; `alone` never merges. */
type SymbolKind = "spaces" | "spaced" | "text" | "alone";

const anyScript = -1;

function scriptIn(code: number, rules: PieceRules): number {
  if (code === spaceCode) return noScript;
  if (!rules.splitByUnicodeScript || (!rules.splitByNumber && isDecimal(code))) return anyScript;
  return scriptOf(code);
}

function kindOf(code: number, rules: PieceRules): SymbolKind {
  if (code === spaceCode) return "spaces";
  return rules.splitDigits && isDecimal(code) ? "alone" : "text";
}

/** ASCII digits and their full-width forms, as SentencePiece has it. */
function isDecimal(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0xff10 && code <= 0xff19);
}

class Learner {
  readonly #symbols: Symbols;
  /**
   * All words with separators around them. A piece has its symbol in its first cell and minus that cell's
   * index in its last one, so that both neighbours of a piece are found at once. The cells between are 0.
   */
  readonly #cells: Int32Array;
  readonly #wordOf: Int32Array;
  readonly #counts: readonly number[];
  readonly #pairs = new PairTable(1 << 16);
  readonly #left: number[] = [];
  readonly #right: number[] = [];
  readonly #count: number[] = [];
  readonly #places: (Int32Array | number[])[] = [];
  readonly #heap: PairHeap;
  /** Pairs made by the merge that is going on. */
  #fresh: number[] = [];

  constructor(words: WordCounts, symbols: Symbols) {
    this.#symbols = symbols;
    this.#counts = words.counts;
    const length = words.words.reduce((sum, word) => sum + word.length + 1, 1);
    this.#cells = new Int32Array(length);
    this.#wordOf = new Int32Array(length);
    let at = 1;
    for (const [index, word] of words.words.entries()) {
      for (const code of codePointsOf(word)) {
        this.#cells[at] = symbols.ofCode(code);
        this.#wordOf[at] = index;
        at += 1;
      }
      at += 1;
    }
    this.#heap = new PairHeap((a, b) => this.#isBefore(a, b));
    this.#findPairs(at);
  }

  textOf(pair: number): string {
    return this.#symbols.texts[this.#left[pair]!]! + this.#symbols.texts[this.#right[pair]!]!;
  }

  /** The most frequent pair, which then is not given again; -1 when no pair occurs any more. */
  takeBest(): number {
    while (this.#heap.size > 0) {
      const { pair, count } = this.#heap.pop();
      const current = this.#count[pair]!;
      if (count === current) return pair;
      if (current > 0) this.#heap.push(pair, current);
    }
    return -1;
  }

  merge(pair: number): void {
    const [left, right] = [this.#left[pair]!, this.#right[pair]!];
    const symbol = this.#symbols.merge(left, right);
    const leftLength = this.#symbols.lengths[left]!;
    for (const place of this.#places[pair]!) {
      const middle = place + leftLength;
      // Places go stale as their neighbours merge with others.
      if (this.#cells[place] === left && this.#cells[middle] === right) this.#mergeAt(place, middle, symbol);
    }
    this.#places[pair] = [];
    for (const fresh of this.#fresh) this.#heap.push(fresh, this.#count[fresh]!);
    this.#fresh = [];
  }

  #mergeAt(place: number, middle: number, symbol: number): void {
    const cells = this.#cells;
    const left = cells[place]!;
    const right = cells[middle]!;
    const weight = this.#counts[this.#wordOf[place]!]!;
    const before = cells[place - 1]! < 0 ? -cells[place - 1]! : place - 1;
    const after = middle + this.#symbols.lengths[right]!;
    this.#subtract(cells[before]!, left, weight);
    this.#subtract(right, cells[after]!, weight);
    cells[middle] = 0;
    cells[after - 1] = -place;
    cells[place] = symbol;
    this.#add(before, symbol, weight);
    this.#add(place, cells[after]!, weight);
  }

  #subtract(left: number, right: number, weight: number): void {
    const pair = this.#pairs.get(left, right);
    if (pair >= 0) this.#count[pair]! -= weight;
  }

  /** Adds the pair of the symbol at `place` and its right neighbour. */
  #add(place: number, right: number, weight: number): void {
    const left = this.#cells[place]!;
    const known = this.#pairs.get(left, right);
    const pair = known === -1 ? this.#makePair(left, right) : known;
    if (pair === impossible) return;
    if (known === -1) {
      this.#places[pair] = [];
      this.#fresh.push(pair);
    }
    this.#count[pair]! += weight;
    (this.#places[pair] as number[]).push(place);
  }

  #makePair(left: number, right: number): number {
    if (left === separator || right === separator || !this.#symbols.canMerge(left, right)) {
      this.#pairs.set(left, right, impossible);
      return impossible;
    }
    const pair = this.#left.length;
    this.#pairs.set(left, right, pair);
    this.#left.push(left);
    this.#right.push(right);
    this.#count.push(0);
    return pair;
  }

  /** Counts the pairs of characters, then makes lists of their places of the right lengths. */
  #findPairs(length: number): void {
    const sizes: number[] = [];
    const each = (visit: (pair: number, place: number) => void): void => {
      for (let place = 1; place + 1 < length; place += 1) {
        const [left, right] = [this.#cells[place]!, this.#cells[place + 1]!];
        if (left === separator || right === separator) continue;
        const known = this.#pairs.get(left, right);
        const pair = known === -1 ? this.#makePair(left, right) : known;
        if (pair !== impossible) visit(pair, place);
      }
    };
    each((pair, place) => {
      sizes[pair] = (sizes[pair] ?? 0) + 1;
      this.#count[pair]! += this.#counts[this.#wordOf[place]!]!;
    });
    for (const [pair, size] of sizes.entries()) {
      this.#places[pair] = new Int32Array(size);
      this.#heap.push(pair, this.#count[pair]!);
      sizes[pair] = 0;
    }
    each((pair, place) => {
      this.#places[pair]![sizes[pair]!] = place;
      sizes[pair]! += 1;
    });
  }

  /** Order of equally frequent pairs. */
  #isBefore(a: number, b: number): boolean {
    const lengthOf = (pair: number): number =>
      this.#symbols.lengths[this.#left[pair]!]! + this.#symbols.lengths[this.#right[pair]!]!;
    const difference = lengthOf(a) - lengthOf(b);
    return difference === 0 ? isBeforeByCodePoint(this.textOf(a), this.textOf(b)) : difference < 0;
  }
}

/** Marks a pair that may not become a piece. */
const impossible = -2;

/** UTF-16 puts surrogates before U+E000 to U+FFFF; code points, and so UTF-8, have it the other way. */
function isBeforeByCodePoint(a: string, b: string): boolean {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    const [xIsHigh, yIsHigh] = [(x & 0xf800) === 0xd800, (y & 0xf800) === 0xd800];
    return xIsHigh === yIsHigh ? x < y : yIsHigh;
  }
  return a.length < b.length;
}

/** Binary heap of pairs, the most frequent first. */
class PairHeap {
  readonly #pairs: number[] = [];
  readonly #counts: number[] = [];
  readonly #isBefore: (a: number, b: number) => boolean;

  constructor(isBefore: (a: number, b: number) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#pairs.length;
  }

  push(pair: number, count: number): void {
    let i = this.#pairs.length;
    this.#pairs.push(pair);
    this.#counts.push(count);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#wins(pair, count, parent)) break;
      this.#move(parent, i);
      i = parent;
    }
    this.#pairs[i] = pair;
    this.#counts[i] = count;
  }

  pop(): { pair: number; count: number } {
    const top = { pair: this.#pairs[0]!, count: this.#counts[0]! };
    const pair = this.#pairs.pop()!;
    const count = this.#counts.pop()!;
    const size = this.#pairs.length;
    if (size === 0) return top;
    let i = 0;
    for (let child = 1; child < size; child = 2 * i + 1) {
      if (child + 1 < size && this.#wins(this.#pairs[child + 1]!, this.#counts[child + 1]!, child))
        child += 1;
      if (this.#wins(pair, count, child)) break;
      this.#move(child, i);
      i = child;
    }
    this.#pairs[i] = pair;
    this.#counts[i] = count;
    return top;
  }

  #wins(pair: number, count: number, place: number): boolean {
    const other = this.#counts[place]!;
    return count === other ? this.#isBefore(pair, this.#pairs[place]!) : count > other;
  }

  #move(from: number, to: number): void {
    this.#pairs[to] = this.#pairs[from]!;
    this.#counts[to] = this.#counts[from]!;
  }
}
