/**
 * Ranges of code points as sequences of ranges of bytes (RFC 3629 §4): what lies between two code points of one
 * length whose trailing bytes run from 0x80 to 0xBF is one sequence, so a range splits where that is not so.
 */

import type { CodeRange } from "./grammar.ts";

/** A byte from `first` to `last` for each place. */
export type ByteRanges = readonly (readonly [first: number, last: number])[];

/** Surrogates have no bytes and are left out. */
export function utf8Ranges(ranges: readonly CodeRange[]): ByteRanges[] {
  const sequences: ByteRanges[] = [];
  for (const [first, last] of ranges) {
    for (const [low, high] of lengthBands) {
      const [from, to] = [Math.max(first, low), Math.min(last, high)];
      if (from > to) continue;
      if (to < 0x80) sequences.push([[from, to]]);
      else split(from, to, sequences);
    }
  }
  return sequences;
}

// --- internal ---

/** Code points of one, two, three (before and after the surrogates) and four bytes. */
const lengthBands: readonly CodeRange[] = [
  [0, 0x7f],
  [0x80, 0x7ff],
  [0x800, 0xd7ff],
  [0xe000, 0xffff],
  [0x10000, 0x10ffff],
];

function split(first: number, last: number, out: ByteRanges[]): void {
  for (let bits = 6; bits <= 18; bits += 6) {
    const low = (1 << bits) - 1;
    if (first >> bits === last >> bits) continue;
    if ((first & low) !== 0) {
      split(first, first | low, out);
      split((first | low) + 1, last, out);
      return;
    }
    if ((last & low) !== low) {
      split(first, (last & ~low) - 1, out);
      split(last & ~low, last, out);
      return;
    }
  }
  const from = utf8(first);
  const to = utf8(last);
  out.push(from.map((byte, i) => [byte, to[i]!] as const));
}

function utf8(code: number): number[] {
  if (code < 0x80) return [code];
  const trailing = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  const lead = [0, 0xc0, 0xe0, 0xf0][trailing]! | (code >> (6 * trailing));
  const bytes = [lead];
  for (let i = trailing - 1; i >= 0; i -= 1) bytes.push(0x80 | ((code >> (6 * i)) & 0x3f));
  return bytes;
}
