/** Samplers that are slow and plain, and what tests of the quick one draw with. */

import * as fc from "fast-check";
import { createRandom } from "../../../src/corpus/random.ts";
import {
  createSampler,
  sample,
  type SamplingOptions,
  type TokenConstraint,
} from "../../../src/generate/sampling.ts";

export const all: SamplingOptions = { temperature: 1, topK: 0, topP: 1 };
/** Probabilities 1/2, 1/4, 1/8, 1/8 for the tokens 2, 0, 1, 3. */
export const logits = Float32Array.from([1 / 4, 1 / 8, 1 / 2, 1 / 8], Math.log);

/** The token for each of 16 draws spread evenly over [0, 1). */
export function draws(options: SamplingOptions): number[] {
  return Array.from({ length: 16 }, (_, i) => sample(logits, options, () => (i + 0.5) / 16));
}

export function counts(options: SamplingOptions): number[] {
  const found = draws(options);
  return [0, 1, 2, 3].map((token) => found.filter((drawn) => drawn === token).length);
}

/** The sampler that this one replaced: it sorts all tokens, and has temperature, top-k and top-p only. */
export function sampleBySorting(logits: Float32Array, options: SamplingOptions, u: number): number {
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (options.temperature === 0 || options.topK === 1) return order[0]!;
  const max = logits[order[0]!]!;
  const isOrdered = options.topK > 0 || options.topP < 1;
  const ids = (isOrdered ? order : [...logits.keys()]).slice(0, options.topK || logits.length);
  const masses = ids.map((id) => Math.exp((logits[id]! - max) / options.temperature));
  const limit = options.topP * sum(masses);
  let kept = 0;
  let count = 0;
  for (; count < ids.length && (count === 0 || kept <= limit); count += 1) kept += masses[count]!;
  let rest = u * kept;
  const place = masses.slice(0, count).findIndex((mass) => (rest -= mass) < 0);
  return ids[place < 0 ? count - 1 : place]!;
}

export function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

interface Used {
  readonly prompt?: readonly number[];
  readonly generated?: readonly number[];
}

/** The probability of each token, from the papers' formulas in float64, by sorting. */
export function probabilities(logits: Float32Array, options: SamplingOptions, used: Used = {}): number[] {
  const { temperature, topK, topP, minP = 0, typicalP = 1 } = options;
  const scores = adjusted(logits, options, used);
  const max = Math.max(...scores);
  let masses = scores.map((score) => Math.exp((score - max) / temperature));
  const normalise = (): void => {
    const total = sum(masses);
    masses = masses.map((mass) => mass / total);
  };
  const keep = (ids: readonly number[]): void => {
    masses = masses.map((mass, id) => (ids.includes(id) ? mass : 0));
    normalise();
  };
  const alive = (): number[] => [...masses.keys()].filter((id) => masses[id]! > 0);
  const upTo = (share: number, order: readonly number[]): number[] =>
    order.filter((_, place) => sum(order.slice(0, place).map((id) => masses[id]!)) <= share);
  const likeliest = (): number[] => alive().sort((a, b) => masses[b]! - masses[a]! || a - b);
  normalise();
  if (topK > 0) keep(likeliest().slice(0, topK));
  if (typicalP < 1) {
    const surprise = masses.map((mass) => -Math.log(mass));
    const entropy = sum(alive().map((id) => masses[id]! * surprise[id]!));
    const distance = (id: number): number => Math.abs(surprise[id]! - entropy);
    keep(
      upTo(
        typicalP,
        alive().sort((a, b) => distance(a) - distance(b)),
      ),
    );
  }
  if (topP < 1) keep(upTo(topP, likeliest()));
  if (minP > 0) {
    const least = minP * Math.max(...masses);
    keep(alive().filter((id) => masses[id]! >= least));
  }
  return masses;
}

function adjusted(logits: Float32Array, options: SamplingOptions, used: Used): number[] {
  const { prompt = [], generated = [] } = used;
  const { repeatPenalty = 1, repeatLastN = 64, presencePenalty = 0, frequencyPenalty = 0 } = options;
  const text = [...prompt, ...generated];
  const window = repeatLastN < 0 ? text : text.slice(Math.max(0, text.length - repeatLastN));
  return Array.from(logits, (logit, id) => {
    const biased = logit + (options.logitBias?.get(id) ?? 0);
    const isRepeated = window.includes(id);
    const penalised = isRepeated ? (biased > 0 ? biased / repeatPenalty : biased * repeatPenalty) : biased;
    const count = generated.filter((other) => other === id).length;
    return penalised - count * frequencyPenalty - (count > 0 ? presencePenalty : 0);
  });
}

/**
 * How often each token comes of `draws` that are spread evenly over [0, 1). Each token has one interval of [0, 1), so
 * its count is less than 1 from its expected one.
 */
export function evenCounts(
  logits: Float32Array,
  options: SamplingOptions,
  used: Used,
  draws: number,
): number[] {
  let draw = 0;
  const sampler = createSampler(options, logits.length, () => (draw + 0.5) / draws);
  sampler.read(used.prompt ?? []);
  for (const id of used.generated ?? []) sampler.accept(id);
  const found = new Array<number>(logits.length).fill(0);
  for (; draw < draws; draw += 1) found[sampler.sample(logits)]! += 1;
  return found;
}

/** Of a standard normal distribution, times a deviation. */
export function randomLogits(vocabSize: number, seed: number, deviation: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from(
    { length: vocabSize },
    () => deviation * Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next()),
  );
}

export const someLogits = fc.record({
  vocabSize: fc.integer({ min: 1, max: 70 }),
  seed: fc.integer({ min: 0, max: 1e6 }),
  deviation: fc.constantFrom(1e-4, 0.3, 2, 10),
});
/**
 * Coarse and off the round numbers, so that no draw and no limit lies within a rounding error of the border between
 * two tokens: four equal ones have theirs at 0.25.
 */
export const share = fc.nat(999).map((thousandths) => (thousandths + 0.3717258) / 1000);
export const shareOr = (off: number) => fc.oneof(fc.constant(off), share);
export const unit = fc.nat(999_999).map((millionths) => (millionths + 0.3717258) / 1e6);

export function maskOf(ids: readonly number[], vocabSize: number): TokenConstraint {
  const mask = new Uint32Array(Math.ceil(vocabSize / 32));
  for (const id of ids) mask[id >> 5]! |= 1 << (id & 31);
  return { allowed: () => mask, accept: () => {} };
}
