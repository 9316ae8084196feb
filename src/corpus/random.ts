/**
 * Seeded pseudo-random numbers whose state is data, so that a run can stop and go on.
 *
 * xoshiro128** 1.1 (Blackman & Vigna 2021, "Scrambled linear pseudorandom number generators"),
 * 32-bit words because JavaScript multiplies those exactly; seeded by SplitMix64 as its authors advise.
 */

import { ConfigError } from "../errors/errors.ts";

export interface Random {
  /** Uniform in [0, 1), a multiple of 2^-53. */
  next(): number;
  /** Uniform integer in [0, n), without modulo bias; 1 <= n <= 2^53. */
  int(n: number): number;
  /** The four 32-bit words that {@link restoreRandom} continues from. */
  readonly state: readonly number[];
}

/** @throws {ConfigError} if the seed is not a safe integer. */
export function createRandom(seed: number): Random {
  if (!Number.isSafeInteger(seed)) {
    throw new ConfigError(`seed (${seed}) is not a whole number`, {
      mend: "Give a whole number between -2^53 and 2^53.",
    });
  }
  const [first, second] = splitMix64(BigInt(seed));
  return generator(Uint32Array.from([low(first), high(first), low(second), high(second)]));
}

/**
 * The generator that `state` was taken from, at that moment.
 *
 * @throws {ConfigError} if `state` is not four 32-bit words, or all zero (a fixed point of the generator).
 */
export function restoreRandom(state: readonly number[]): Random {
  if (state.length !== 4 || !state.every(isWord) || state.every((word) => word === 0)) {
    throw new ConfigError(
      `random state [${state.slice(0, 8).join(", ")}] is not four 32-bit words, one not zero`,
      {
        mend: "Restore from the state that was saved, unchanged.",
      },
    );
  }
  return generator(Uint32Array.from(state));
}

/** The items in a random order (Fisher-Yates; Knuth, TAOCP vol. 2, algorithm 3.4.2 P); `items` stays as it is. */
export function shuffle<T>(items: readonly T[], random: Random): T[] {
  const shuffled = items.slice();
  for (let i = shuffled.length - 1; i > 0; i -= 1) {
    const j = random.int(i + 1);
    [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
  }
  return shuffled;
}

// --- internal ---

const WORD = 2 ** 32;

function generator(words: Uint32Array): Random {
  let [a, b, c, d] = words as unknown as [number, number, number, number];
  const word = (): number => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotateLeft(d, 11);
    return result;
  };
  const next = (): number => ((word() >>> 5) * 2 ** 26 + (word() >>> 6)) / 2 ** 53;
  return {
    next,
    int(n) {
      if (!Number.isSafeInteger(n) || n < 1) {
        throw new ConfigError(`int(${n}): the bound is not a whole number of at least 1`);
      }
      if (n > WORD) return Math.floor(next() * n);
      const unbiased = WORD - (WORD % n);
      let drawn = word();
      while (drawn >= unbiased) drawn = word();
      return drawn % n;
    },
    get state() {
      return [a >>> 0, b >>> 0, c >>> 0, d >>> 0];
    },
  };
}

function isWord(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < WORD;
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** The first two outputs of SplitMix64 (Steele, Lea & Flood 2014). */
function splitMix64(seed: bigint): [bigint, bigint] {
  const output = (step: bigint): bigint => {
    let z = BigInt.asUintN(64, seed + step * 0x9e3779b97f4a7c15n);
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  };
  return [output(1n), output(2n)];
}

function low(value: bigint): number {
  return Number(value & 0xffffffffn);
}

function high(value: bigint): number {
  return Number(value >> 32n);
}
