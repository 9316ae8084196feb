/** What the benches against llama.cpp share: node-llama-cpp itself, a model that both sides read, and their speeds. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getLlama, LlamaLogLevel, type Llama } from "node-llama-cpp";
import { createRandom } from "../src/corpus/random.ts";
import type { LlamaConfig } from "../src/model/config.ts";
import { ggufTokenizerValues } from "../src/model/gguf-tokenizer.ts";
import { initialise } from "../src/model/initialise.ts";
import { writeGgufModel, type StoredType } from "../src/model/save.ts";
import { createWeights, type LlamaWeights } from "../src/model/weights.ts";
import { openBackend, type Backend, type BackendOptions } from "../src/tensor/backend.ts";
import { createTokenizer } from "../src/tokenizer/tokenizer.ts";
import { trainTokenizer } from "../src/tokenizer/train.ts";
import { median, rounded } from "./result.ts";

export interface Peers {
  readonly backend: Backend;
  readonly llama: Llama;
  /** For files, and removed after. */
  readonly folder: string;
}

/** Both sides on the same number of threads, for as long as the function runs. */
export async function withPeers<Result>(
  options: BackendOptions,
  use: (peers: Peers) => Promise<Result>,
): Promise<Result> {
  using backend = openBackend(options);
  const llama = await openLlama(backend.threads);
  const folder = mkdtempSync(join(tmpdir(), "cria-bench-"));
  try {
    return await use({ backend, llama, folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await llama.dispose();
  }
}

/** The caller disposes it. */
export function openLlama(threads: number): Promise<Llama> {
  return getLlama({
    // The installed prebuilt binding or nothing: no download, no compiler.
    build: "never",
    skipDownload: true,
    gpu: false,
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  });
}

export interface RandomModel {
  readonly name: string;
  readonly config: LlamaConfig;
  readonly type: StoredType;
  /** Changes the random weights before they are written. */
  readonly arrange?: (weights: LlamaWeights) => void;
}

/** @returns the file's path; the caller removes it. */
export function writeRandomModel(backend: Backend, folder: string, model: RandomModel): string {
  const { name, config, type, arrange } = model;
  // Few pieces, padded to the vocabulary: neither side reads text here, but llama.cpp wants a tokenizer.
  const tokenizer = createTokenizer(trainTokenizer(["a llama and its cria"], { vocabSize: 270 }));
  const file = join(folder, `${name}-${type}.gguf`);
  using weights = createWeights(backend, config);
  const random = createRandom(1);
  initialise(weights, () => random.next());
  arrange?.(weights);
  writeGgufModel(file, weights, ggufTokenizerValues(tokenizer, config.vocabSize), type);
  return file;
}

/** Prompts that are read and not answered, after the rounds: one prompt a round says little. */
export const promptRounds = 14;

/** Medians in tokens a second, and ours over theirs. */
export interface Speeds {
  readonly ours: number;
  readonly theirs: number;
  /** Median of the ratios of pairs that were timed one after the other: what slows the machine meets both of a pair. */
  readonly ratio: number;
  /** That median's 95% interval, by order statistics. */
  readonly ratioInterval: readonly [low: number, high: number];
}

/** Of so many tokens a time; the times of both sides in the order in which they took turns. */
export function speedsOf(tokens: number, ours: readonly number[], theirs: readonly number[]): Speeds {
  const ratios = ours.map((seconds, i) => theirs[i]! / seconds).toSorted((a, b) => a - b);
  const n = ratios.length;
  // Ranks of the sign test's interval, n / 2 ± 1.96 · √n / 2; all of it where there are few.
  const lowRank = Math.max(0, Math.floor(n / 2 - 0.98 * Math.sqrt(n)));
  return {
    ours: tokens / median(ours),
    theirs: tokens / median(theirs),
    ratio: median(ratios),
    ratioInterval: [ratios[lowRank]!, ratios[n - 1 - lowRank]!],
  };
}

export function speedsText({ ours, theirs, ratio, ratioInterval: [low, high] }: Speeds): string {
  const interval = `(${low.toFixed(2)} to ${high.toFixed(2)})`;
  return `${ours.toFixed(0)} tokens/s, node-llama-cpp ${theirs.toFixed(0)}, ratio ${ratio.toFixed(2)} ${interval}`;
}

export function speedsNumbers({ ours, theirs, ratio, ratioInterval }: Speeds): object {
  return {
    criaTokensPerSecond: rounded(ours),
    nodeLlamaCppTokensPerSecond: rounded(theirs),
    ratio: rounded(ratio),
    ratioInterval: ratioInterval.map(rounded),
  };
}
