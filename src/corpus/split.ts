/**
 * Held-out documents. Whole documents only: a window of a document seen in training would make the
 * validation loss too good.
 */

import { createHash } from "node:crypto";
import { ConfigError } from "../errors/errors.ts";
import type { Document } from "./document.ts";

export interface SplitOptions {
  /** Expected part of the documents that is held out, in [0, 1); 0 holds none out. */
  readonly validationFraction: number;
  readonly seed: number;
}

/**
 * Each document's side follows from its text and the seed alone, so that adding a source moves no other
 * document across. Of two or more documents at least one is held out and at least one is trained on.
 *
 * @throws {ConfigError} if the fraction is not in [0, 1).
 */
export function splitDocuments(
  documents: readonly Document[],
  options: SplitOptions,
): { train: Document[]; validation: Document[] } {
  const { validationFraction, seed } = options;
  checkFraction(validationFraction);
  const draws = documents.map(({ text }) => draw(text, seed));
  let isHeldOut = draws.map((value) => value < validationFraction);
  if (validationFraction > 0 && documents.length >= 2) {
    const [least, greatest] = extremes(draws);
    isHeldOut = isHeldOut.map((held, i) => (held || i === least) && i !== greatest);
  }
  return {
    train: documents.filter((_, i) => isHeldOut[i] === false),
    validation: documents.filter((_, i) => isHeldOut[i] === true),
  };
}

/** @throws {ConfigError} if the part to hold out is not in [0, 1). */
export function checkFraction(validationFraction: number): void {
  if (validationFraction >= 0 && validationFraction < 1) return;
  throw new ConfigError(`validation_fraction (${validationFraction}) is not in [0, 1)`, {
    mend: "Set validation_fraction to the part of the documents to hold out, such as 0.05.",
  });
}

// --- internal ---

/** Uniform in [0, 1), from the first 48 bits of SHA-256. */
function draw(text: string, seed: number): number {
  return createHash("sha256").update(`${seed}\n`).update(text).digest().readUIntBE(0, 6) / 2 ** 48;
}

/** Indices of a least and a greatest value; different ones when there are two or more values. */
function extremes(values: readonly number[]): [number, number] {
  let least = 0;
  let greatest = 0;
  for (let i = 1; i < values.length; i += 1) {
    if (values[i]! < values[least]!) least = i;
    if (values[i]! >= values[greatest]!) greatest = i;
  }
  return [least, greatest];
}
