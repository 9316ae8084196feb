/**
 * Shapes, outermost dimension first. The one place that knows ggml's order.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Extents } from "../engine/arena.ts";

/** Sizes of a tensor's dimensions, outermost first: `[batch, seq, dim]`. One to four of them. */
export type Shape = readonly number[];

/** ggml names dimensions innermost first and always has four; everything above this function is outermost first. */
export function extentsOf(shape: Shape): Extents {
  const [a = 1, b = 1, c = 1, d = 1] = shape.toReversed();
  return [a, b, c, d];
}

/** @throws {ConfigError} when ggml could not hold such a tensor. */
export function checkShape(op: string, shape: Shape): void {
  const isValid =
    shape.length >= 1 && shape.length <= 4 && shape.every((size) => Number.isSafeInteger(size) && size >= 1);
  if (isValid && elementsOf(shape) <= Number.MAX_SAFE_INTEGER / 16) return;
  throw new ConfigError(`${op}: ${shapeText(shape)} is not a shape of one to four positive sizes`);
}

export function elementsOf(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

export function shapeText(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** The shape error of an op on two tensors: `matmul: [2, 16, 64] x [32, 60]: inner dims 64 and 60 differ`. */
export function shapeError(op: string, a: Shape, b: Shape, why: string): ConfigError {
  return new ConfigError(`${op}: ${shapeText(a)} x ${shapeText(b)}: ${why}`);
}
