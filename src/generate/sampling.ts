/**
 * From logits to one token: temperature, top-k, top-p (Holtzman et al. 2020), as Meta's reference samples.
 */

import { ConfigError } from "../errors/errors.ts";

export interface SamplingOptions {
  /** Divides the logits; 0 takes the most probable token. */
  readonly temperature: number;
  /** Only the k most probable tokens; 0 for all. */
  readonly topK: number;
  /** Only the most probable tokens whose predecessors sum to at most p. */
  readonly topP: number;
}

/** Meta's reference settings (llama-2 generation: temperature 0.6, top-p 0.9). */
export const metaSampling: SamplingOptions = { temperature: 0.6, topK: 0, topP: 0.9 };

/** @throws {ConfigError} naming the setting that cannot be. */
export function checkSampling({ temperature, topK, topP }: SamplingOptions): void {
  if (!Number.isFinite(temperature) || temperature < 0) {
    throw new ConfigError(`temperature (${temperature}) is not a number from 0 up`, {
      mend: "0 is greedy, 0.6 is Meta's.",
    });
  }
  if (!Number.isInteger(topK) || topK < 0) {
    throw new ConfigError(`top-k (${topK}) is not a whole number from 0 up`, { mend: "0 turns it off." });
  }
  if (!(topP > 0 && topP <= 1)) {
    throw new ConfigError(`top-p (${topP}) does not lie in (0, 1]`, { mend: "1 turns it off." });
  }
}

/**
 * Draws a token.
 *
 * @param logits `[vocab]`; not changed
 * @param next   uniform in [0, 1)
 */
export function sample(logits: Float32Array, options: SamplingOptions, next: () => number): number {
  const best = argmax(logits);
  if (options.temperature === 0 || options.topK === 1) return best;
  const { ids, masses } = candidates(logits, logits[best]!, options);
  // Most probable first: top-p drops a token when those before it already sum to more than p.
  const total = sumOf(masses);
  const limit = options.topP * total;
  let kept = 0;
  let count = 0;
  while (count < masses.length && (count === 0 || kept <= limit)) {
    kept += masses[count]!;
    count += 1;
  }
  let draw = next() * kept;
  for (let i = 0; i < count; i += 1) {
    draw -= masses[i]!;
    if (draw < 0) return ids[i]!;
  }
  return ids[count - 1]!;
}

/** The most probable token, the first of equals. */
function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i += 1) if (logits[i]! > logits[best]!) best = i;
  return best;
}

// --- internal ---

interface Candidates {
  readonly ids: Int32Array;
  /** Unnormalised probabilities, largest first unless all tokens count. */
  readonly masses: Float64Array;
}

/** Tokens whose mass is below this share of the largest cannot be drawn: their sum is below 2^-24. */
const negligible = 2 ** -42;

function candidates(
  logits: Float32Array,
  max: number,
  { temperature, topK, topP }: SamplingOptions,
): Candidates {
  const lowest = max + Math.log(negligible) * temperature;
  const ids: number[] = [];
  for (let i = 0; i < logits.length; i += 1) if (logits[i]! >= lowest) ids.push(i);
  const isOrdered = topK > 0 || topP < 1;
  if (isOrdered) ids.sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (topK > 0 && ids.length > topK) ids.length = topK;
  return {
    ids: Int32Array.from(ids),
    masses: Float64Array.from(ids, (id) => Math.exp((logits[id]! - max) / temperature)),
  };
}

function sumOf(masses: Float64Array): number {
  let total = 0;
  for (const mass of masses) total += mass;
  return total;
}
