/**
 * Which cells of a cache the tokens of a pass look at: windows, each with the tokens of sequences whose cells are near
 * each other.
 */

import { minusInfinity } from "./attention.ts";
import type { PassWindow } from "./cached-pass.ts";
import { cacheStep } from "./kv-cache.ts";

/** From so many tokens on the attention kernel works in tiles (GGML_FA_TILE_Q), of as many tokens and cells. */
export const tileTokens = 64;

/** A token in a pass. */
export interface Row {
  readonly token: number;
  /** Its sequence's, of which it sees those up to its own. */
  readonly cells: readonly number[];
  readonly position: number;
  /** Where its logits are wanted. */
  readonly target: { readonly step: number; readonly at: number; readonly of: number } | undefined;
}

export interface FilledWindow {
  readonly shape: PassWindow;
  readonly rows: readonly Row[];
}

/**
 * Windows are whole steps of so many cells. Each that grows wants another graph, which of many texts happens often: the
 * windows of many have longer steps.
 */
export function windowStep(texts: number): number {
  return Math.min(cacheStep, tileTokens * 2 ** Math.ceil(Math.log2(Math.max(1, texts / 8))));
}

/**
 * Short parts together that are near each other, as many as stay below the size of a tile; long parts alone.
 *
 * @param heads of the model: each passes over the cells that a row does not see.
 */
export function joined(parts: readonly FilledWindow[], heads: number): FilledWindow[] {
  const worth = maskedWork / heads;
  const isShort = ({ rows }: FilledWindow): boolean => rows.length < tileTokens;
  const windows: FilledWindow[] = [];
  for (const part of parts.filter(isShort).toSorted((a, b) => a.shape.start - b.shape.start)) {
    const before = windows.at(-1);
    const both = before === undefined ? undefined : union(before, part);
    if (both !== undefined && isShort(both) && workOf(both) <= workOf(before!) + workOf(part) + worth)
      windows[windows.length - 1] = both;
    else windows.push(part);
  }
  return [...windows, ...parts.filter((part) => !isShort(part))];
}

/** Each token sees the cells of its sequence up to its own. f16 bits. */
export function maskOf(windows: readonly FilledWindow[]): Uint16Array {
  const total = windows.reduce((sum, { shape }) => sum + shape.tokens * shape.length, 0);
  const bits = new Uint16Array(total).fill(minusInfinity);
  let at = 0;
  for (const { shape, rows } of windows) {
    let before: Row | undefined;
    for (const row of rows) {
      const { cells, position } = row;
      // The next token of a sequence sees one cell more.
      const isNext = before?.cells === cells && before.position === position - 1;
      if (isNext) bits.copyWithin(at, at - shape.length, at);
      for (let i = isNext ? position : 0; i <= position; i += 1) bits[at + cells[i]! - shape.start] = 0;
      before = row;
      at += shape.length;
    }
  }
  return bits;
}

// --- internal ---

/** Rows times cells times heads that are passed over in about the time that a window of its own takes. */
const maskedWork = 4096;

function union(a: FilledWindow, b: FilledWindow): FilledWindow {
  const start = Math.min(a.shape.start, b.shape.start);
  const end = Math.max(a.shape.start + a.shape.length, b.shape.start + b.shape.length);
  const rows = [...a.rows, ...b.rows];
  return { rows, shape: { tokens: rows.length, start, length: end - start } };
}

function workOf({ shape }: FilledWindow): number {
  return shape.tokens * shape.length;
}
