/**
 * How fast a policy's answers are sampled for reinforcement learning: 16 answers to one prompt of 200 tokens, in turns
 * with the prompt shared (read once, all answers side by side), side by side but each reading the prompt itself, and
 * one answer at a time.
 */

import { createRandom } from "../src/corpus/random.ts";
import { generateBatch, type BatchRequest } from "../src/generate/batch.ts";
import { BatchDecoder } from "../src/model/batch-decoder.ts";
import { initialise } from "../src/model/initialise.ts";
import { presetConfig } from "../src/model/presets.ts";
import { createWeights } from "../src/model/weights.ts";
import { openBackend, type BackendOptions } from "../src/tensor/backend.ts";
import { median, rounded, secondsOf, type BenchResult } from "./result.ts";

export async function benchAnswers(options: BackendOptions): Promise<BenchResult> {
  using backend = openBackend(options);
  using weights = createWeights(backend, presetConfig(preset, vocabSize));
  const random = createRandom(1);
  initialise(weights, () => random.next());
  using decoder = new BatchDecoder(backend, weights, { cells: answers * (promptTokens + answerTokens) });
  const prompt = Int32Array.from({ length: promptTokens }, () => random.int(vocabSize));
  const ways: readonly Way[] = [
    { name: "shared prompt", requests: [requestOf(prompt, answers)], maxSequences: answers, seconds: [] },
    { name: "a prompt each", requests: singly(prompt, answers), maxSequences: answers, seconds: [] },
    { name: "one at a time", requests: singly(prompt, answers / 4), maxSequences: 1, seconds: [] },
  ];
  for (let round = 0; round <= rounds; round += 1) {
    for (const { requests, maxSequences, seconds } of ways) {
      const time = await secondsOf(() => drain(generateBatch(decoder, requests, { maxSequences })));
      // The first round warms up.
      if (round > 0) seconds.push(time / requests.reduce((sum, { seeds }) => sum + seeds.length, 0));
    }
  }
  const [shared, ...others] = ways.map(({ name, seconds }) => ({ name, rate: 1 / median(seconds) }));
  const ratios = others.map(({ name, rate }) => ({ name, rate, ratio: shared!.rate / rate }));
  return {
    rows: [
      [`${preset} f32, ${shared!.name}`, `${shared!.rate.toFixed(2)} answers/s`],
      ...ratios.map(({ name, rate, ratio }): [string, string] => [
        `${preset} f32, ${name}`,
        `${rate.toFixed(2)} answers/s, shared is ${ratio.toFixed(2)}x`,
      ]),
    ],
    json: {
      preset,
      threads: backend.threads,
      rounds,
      answers,
      promptTokens,
      answerTokens,
      sharedPerSecond: rounded(shared!.rate),
      others: ratios.map(({ name, rate, ratio }) => ({
        name,
        perSecond: rounded(rate),
        ratio: rounded(ratio),
      })),
    },
  };
}

// --- internal ---

const preset = "small";
const vocabSize = 4096;
const [answers, promptTokens, answerTokens] = [16, 200, 48];
const rounds = 3;

interface Way {
  readonly name: string;
  readonly requests: readonly BatchRequest[];
  readonly maxSequences: number;
  /** Of one answer, by round. */
  readonly seconds: number[];
}

function requestOf(prompt: Int32Array, count: number, seed = 0): BatchRequest {
  const options = { temperature: 1, topK: 0, topP: 1, maxTokens: answerTokens, stopIds: [] };
  return { prompt, seeds: Array.from({ length: count }, (_, i) => seed + i), options };
}

function singly(prompt: Int32Array, count: number): BatchRequest[] {
  return Array.from({ length: count }, (_, i) => requestOf(prompt, 1, i));
}

async function drain(answers: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of answers);
}
