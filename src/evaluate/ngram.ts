/**
 * An n-gram language model, the baseline that a trained model has to beat on the same tokens: interpolated
 * Kneser-Ney smoothing with three discounts per order ("modified", Chen & Goodman 1998 §3, the strongest of
 * those they compare):
 *
 *     p(w | h) = (c(hw) - D(c(hw))) / c(h·) + γ(h) · p(w | h'),    γ(h) = Σ_w D(c(hw)) / c(h·)
 *
 * where h' is h without its first token and below the unigrams stands the uniform distribution. c counts
 * occurrences at the highest order and distinct left neighbours at lower ones. The tokens are one stream:
 * contexts run across documents, since after BOS the preceding tokens say nothing and are soon backed off.
 *
 * n-grams are a trie: one is the pair (its first n-1 tokens, its last token), so that any order over any
 * vocabulary fits a hash table of two 32-bit words per entry.
 */

import { ConfigError } from "../errors/errors.ts";

export interface NgramModel {
  /** Negative log-likelihood of tokens[1..], each given what precedes it in `tokens`. */
  score(tokens: Int32Array): { nats: number; tokens: number };
}

export interface NgramOptions {
  /** Longest n-gram; 5 is usual. */
  readonly order: number;
  readonly vocabSize: number;
  /** Part of the training that is done, in (0, 1]. */
  readonly onProgress?: (done: number) => void;
}

/** @throws {ConfigError} if there are no tokens, a token is not in the vocabulary, or the order is not 1 to 10. */
export async function trainNgram(
  tokens: Int32Array | Uint16Array,
  options: NgramOptions,
): Promise<NgramModel> {
  const { order, vocabSize, onProgress } = options;
  checkOptions(options);
  if (tokens.length === 0) throw new ConfigError("there are no tokens to train the n-gram model on");
  checkTokens(tokens, vocabSize);

  const levels: Level[] = [];
  // For each position the n-gram of the current order that ends there; starts as the empty one.
  const ending = new Int32Array(tokens.length);
  for (let n = 1; n <= order; n += 1) {
    levels.push(countOrder(tokens, ending, n, levels[n - 2]));
    onProgress?.((0.9 * n) / order);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const isHighest = (i: number): boolean => i === order - 1;
  const counts = levels.map((level, i) => (isHighest(i) ? level.occurrences : level.neighbours));
  const smoothed = levels.map((level, i) => smooth(level, counts[i]!, levels[i - 1]?.size ?? 1));
  onProgress?.(1);
  return {
    score(scored) {
      checkTokens(scored, vocabSize);
      return score(scored, smoothed, vocabSize);
    },
  };
}

// --- internal ---

const MAX_ORDER = 10;
const NONE = -1;

/** The distinct n-grams of one order, numbered as they are first seen. */
interface Level {
  readonly table: PairTable;
  readonly size: number;
  readonly occurrences: Uint32Array;
  /** Distinct tokens seen to the left of each; filled by the next order. */
  readonly neighbours: Uint32Array;
}

/** What of one order the probability needs. */
interface SmoothedLevel {
  readonly table: PairTable;
  /** c(hw) - D(c(hw)), per n-gram. */
  readonly discounted: Float32Array;
  /** c(h·), per context, which is an n-gram of the order below. */
  readonly totals: Float64Array;
  /** Σ_w D(c(hw)), per context. */
  readonly reserved: Float64Array;
}

/** Counts the n-grams of `tokens`; `ending` goes from the (n-1)-grams to the n-grams that end at each position. */
function countOrder(
  tokens: Int32Array | Uint16Array,
  ending: Int32Array,
  n: number,
  below: Level | undefined,
): Level {
  const table = createPairTable();
  let occurrences = new Uint32Array(1024);
  // The (n-1)-gram that ends at i-1, kept from before it was overwritten.
  let prefix = 0;
  for (let i = 0; i < tokens.length; i += 1) {
    const suffix = ending[i]!;
    if (i < n - 1) {
      prefix = suffix;
      ending[i] = NONE;
      continue;
    }
    const known = table.size;
    const id = table.intern(prefix, tokens[i]!);
    if (id === known) {
      if (id === occurrences.length) occurrences = grown(occurrences);
      if (below !== undefined) below.neighbours[suffix]! += 1;
    }
    occurrences[id]! += 1;
    prefix = suffix;
    ending[i] = id;
  }
  const { size } = table;
  return { table, size, occurrences: occurrences.slice(0, size), neighbours: new Uint32Array(size) };
}

function smooth({ table, size }: Level, counts: Uint32Array, contexts: number): SmoothedLevel {
  const discount = discounts(counts);
  const discounted = new Float32Array(size);
  const totals = new Float64Array(contexts);
  const reserved = new Float64Array(contexts);
  for (let id = 0; id < size; id += 1) {
    const count = counts[id]!;
    const context = table.prefixOf(id);
    const off = discount[Math.min(count, 3)]!;
    discounted[id] = count - off;
    totals[context]! += count;
    // From the rounded value, so that the probabilities still sum to 1.
    reserved[context]! += count - discounted[id]!;
  }
  return { table, discounted, totals, reserved };
}

/**
 * D of a count of 0, 1, 2 and 3 or more (Chen & Goodman 1998, eq. 26), from n_r, the number of n-grams counted r
 * times. Where a tiny text lacks some n_r, the single discount n_1 / (n_1 + 2 n_2) of Kneser & Ney serves for all
 * (1/2 where nothing is counted once: a discount of zero would leave unseen tokens without probability).
 */
function discounts(counts: Uint32Array): readonly [number, number, number, number] {
  const [, n1, n2, n3, n4] = countsOfCounts(counts);
  const y = n1 === 0 ? 0.5 : n1! / (n1! + 2 * n2!);
  const modified = [1 - (2 * y * n2!) / n1!, 2 - (3 * y * n3!) / n2!, 3 - (4 * y * n4!) / n3!] as const;
  const isUsable = modified.every((discount, i) => discount > 0 && discount <= i + 1);
  return isUsable && n4! > 0 ? [0, ...modified] : [0, y, y, y];
}

function countsOfCounts(counts: Uint32Array): number[] {
  const numbers = [0, 0, 0, 0, 0];
  for (const count of counts) if (count < 5) numbers[count]! += 1;
  return numbers;
}

function score(
  tokens: Int32Array,
  levels: readonly SmoothedLevel[],
  vocabSize: number,
): { nats: number; tokens: number } {
  // contexts[n] is the n-gram that ends at the previous token; the empty one always is known.
  let contexts = new Int32Array(levels.length + 1).fill(NONE);
  let extended = contexts.slice();
  contexts[0] = 0;
  extended[0] = 0;
  let nats = 0;
  for (let i = 0; i < tokens.length; i += 1) {
    const token = tokens[i]!;
    let probability = 1 / vocabSize;
    for (let n = 1; n <= levels.length; n += 1) {
      const { table, discounted, totals, reserved } = levels[n - 1]!;
      const context = contexts[n - 1]!;
      // A context that was not seen, or only at the end of the text, says nothing; nor do longer ones.
      const id = context === NONE ? NONE : table.find(context, token);
      extended[n] = id;
      if (context === NONE || totals[context] === 0) continue;
      const own = id === NONE ? 0 : discounted[id]!;
      probability = (own + reserved[context]! * probability) / totals[context]!;
    }
    if (i > 0) nats -= Math.log(probability);
    [contexts, extended] = [extended, contexts];
  }
  return { nats, tokens: Math.max(0, tokens.length - 1) };
}

/** Numbers for pairs (prefix, token): open addressing with linear probing, at most half full. */
interface PairTable {
  readonly size: number;
  /** The number of the pair; a new one is the old `size`. */
  intern(prefix: number, token: number): number;
  /** The number of the pair, or NONE. */
  find(prefix: number, token: number): number;
  prefixOf(id: number): number;
}

function createPairTable(): PairTable {
  let size = 0;
  let prefixes = new Uint32Array(1024);
  let lasts = new Uint32Array(1024);
  // Slots hold the number + 1, so that 0 is an empty one.
  let slots = new Uint32Array(4096);

  const slotOf = (prefix: number, token: number): number => {
    const mask = slots.length - 1;
    let slot = hashPair(prefix, token) & mask;
    for (;;) {
      const id = slots[slot]! - 1;
      if (id < 0 || (prefixes[id] === prefix && lasts[id] === token)) return slot;
      slot = (slot + 1) & mask;
    }
  };
  const grow = (): void => {
    prefixes = grown(prefixes);
    lasts = grown(lasts);
    slots = new Uint32Array(4 * prefixes.length);
    for (let id = 0; id < size; id += 1) slots[slotOf(prefixes[id]!, lasts[id]!)] = id + 1;
  };
  return {
    get size() {
      return size;
    },
    intern(prefix, token) {
      let slot = slotOf(prefix, token);
      if (slots[slot] !== 0) return slots[slot]! - 1;
      if (size === prefixes.length) {
        grow();
        slot = slotOf(prefix, token);
      }
      prefixes[size] = prefix;
      lasts[size] = token;
      size += 1;
      slots[slot] = size;
      return size - 1;
    },
    find(prefix, token) {
      return slots[slotOf(prefix, token)]! - 1;
    },
    prefixOf(id) {
      return prefixes[id]!;
    },
  };
}

/** Two rounds of multiply and shift; the constants are those of MurmurHash3's 32-bit finaliser (Appleby 2011). */
function hashPair(prefix: number, token: number): number {
  let hash = Math.imul(prefix, 0x9e3779b1) ^ Math.imul(token, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function grown(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(2 * array.length);
  larger.set(array);
  return larger;
}

function checkOptions({ order, vocabSize }: NgramOptions): void {
  if (!Number.isInteger(order) || order < 1 || order > MAX_ORDER) {
    throw new ConfigError(
      `the order of an n-gram model (${order}) is not a whole number from 1 to ${MAX_ORDER}`,
      {
        mend: "Set it to 5.",
      },
    );
  }
  if (!Number.isInteger(vocabSize) || vocabSize < 1 || vocabSize > 2 ** 31) {
    throw new ConfigError(`the vocabulary size (${vocabSize}) is not a whole number from 1 to 2^31`);
  }
}

function checkTokens(tokens: Int32Array | Uint16Array, vocabSize: number): void {
  const wrong = tokens.findIndex((token: number) => token < 0 || token >= vocabSize);
  if (wrong < 0) return;
  throw new ConfigError(
    `token ${tokens[wrong]} at position ${wrong} is not in the vocabulary of ${vocabSize}`,
    {
      mend: "Score with the tokenizer that the model was trained with.",
    },
  );
}
