/**
 * Byte pair encoding of one stretch of symbols: merge the neighbours whose piece has the highest score, the
 * leftmost of equals, until no two neighbours make a piece (SentencePiece's rule; Llama 2 §2.1 uses it).
 *
 * Short stretches, which words are, take the best pair by looking at all of them. Long ones take it from a
 * heap, so that ten million letters without a space cost n log n.
 */
import type { Vocabulary } from "./vocabulary.ts";

/**
 * Merges in place, and says how many symbols are left, at the front of both arrays.
 *
 * @param symbols symbols of single characters, -1 for a character that is not in any piece. [length]
 * @param length  how many of them there are.
 * @param origins for each symbol, where in `symbols` its first character was; overwritten. [length]
 */
export type Merger = (symbols: Int32Array, length: number, origins: Int32Array) => number;

export function createMerger(vocabulary: Vocabulary): Merger {
  const scanned = new Int32Array(scanLimit);
  return (symbols, length, origins) => {
    for (let i = 0; i < length; i += 1) origins[i] = i;
    if (length > scanLimit) return mergeByHeap(vocabulary, symbols, length, origins);
    return mergeByScan(vocabulary, { symbols, origins, pieces: scanned }, length);
  };
}

// --- internal ---

/** Where looking at all pairs and keeping a heap cost the same, measured on English words. */
const scanLimit = 48;

interface Scan {
  readonly symbols: Int32Array;
  readonly origins: Int32Array;
  /** What each symbol and its right neighbour merge into; -1 for nothing. */
  readonly pieces: Int32Array;
}

function mergeByScan({ merges, ranks }: Vocabulary, scan: Scan, length: number): number {
  const { symbols, origins, pieces } = scan;
  let count = length;
  const pairAt = (i: number): number => {
    const left = symbols[i]!;
    const right = symbols[i + 1]!;
    return left === -1 || right === -1 ? -1 : merges.get(left, right);
  };
  for (let i = 0; i + 1 < count; i += 1) pieces[i] = pairAt(i);
  for (;;) {
    let best = -1;
    let bestRank = 0x7fffffff;
    for (let i = 0; i + 1 < count; i += 1) {
      const piece = pieces[i]!;
      if (piece !== -1 && ranks[piece]! < bestRank) [best, bestRank] = [i, ranks[piece]!];
    }
    if (best === -1) return count;
    symbols[best] = pieces[best]!;
    symbols.copyWithin(best + 1, best + 2, count);
    origins.copyWithin(best + 1, best + 2, count);
    pieces.copyWithin(best + 1, best + 2, count);
    count -= 1;
    if (best + 1 < count) pieces[best] = pairAt(best);
    if (best > 0) pieces[best - 1] = pairAt(best - 1);
  }
}

function mergeByHeap(
  { merges, ranks }: Vocabulary,
  symbols: Int32Array,
  length: number,
  origins: Int32Array,
): number {
  const next = new Int32Array(length + 1);
  const previous = new Int32Array(length + 1);
  const heap = new MinHeap(length);
  const pairAt = (i: number): number => {
    const j = next[i]!;
    if (j >= length || symbols[i]! < 0 || symbols[j]! < 0) return -1;
    return merges.get(symbols[i]!, symbols[j]!);
  };
  const push = (i: number): void => {
    const piece = pairAt(i);
    // Rank first, then place: one exact float64 each, since both are below 2^31 and 2^22.
    if (piece !== -1) heap.push(ranks[piece]! * places + i);
  };
  for (let i = 0; i < length; i += 1) [next[i], previous[i]] = [i + 1, i - 1];
  for (let i = 0; i + 1 < length; i += 1) push(i);
  while (heap.size > 0) {
    const key = heap.pop();
    const left = key % places;
    if (symbols[left] === merged) continue;
    const piece = pairAt(left);
    // A pair that has changed since it was pushed was pushed again; its old entry is stale.
    if (piece === -1 || ranks[piece] !== (key - left) / places) continue;
    const right = next[left]!;
    symbols[left] = piece;
    symbols[right] = merged;
    next[left] = next[right]!;
    previous[next[left]] = left;
    push(left);
    if (previous[left]! >= 0) push(previous[left]!);
  }
  let count = 0;
  for (let i = 0; i < length; i = next[i]!) {
    [symbols[count], origins[count]] = [symbols[i]!, i];
    count += 1;
  }
  return count;
}

/** Marks the right half of a merge. */
const merged = -2;
const places = 2 ** 31;

/** Binary heap of numbers, the smallest first. */
class MinHeap {
  #keys: Float64Array;
  size = 0;

  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity + 1);
  }

  push(key: number): void {
    if (this.size === this.#keys.length) {
      const grown = new Float64Array(2 * this.#keys.length);
      grown.set(this.#keys);
      this.#keys = grown;
    }
    const keys = this.#keys;
    let i = this.size;
    this.size += 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[i] = keys[parent]!;
      i = parent;
    }
    keys[i] = key;
  }

  pop(): number {
    const keys = this.#keys;
    const top = keys[0]!;
    this.size -= 1;
    const { size } = this;
    const last = keys[size]!;
    let i = 0;
    for (let child = 1; child < size; child = 2 * i + 1) {
      if (child + 1 < size && keys[child + 1]! < keys[child]!) child += 1;
      if (keys[child]! >= last) break;
      keys[i] = keys[child]!;
      i = child;
    }
    keys[i] = last;
    return top;
  }
}
