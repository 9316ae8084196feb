import { createRandom } from "../src/corpus/random.ts";
import type { LlamaConfig } from "../src/model/config.ts";
import { initialise } from "../src/model/initialise.ts";
import { createWeights, type OwnedWeights } from "../src/model/weights.ts";
import { openBackend, type Backend } from "../src/tensor/backend.ts";
import type { Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { saveCheckpoint } from "../src/train/checkpoint.ts";

/** Two layers, grouped queries (two heads a key-value head), an untied head. */
export const tinyConfig: LlamaConfig = {
  dim: 32,
  nLayers: 2,
  nHeads: 4,
  nKvHeads: 2,
  headDim: 8,
  hiddenDim: 64,
  vocabSize: 48,
  maxSeqLen: 64,
  normEps: 1e-5,
  ropeTheta: 10_000,
  isTied: false,
};

/** Random weights, large enough that attention is not uniform; the caller disposes them. */
export function tinyWeights(backend: Backend, config: LlamaConfig = tinyConfig, seed = 1): OwnedWeights {
  const weights = createWeights(backend, config);
  const random = createRandom(seed);
  initialise(weights, () => random.next(), 0.3);
  return weights;
}

/** Writes a model of random weights: a Hugging Face directory. */
export function saveTinyModel(
  directory: string,
  tokenizer: Tokenizer,
  changes: Partial<LlamaConfig> & { readonly stage: string },
): void {
  const { stage, ...shape } = changes;
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, { ...tinyConfig, vocabSize: tokenizer.vocabSize, ...shape });
  saveCheckpoint(directory, { weights, tokenizer, run: { stage, step: 1 } });
}

export function randomTokens(count: number, vocabSize: number, seed: number): Int32Array {
  const random = createRandom(seed);
  return Int32Array.from({ length: count }, () => random.int(vocabSize));
}

/** max |a - b| / max |b|. */
export function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < b.length; i += 1) {
    worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
    largest = Math.max(largest, Math.abs(b[i]!));
  }
  return worst / largest;
}
