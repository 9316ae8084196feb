/**
 * Log-probabilities of a token and of those that were more probable, as OpenAI's API reports them: of the model's
 * own distribution, before temperature, penalties and filters.
 */

import { ConfigError } from "../errors/errors.ts";
import { argmax, noLogits } from "./sampling/argmax.ts";
import { furthestStep, massAfter, stepsPerNat } from "./sampling/mass.ts";

export interface TokenLogprob {
  readonly id: number;
  /** log p, in nats; -Infinity for a token whose logit is. */
  readonly logprob: number;
}

export interface TokenLogprobs extends TokenLogprob {
  /** The most probable tokens, the first of equals first; the token itself only if it is one of them. */
  readonly top: readonly TokenLogprob[];
}

/** The most of the top that can be asked for; OpenAI's API allows 20. */
export const maxTopLogprobs = 1000;

/**
 * log p(id) = x_id - log Σ exp(x), summed in float64 with the largest x taken out, so that nothing overflows.
 *
 * @param logits `[vocab]`
 * @param top    how many of the most probable tokens are reported.
 * @throws {ConfigError} for a token outside the vocabulary, or a top that is too large.
 * @throws {EngineError} for logits that are not numbers.
 */
export function logprobsOf(logits: Float32Array, id: number, top: number): TokenLogprobs {
  if (!Number.isInteger(id) || id < 0 || id >= logits.length) {
    throw new ConfigError(`token ${id} is not one of ${logits.length} tokens`);
  }
  checkTopLogprobs(top);
  const { max, logSum } = normaliser(logits);
  // In this order: the difference of two f32 is exact, and log Σ is small.
  const logprob = (id: number): number => logits[id]! - max - logSum;
  const most = largest(logits, top).map((id) => ({ id, logprob: logprob(id) }));
  return { id, logprob: logprob(id), top: most };
}

/** @throws {ConfigError} for a top that is none. */
export function checkTopLogprobs(top: number): void {
  if (Number.isInteger(top) && top >= 0 && top <= maxTopLogprobs) return;
  throw new ConfigError(`top-logprobs (${top}) is not a whole number from 0 to ${maxTopLogprobs}`, {
    mend: "0 reports the token that was drawn and no other.",
  });
}

// --- internal ---

/**
 * The largest logit, and log Σ exp(x - max). Terms below 2^-64 of the largest are left out: a million of them are
 * below 2^-44.
 */
function normaliser(logits: Float32Array): { readonly max: number; readonly logSum: number } {
  const best = argmax(logits);
  if (best < 0) throw noLogits(logits.length);
  const max = logits[best]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i += 1) {
    const steps = (max - logits[i]!) * stepsPerNat;
    if (steps < furthestStep) sum += massAfter(steps);
  }
  return { max, logSum: Math.log(sum) };
}

/** The ids of the `count` largest, largest first: most tokens are refused by one comparison with the last of them. */
function largest(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  if (count === 0) return ids;
  let lowest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i += 1) {
    const logit = logits[i]!;
    if (ids.length === count) {
      if (logit <= lowest) continue;
      ids.pop();
    }
    let to = ids.length;
    for (; to > 0 && logits[ids[to - 1]!]! < logit; to -= 1) ids[to] = ids[to - 1]!;
    ids[to] = i;
    lowest = logits[ids.at(-1)!]!;
  }
  return ids;
}
