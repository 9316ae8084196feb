/**
 * The comparisons that a reward model is trained on (Llama 2 §3.2.2, "Data Composition"): all of its own kind, and of
 * the rest as many as make up the mix, drawn uniformly.
 */

import { shuffle, type Random } from "../corpus/random.ts";

export interface Mix<T> {
  readonly pairs: readonly T[];
  /** How many of them are of the rest. */
  readonly drawn: number;
  /** How many more the mix wants than there are. */
  readonly missing: number;
}

/** @param share the part of the pairs that is of `own`. */
export function mixed<T>(own: readonly T[], rest: readonly T[], share: number, random: Random): Mix<T> {
  const wanted = rest.length === 0 ? 0 : Math.round((own.length * (1 - share)) / share);
  const drawn = shuffle(rest, random).slice(0, wanted);
  return { pairs: [...own, ...drawn], drawn: drawn.length, missing: wanted - drawn.length };
}
