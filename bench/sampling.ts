/**
 * How long one token takes to draw from the logits of Llama 2's vocabulary, for distributions of several shapes:
 * the median over many draws, each of other logits, in ms.
 */

import { createRandom, type Random } from "../src/corpus/random.ts";
import { logprobsOf } from "../src/generate/logprobs.ts";
import { createSampler, type SamplingOptions } from "../src/generate/sampling.ts";
import { median, rounded, type BenchResult } from "./result.ts";

const vocabSize = 32_000;
/** So many tokens are drawn of each; the first are not counted, for the code is still being compiled. */
const draws = 400;
const warmUp = 100;

const off: SamplingOptions = { temperature: 1, topK: 0, topP: 1 };
const allTokens = new Uint32Array(vocabSize / 32)
  .fill(0xffffffff)
  .map((word, i) => (i % 3 === 0 ? word : 0x5555));

const settings: Readonly<Record<string, SamplingOptions>> = {
  greedy: { ...off, temperature: 0 },
  "temperature 1": off,
  "temperature 0.6, top-p 0.9": { ...off, temperature: 0.6, topP: 0.9 },
  "top-k 40": { ...off, topK: 40 },
  "min-p 0.05": { ...off, minP: 0.05 },
  "typical-p 0.9": { ...off, typicalP: 0.9 },
  "mirostat, tau 5": { ...off, mirostat: { tau: 5, eta: 0.1 } },
  "penalties, bias": {
    ...off,
    repeatPenalty: 1.1,
    presencePenalty: 0.2,
    frequencyPenalty: 0.1,
    logitBias: new Map([[7, 2]]),
  },
  "greedy, mask": { ...off, temperature: 0, constraint: { allowed: () => allTokens, accept: () => {} } },
  everything: {
    temperature: 0.8,
    topK: 20_000,
    typicalP: 0.98,
    topP: 0.95,
    minP: 0.001,
    repeatPenalty: 1.1,
    presencePenalty: 0.2,
    frequencyPenalty: 0.1,
    logitBias: new Map([[7, 2]]),
    constraint: { allowed: () => allTokens, accept: () => {} },
  },
};

/** Logits of all tokens, in no order. */
const shapes: Readonly<Record<string, (random: Random) => Float32Array>> = {
  /** One token has nearly all the mass. */
  peaked: (random) => {
    const logits = normal(random, 2);
    logits[random.int(vocabSize)] = 20;
    return logits;
  },
  /** Mass over rank to the power of -1.1, as words have it, with some noise. */
  zipf: (random) => {
    const noise = normal(random, 0.5);
    const ranks = permutation(random);
    return noise.map((value, i) => value - 1.1 * Math.log(1 + ranks[i]!));
  },
  flat: (random) => normal(random, 0.5),
  /** All within a hundredth of a nat. */
  even: (random) => normal(random, 0.001),
};

export async function benchSampling(): Promise<BenchResult> {
  const shapeNames = Object.keys(shapes);
  const inputs = shapeNames.map((name) => {
    const random = createRandom(1);
    return Array.from({ length: 8 }, () => shapes[name]!(random));
  });
  const rows: [string, string][] = [["ms a token", shapeNames.map((name) => name.padStart(8)).join("")]];
  const json: Record<string, Record<string, number>> = {};
  const report = (name: string, draw: (logits: Float32Array) => void): void => {
    const times = inputs.map((logits) => medianMs(logits, draw));
    rows.push([name, times.map((ms) => ms.toFixed(3).padStart(8)).join("")]);
    json[name] = Object.fromEntries(times.map((ms, i) => [shapeNames[i]!, rounded(ms)]));
  };
  for (const [name, options] of Object.entries(settings)) {
    const random = createRandom(2);
    const sampler = createSampler(options, vocabSize, () => random.next());
    report(name, (logits) => sampler.accept(sampler.sample(logits)));
  }
  report("log-probabilities, top 5", (logits) => void logprobsOf(logits, 0, 5));
  return { rows, json: { vocabSize, draws, medianMs: json } };
}

// --- internal ---

function medianMs(logits: readonly Float32Array[], draw: (logits: Float32Array) => void): number {
  const times: number[] = [];
  for (let i = 0; i < draws + warmUp; i += 1) {
    const start = performance.now();
    draw(logits[i % logits.length]!);
    if (i >= warmUp) times.push(performance.now() - start);
  }
  return median(times);
}

/** Box and Muller's. */
function normal(random: Random, deviation: number): Float32Array {
  return Float32Array.from(
    { length: vocabSize },
    () => deviation * Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next()),
  );
}

function permutation(random: Random): Int32Array {
  const ranks = Int32Array.from({ length: vocabSize }, (_, i) => i);
  for (let i = vocabSize - 1; i > 0; i -= 1) {
    const j = random.int(i + 1);
    [ranks[i], ranks[j]] = [ranks[j]!, ranks[i]!];
  }
  return ranks;
}
