/** The task with a known optimum: rounds of rejection sampling reach nearly all of it, from a model that knows nothing. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodeDialog } from "../../src/dialog/llama2-chat.ts";
import { readDialogs } from "../../src/dialog/readers.ts";
import { makeDirectory } from "../../src/formats/make-directory.ts";
import { answerSampler, type AnswerSampler, type Opened } from "../../src/generate/answers.ts";
import { rejectionSampling } from "../../src/rejection/rejection.ts";
import { sampleAnswers } from "../../src/rejection/sample.ts";
import type { RewardFunction } from "../../src/reward/reward-function.ts";
import { fineTune, type SftOptions } from "../../src/sft/sft.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { loadCheckpointWeights } from "../../src/train/checkpoint.ts";
import { toyHeldOut, toyMaxTokens, toyOptimum, toyPrompts, toyReward, writeToyModel } from "../toy-task.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "cria-toy-"))));
afterEach(() => rmSync(folder, { recursive: true }));

const tuning: SftOptions = {
  batchSize: 8,
  microBatchSize: 8,
  seqLen: 32,
  lanes: 1,
  epochs: 6,
  lr: 0.01,
  warmupRatio: 0.1,
  minLrRatio: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weightDecay: 0,
  gradClip: 1,
  precision: "f32",
  seed: 1,
  validationEvery: 0,
  checkpointEvery: 0,
  keepCheckpoints: 1,
  sampleEvery: 0,
};

/** Each prompt four times: a round learns from four winners of each, so that none is learnt by heart. */
const asked = [toyPrompts, toyPrompts, toyPrompts, toyPrompts].flat();

const reward: RewardFunction = (answers) => Promise.resolve(Float64Array.from(answers, toyReward));

interface Toy {
  readonly backend: Backend;
  readonly tokenizer: Tokenizer;
  readonly seed: number;
}

function openSampler({ backend, tokenizer }: Toy, model: string): Opened<AnswerSampler> {
  const weights = loadCheckpointWeights(backend, model);
  const run = answerSampler({ backend, weights, tokenizer }, { maxTokens: toyMaxTokens, topP: 1 });
  return { run, [Symbol.dispose]: () => weights[Symbol.dispose]() };
}

/** A round: the policy is asked, and its best answers are what it goes on from. */
async function round(toy: Toy, policy: string, number: number): Promise<string> {
  const place = join(folder, `round-${number}`);
  makeDirectory(place);
  const outcome = await rejectionSampling(
    { prompts: asked, temperatures: [1], samples: 16, seed: toy.seed * 100 + number, beside: [] },
    {
      openSampler: () => openSampler(toy, policy),
      openReward: () => Promise.resolve({ run: reward, [Symbol.dispose]() {} }),
      fineTune: (file) => {
        const examples = readDialogs(file).dialogs.map((dialog) => encodeDialog(dialog, toy.tokenizer));
        const inputs = { backend: toy.backend, tokenizer: toy.tokenizer, examples, heldOut: [] };
        return fineTune(tuning, { ...inputs, model: policy, folder: place, onEvent: () => {} });
      },
      folder: place,
      origin: { samples: {}, scores: {} },
      onEvent: () => {},
    },
  );
  return outcome.checkpoint;
}

/** Mean reward of the policy's answers to prompts that it was not trained on. */
async function heldOutReward(toy: Toy, policy: string, name: string): Promise<number> {
  using sampler = openSampler(toy, policy);
  const answers = await sampleAnswers(
    { prompts: toyHeldOut, temperatures: [1], samples: 16, seed: 9 },
    { sampler: sampler.run, file: join(folder, `${name}.jsonl`), origin: {} },
  );
  return answers.reduce((sum, { text }) => sum + toyReward({ answer: text }), 0) / answers.length;
}

test.each(seeds())("seed %i: rounds of rejection sampling reach 0.9 of the best reward", async (seed) => {
  using backend = openBackend({ threads: 1 });
  let policy = join(folder, "model");
  const toy = { backend, tokenizer: writeToyModel(policy, backend, seed), seed };
  const start = await heldOutReward(toy, policy, "start");
  expect(start).toBeLessThan(0.4 * toyOptimum);
  const begin = performance.now();
  let reached = start;
  let rounds = 0;
  for (; rounds < 25 && reached < 0.9 * toyOptimum; rounds += 1) {
    policy = await round(toy, policy, rounds);
    reached = await heldOutReward(toy, policy, `after-${rounds}`);
  }
  const seconds = (performance.now() - begin) / 1000;
  if (process.env["CRIA_TOY_SEEDS"] !== undefined)
    console.log(
      `seed ${seed}: ${start.toFixed(3)} -> ${reached.toFixed(3)}, ${rounds} rounds, ${seconds.toFixed(1)} s`,
    );
  expect(reached).toBeGreaterThanOrEqual(0.9 * toyOptimum);
});

/** One in a usual run; `CRIA_TOY_SEEDS=5` for the figures that are reported. */
function seeds(): number[] {
  return Array.from({ length: Number(process.env["CRIA_TOY_SEEDS"] ?? 1) }, (_, i) => i + 1);
}
