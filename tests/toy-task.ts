/**
 * A task whose best reward is known, for what learns from rewards: say vowels. The reward is the number of vowels in
 * the answer over the most tokens an answer may have. A token is at most one letter, so no answer has more than 1,
 * and one of vowels only, which does not end early, has 1. A model that knows nothing has about 5 in 30.
 */

import type { Prompt } from "../src/dialog/prompts.ts";
import { defaultTrainer, type Piece } from "../src/formats/sentencepiece.ts";
import type { LlamaConfig } from "../src/model/config.ts";
import type { PpoOptions } from "../src/ppo/options.ts";
import type { Answered } from "../src/reward/reward-function.ts";
import type { Backend } from "../src/tensor/backend.ts";
import { createTokenizer, type Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { saveCheckpoint } from "../src/train/checkpoint.ts";
import { tinyConfig, tinyWeights } from "./tiny-model.ts";

export const toyMaxTokens = 12;

/** The reward of an answer of vowels only. */
export const toyOptimum = 1;

export function toyReward({ answer }: Pick<Answered, "answer">): number {
  return answer.replaceAll(/[^aeiou]/g, "").length / toyMaxTokens;
}

/** Settings that learn the task within a minute. */
export const toyPpo: PpoOptions = {
  iterations: 25,
  batchSize: 64,
  miniBatchSize: 16,
  microBatchSize: 16,
  maxTokens: toyMaxTokens,
  maxSequences: 64,
  sampling: { temperature: 1, topK: 0, topP: 1 },
  temperature: 1,
  value: "shared",
  seed: 1,
  validationEvery: 0,
  patience: 0,
  maxKl: 1e6,
  checkpointEvery: 0,
  keepCheckpoints: 1,
  lr: 0.003,
  valueLr: 0.003,
  valueCoefficient: 0.1,
  epsilon: 0.2,
  valueEpsilon: 0.2,
  beta: 0.001,
  gamma: 1,
  lambda: 0.95,
  whitenScores: true,
  missingEosPenalty: 0,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-5,
  weightDecay: 0,
  gradClip: 1,
  precision: "f32",
};

const asked = ["go", "say it", "once more", "and now", "sing", "well", "yes", "your turn"];

export const toyPrompts: readonly Prompt[] = asked.map(promptOf);

export const toyHeldOut: readonly Prompt[] = ["speak", "please"].map(promptOf);

/** `<unk>`, `<s>`, `</s>`, the space and the small letters: whatever else stands in a prompt is unknown. */
export function toyTokenizer(): Tokenizer {
  const letters = ["▁", ..."abcdefghijklmnopqrstuvwxyz".split("")];
  const pieces: Piece[] = [
    { piece: "<unk>", score: 0, type: "unknown" },
    { piece: "<s>", score: 0, type: "control" },
    { piece: "</s>", score: 0, type: "control" },
    ...letters.map((piece, i) => ({ piece, score: -i, type: "normal" as const })),
  ];
  return createTokenizer({
    pieces,
    trainer: {
      ...defaultTrainer,
      modelType: "bpe",
      vocabSize: pieces.length,
      byteFallback: false,
      padId: -1,
    },
    normalizer: {
      name: "identity",
      addDummyPrefix: true,
      removeExtraWhitespaces: false,
      escapeWhitespaces: true,
      hasCharsmap: false,
    },
  });
}

export function toyConfig(tokenizer: Tokenizer): LlamaConfig {
  return { ...tinyConfig, vocabSize: tokenizer.vocabSize };
}

/** Writes a model of random weights for the task: a Hugging Face directory. */
export function writeToyModel(directory: string, backend: Backend, seed: number): Tokenizer {
  const tokenizer = toyTokenizer();
  using weights = tinyWeights(backend, toyConfig(tokenizer), seed);
  saveCheckpoint(directory, { weights, tokenizer, run: { stage: "sft", step: 1 } });
  return tokenizer;
}

// --- internal ---

function promptOf(content: string): Prompt {
  return { dialog: [{ role: "user", content }], isSafety: false };
}
