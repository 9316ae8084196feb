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

/** Medians in tokens a second, and ours over theirs. */
export interface Speeds {
  readonly ours: number;
  readonly theirs: number;
  readonly ratio: number;
}

/** Of so many tokens a time. */
export function speedsOf(tokens: number, ours: readonly number[], theirs: readonly number[]): Speeds {
  const [our, their] = [median(ours), median(theirs)];
  return { ours: tokens / our, theirs: tokens / their, ratio: their / our };
}

export function speedsText({ ours, theirs, ratio }: Speeds): string {
  return `${ours.toFixed(0)} tokens/s, node-llama-cpp ${theirs.toFixed(0)}, ratio ${ratio.toFixed(2)}`;
}

export function speedsNumbers({ ours, theirs, ratio }: Speeds): object {
  return {
    criaTokensPerSecond: rounded(ours),
    nodeLlamaCppTokensPerSecond: rounded(theirs),
    ratio: rounded(ratio),
  };
}
