/**
 * Weighted mixture of sources, by whole documents. A weight is a number of epochs, as in the "epochs"
 * column of Llama 1 Table 1: 2.23 shows every document of a source twice and 23% of them a third time,
 * while the sources of weight 1 are shown once.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Document } from "./document.ts";
import { type Random, shuffle } from "./random.ts";

export interface WeightedDocuments {
  readonly documents: readonly Document[];
  /** Epochs of these documents in one epoch of the mixture. */
  readonly weight: number;
}

/**
 * One epoch of the mixture, shuffled; the same `random` gives the same order.
 *
 * @throws {ConfigError} if a weight is negative, not finite, or so large that it must be a mistake.
 */
export function mixDocuments(sources: readonly WeightedDocuments[], random: Random): Document[] {
  const mixed: Document[] = [];
  for (const { documents, weight } of sources) {
    checkWeight(weight);
    const epochs = Math.floor(weight);
    for (let epoch = 0; epoch < epochs; epoch += 1) {
      for (const document of documents) mixed.push(document);
    }
    const rest = Math.round((weight - epochs) * documents.length);
    for (const document of shuffle(documents, random).slice(0, rest)) mixed.push(document);
  }
  return shuffle(mixed, random);
}

/** @throws {ConfigError} if the weight cannot be a number of epochs. */
export function checkWeight(weight: number): void {
  if (weight >= 0 && weight <= MAX_WEIGHT) return;
  throw new ConfigError(`the weight of a source (${weight}) is not between 0 and ${MAX_WEIGHT}`, {
    mend: "A weight is how many times each document of the source is shown per epoch: 1 is once, 0.5 half of them.",
  });
}

// --- internal ---

const MAX_WEIGHT = 1000;
