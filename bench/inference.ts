/**
 * Prefill and decoding against llama.cpp, through node-llama-cpp, on the same GGUF file: random weights, the same
 * threads, flash attention, keys and values of f16, contexts and batches on both sides, in one process.
 *
 * Both sides are timed at the same place, where a program would take their tokens: prefill is the time until the
 * first token comes out of the generator for a prompt of 512 tokens, decoding that of each of the 128 tokens after it,
 * at temperature 0. They take turns token by token, so that what else the machine does meets both alike; the medians
 * are over all tokens of all rounds, and over more prompts than are answered. That is `generateTokens` here, and `LlamaContextSequence.evaluate` there, the lowest level of
 * node-llama-cpp's public interface that yields tokens: it decodes and samples natively, without chat, text or grammar.
 */

import { rmSync, statSync } from "node:fs";
import type { Llama, Token } from "node-llama-cpp";
import { createRandom } from "../src/corpus/random.ts";
import { generateTokens } from "../src/generate/generate.ts";
import { Decoder } from "../src/model/decoder.ts";
import { openWeights, readModelFiles } from "../src/model/load.ts";
import type { MixName } from "../src/model/quantisation-mix.ts";
import type { Backend, BackendOptions } from "../src/tensor/backend.ts";
import { promptRounds, speedsNumbers, speedsOf, speedsText, withPeers, type Speeds } from "./llama-cpp.ts";
import { isMeasured, writeRandomGguf, type RandomGguf } from "./random-gguf.ts";
import { rounded, type BenchResult } from "./result.ts";

export type InferenceBench = (options: BackendOptions) => Promise<BenchResult>;

/** Plain types: a 110M shape, and a small one whose steps are short. */
export const benchInference: InferenceBench = (options) => benchModels(options, floatModels);

/** The 110M shape in quantised types. */
export const benchInferenceQuantised: InferenceBench = (options) => benchModels(options, quantisedModels);

/** A 1.1B shape. */
export const benchInference1b: InferenceBench = (options) => benchModels(options, largeModels);

// --- internal ---

const [promptTokens, decodedTokens, contextTokens] = [512, 128, 1024];

interface BenchModel extends RandomGguf {
  readonly rounds: number;
}

const floats: readonly MixName[] = ["f32", "f16", "bf16"];
const floatModels: readonly BenchModel[] = floats.flatMap((mix) => [
  { preset: "stories-110m", vocabSize: 32_000, mix, rounds: 3 },
  { preset: "small", vocabSize: 4096, mix, rounds: 5 },
]);

const quantised: readonly MixName[] = ["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "q3_k_m", "q2_k"];
const quantisedModels = quantised.map((mix): BenchModel => ({
  preset: "stories-110m",
  vocabSize: 32_000,
  mix,
  rounds: 3,
}));

const largeTypes: readonly MixName[] = ["f16", "q8_0", "q4_k_m", "q4_0"];
const largeModels = largeTypes.map((mix): BenchModel => ({
  preset: "tinyllama-1.1b",
  vocabSize: 32_000,
  mix,
  rounds: 2,
}));

function benchModels(options: BackendOptions, models: readonly BenchModel[]): Promise<BenchResult> {
  return withPeers(options, async ({ backend, llama, folder }) => {
    const measured: Comparison[] = [];
    for (const model of models.filter(isMeasured)) {
      const file = await writeRandomGguf(folder, model);
      const fileBytes = statSync(file).size;
      const comparison = {
        ...model,
        file,
        fileBytes,
        ...(await compare(backend, llama, file, model.rounds)),
      };
      // The whole takes many minutes.
      for (const row of rowsOf(comparison)) console.error(row.join("  "));
      measured.push(comparison);
      rmSync(file);
    }
    return {
      rows: measured.flatMap(rowsOf),
      json: { threads: backend.threads, promptTokens, decodedTokens, models: measured.map(numbersOf) },
    };
  });
}

interface ModelFile extends BenchModel {
  readonly file: string;
  readonly fileBytes: number;
}

interface Measurement {
  readonly prefill: Speeds;
  readonly decode: Speeds;
  /** Share of the decoded tokens in which the two agree. */
  readonly sameTokens: number;
}

interface Comparison extends ModelFile, Measurement {}

/** Reads a prompt into an empty context and yields tokens. */
type Generate = (prompt: Int32Array) => Promise<AsyncGenerator<number, unknown, void>>;

interface Side {
  readonly generate: Generate;
  readonly prefillSeconds: number[];
  readonly tokenSeconds: number[];
  readonly tokens: unknown[];
}

async function compare(backend: Backend, llama: Llama, file: string, rounds: number): Promise<Measurement> {
  using weights = openWeights(backend, readModelFiles(file));
  using decoder = new Decoder(backend, weights, { contextTokens, cacheType: "f16" });
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: contextTokens,
    batchSize: promptTokens,
    threads: backend.threads,
    flashAttention: true,
  });
  try {
    const sequence = context.getSequence();
    const ours: Generate = async (prompt) => {
      decoder.truncate(0);
      const options = { temperature: 0, topK: 0, topP: 1, next: () => 0, stopIds: [] };
      return generateTokens(decoder, prompt, { ...options, maxTokens: decodedTokens + 1 });
    };
    const theirs: Generate = async (prompt) => {
      await sequence.clearHistory();
      const tokens = Array.from(prompt, (id) => id as Token);
      return sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true });
    };
    return await alternate(weights.config.vocabSize, [ours, theirs], rounds);
  } finally {
    await context.dispose();
    await model.dispose();
  }
}

async function alternate(
  vocabSize: number,
  [ours, theirs]: readonly [Generate, Generate],
  rounds: number,
): Promise<Measurement> {
  const random = createRandom(2);
  const sides: [ours: Side, theirs: Side] = [sideOf(ours), sideOf(theirs)];
  // The first round warms both up.
  await takeTurns(
    [sideOf(ours), sideOf(theirs)],
    Int32Array.from({ length: promptTokens }, () => random.int(vocabSize)),
    decodedTokens,
  );
  for (let round = 0; round < rounds + promptRounds; round += 1) {
    const prompt = Int32Array.from({ length: promptTokens }, () => random.int(vocabSize));
    // Who goes first changes.
    const inTurn = round % 2 === 0 ? sides : sides.toReversed();
    await takeTurns(inTurn, prompt, round < rounds ? decodedTokens : 0);
  }
  const [first, second] = sides;
  const same = first.tokens.filter((token, i) => token === second.tokens[i]).length;
  return {
    prefill: speedsOf(promptTokens, first.prefillSeconds, second.prefillSeconds),
    decode: speedsOf(1, first.tokenSeconds, second.tokenSeconds),
    sameTokens: same / first.tokens.length,
  };
}

function sideOf(generate: Generate): Side {
  return { generate, prefillSeconds: [], tokenSeconds: [], tokens: [] };
}

async function takeTurns(sides: readonly Side[], prompt: Int32Array, answerTokens: number): Promise<void> {
  const running: [Side, AsyncGenerator<number, unknown, void>][] = [];
  for (const side of sides) running.push([side, await side.generate(prompt)]);
  for (let i = 0; i <= answerTokens; i += 1) {
    for (const [side, tokens] of running) {
      const start = performance.now();
      const { value } = await tokens.next();
      const seconds = (performance.now() - start) / 1000;
      (i === 0 ? side.prefillSeconds : side.tokenSeconds).push(seconds);
      side.tokens.push(value);
    }
  }
  for (const [, tokens] of running) await tokens.return(undefined);
}

function rowsOf({ preset, mix, prefill, decode }: Comparison): [string, string][] {
  return [
    [`${preset} ${mix} prefill`, speedsText(prefill)],
    [`${preset} ${mix} decode`, speedsText(decode)],
  ];
}

function numbersOf(comparison: Comparison): object {
  const { preset, mix, rounds, fileBytes, sameTokens, prefill, decode } = comparison;
  return {
    preset,
    mix,
    rounds,
    fileBytes,
    sameTokens: rounded(sameTokens),
    prefill: speedsNumbers(prefill),
    decode: speedsNumbers(decode),
  };
}
