/**
 * Eight requests at once against llama.cpp, through node-llama-cpp, on the same GGUF file, as `inference` has it.
 *
 * Prefill is the time until all have their first token, for prompts of 32 tokens that differ; a step gives each of
 * them one token more, at temperature 0. Ours is what `generateBatch` does: one pass of `BatchDecoder` for all, and a
 * sampler for each. Theirs is a context of eight sequences, all of whose `evaluate` are
 * asked at once, which node-llama-cpp decodes in one batch. The two take turns step by step.
 */

import { rmSync } from "node:fs";
import type { Llama, Token } from "node-llama-cpp";
import { createRandom } from "../src/corpus/random.ts";
import { createSampler } from "../src/generate/sampling.ts";
import { BatchDecoder } from "../src/model/batch-decoder.ts";
import { openWeights, readModelFiles } from "../src/model/load.ts";
import type { MixName } from "../src/model/quantisation-mix.ts";
import type { Backend, BackendOptions } from "../src/tensor/backend.ts";
import { promptRounds, speedsNumbers, speedsOf, speedsText, withPeers, type Speeds } from "./llama-cpp.ts";
import { isMeasured, writeRandomGguf, type RandomGguf } from "./random-gguf.ts";
import { rounded, type BenchResult } from "./result.ts";

export function benchParallel(options: BackendOptions): Promise<BenchResult> {
  return withPeers(options, async ({ backend, llama, folder }) => {
    const measured: Measurement[] = [];
    for (const model of models.filter(isMeasured)) {
      const file = await writeRandomGguf(folder, model);
      const measurement = { ...model, ...(await compare(backend, llama, file)) };
      // The whole takes some minutes.
      for (const row of rowsOf(measurement)) console.error(row.join("  "));
      measured.push(measurement);
      rmSync(file);
    }
    return {
      rows: measured.flatMap(rowsOf),
      json: {
        threads: backend.threads,
        rounds,
        sequences,
        promptTokens,
        decodedTokens,
        models: measured.map(({ preset, mix, prefill, decode, sameTokens }) => ({
          preset,
          mix,
          sameTokens: rounded(sameTokens),
          prefill: speedsNumbers(prefill),
          decode: speedsNumbers(decode),
        })),
      },
    };
  });
}

// --- internal ---

const [sequences, promptTokens, decodedTokens, contextTokens] = [8, 32, 32, 128];
const rounds = 6;

const mixes: readonly MixName[] = ["f32", "f16", "q8_0", "q4_k_m"];
const models: readonly RandomGguf[] = [
  ...mixes.map((mix): RandomGguf => ({ preset: "stories-110m", vocabSize: 32_000, mix })),
  { preset: "tinyllama-1.1b", vocabSize: 32_000, mix: "q4_0" },
];

interface Comparison {
  readonly prefill: Speeds;
  readonly decode: Speeds;
  /** Share of the tokens in which the two agree. */
  readonly sameTokens: number;
}

type Measurement = RandomGguf & Comparison;

function rowsOf({ preset, mix, prefill, decode }: Measurement): [string, string][] {
  return [
    [`${preset} ${mix} prefill, ${sequences} x ${promptTokens}`, speedsText(prefill)],
    [`${preset} ${mix} decode, ${sequences} at once`, speedsText(decode)],
  ];
}

/** Reads the prompts into empty sequences; each call then gives the next token of every one. */
type Begin = (prompts: readonly Int32Array[]) => Promise<() => Promise<readonly number[]>>;

interface Side {
  readonly begin: Begin;
  readonly prefillSeconds: number[];
  readonly stepSeconds: number[];
  readonly tokens: number[];
}

async function compare(backend: Backend, llama: Llama, file: string): Promise<Comparison> {
  using weights = openWeights(backend, readModelFiles(file));
  using decoder = new BatchDecoder(backend, weights, { cells: sequences * contextTokens, cacheType: "f16" });
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const context = await model.createContext({
    sequences,
    contextSize: contextTokens,
    batchSize: sequences * promptTokens,
    threads: backend.threads,
    flashAttention: true,
  });
  try {
    const theirs = Array.from({ length: sequences }, () => context.getSequence());
    return await alternate(weights.config.vocabSize, beginOurs(decoder), async (prompts) => {
      for (const sequence of theirs) await sequence.clearHistory();
      const running = theirs.map((sequence, i) =>
        sequence.evaluate(
          Array.from(prompts[i]!, (id) => id as Token),
          { temperature: 0, yieldEogToken: true },
        ),
      );
      return async () => {
        const steps = await Promise.all(running.map((tokens) => tokens.next()));
        return steps.map(({ value }) => Number(value));
      };
    });
  } finally {
    await context.dispose();
    await model.dispose();
  }
}

function beginOurs(decoder: BatchDecoder): Begin {
  let opened: number[] = [];
  const { vocabSize } = decoder.weights.config;
  return async (prompts) => {
    for (const sequence of opened) decoder.close(sequence);
    opened = prompts.map(() => decoder.open());
    const samplers = prompts.map(() =>
      createSampler({ temperature: 0, topK: 0, topP: 1 }, vocabSize, () => 0),
    );
    let next: readonly ArrayLike<number>[] = prompts;
    return async () => {
      const rows = await decoder.step(
        next.map((tokens, i) => ({ sequence: opened[i]!, tokens, wants: "last" })),
      );
      const sampled = rows.map((logits, i) => samplers[i]!.sample(logits));
      for (const [i, token] of sampled.entries()) samplers[i]!.accept(token);
      next = sampled.map((token) => [token]);
      return sampled;
    };
  };
}

async function alternate(vocabSize: number, ours: Begin, theirs: Begin): Promise<Comparison> {
  const random = createRandom(2);
  const prompts = (): Int32Array[] =>
    Array.from({ length: sequences }, () =>
      Int32Array.from({ length: promptTokens }, () => random.int(vocabSize)),
    );
  const [first, second] = [sideOf(ours), sideOf(theirs)];
  // The first round warms both up.
  await takeTurns([sideOf(ours), sideOf(theirs)], prompts(), decodedTokens);
  for (let round = 0; round < rounds + promptRounds; round += 1) {
    // Who goes first changes.
    const sides = round % 2 === 0 ? [first, second] : [second, first];
    await takeTurns(sides, prompts(), round < rounds ? decodedTokens : 0);
  }
  const same = first.tokens.filter((token, i) => token === second.tokens[i]).length;
  return {
    prefill: speedsOf(sequences * promptTokens, first.prefillSeconds, second.prefillSeconds),
    decode: speedsOf(sequences, first.stepSeconds, second.stepSeconds),
    sameTokens: same / first.tokens.length,
  };
}

function sideOf(begin: Begin): Side {
  return { begin, prefillSeconds: [], stepSeconds: [], tokens: [] };
}

async function takeTurns(
  sides: readonly Side[],
  prompts: readonly Int32Array[],
  answerTokens: number,
): Promise<void> {
  const running: [Side, () => Promise<readonly number[]>][] = [];
  for (const side of sides) running.push([side, await side.begin(prompts)]);
  for (let i = 0; i <= answerTokens; i += 1) {
    for (const [side, next] of running) {
      const start = performance.now();
      const tokens = await next();
      const seconds = (performance.now() - start) / 1000;
      (i === 0 ? side.prefillSeconds : side.stepSeconds).push(seconds);
      side.tokens.push(...tokens);
    }
  }
}
