/** PPO of a model with more rows than its tokenizer has pieces: what is never drawn has no part in a probability. */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Decoder } from "../../src/model/decoder.ts";
import { readModelFiles } from "../../src/model/load.ts";
import { spokenBy } from "../../src/model/weights.ts";
import { learn, scoreRollouts, type IterationResult } from "../../src/ppo/iteration.ts";
import { openModels } from "../../src/ppo/models.ts";
import type { PpoInputs, PpoOptions } from "../../src/ppo/options.ts";
import { encodePrompts, rollOut, type Rollout } from "../../src/ppo/rollout.ts";
import { openBackend, type Backend } from "../../src/tensor/backend.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { tinyWeights } from "../tiny-model.ts";
import { toyConfig, toyPpo, toyPrompts, toyReward, toyTokenizer } from "../toy-task.ts";

const tokenizer = toyTokenizer();
const pieces = tokenizer.vocabSize;
const config = { ...toyConfig(tokenizer), vocabSize: 64 };
const options: PpoOptions = { ...toyPpo, batchSize: 8, miniBatchSize: 8, microBatchSize: 4, maxTokens: 6 };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-ppo-padded-"));
  mkdirSync(join(folder, "run"));
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  // Padding rows so long that one of them has the largest logit whatever is read.
  const head = weights.head.readF32();
  for (let i = pieces * config.dim; i < head.length; i += 1) head[i]! *= 1000;
  weights.head.write(head);
  saveCheckpoint(join(folder, "model"), { weights, tokenizer, run: { step: 1 } });
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Iterated {
  /** By rollout. */
  readonly logprobs: Readonly<Record<"policy" | "reference" | "decoder", readonly ArrayLike<number>[]>>;
  readonly result: IterationResult;
  /** The padding's rows of the head. */
  readonly padding: Readonly<Record<"before" | "after", Float32Array>>;
}

describe.each(["separate", "shared"] as const)("with a %s value function", (value) => {
  let ran: Iterated;
  beforeAll(async () => {
    ran = await iterated({ ...options, value });
  });

  test("log-probabilities of policy and reference are those of the distribution that is drawn from", () => {
    const { policy, reference, decoder } = ran.logprobs;
    for (const [i, row] of decoder.entries()) {
      for (const [t, logprob] of Array.from(row).entries()) expect(policy[i]![t]!).toBeCloseTo(logprob, 4);
      expect(reference[i]).toEqual(policy[i]);
    }
  });

  test("the ratio is 1, the KL 0, and no gradient moves a row that is never drawn", () => {
    expect(ran.result.metrics).toMatchObject({ "objective/kl": 0, "val/ratio": 1 });
    expect(ran.result.skipped).toBe(0);
    expect(ran.padding.after).toEqual(ran.padding.before);
  });
});

// --- internal ---

async function iterated(settings: PpoOptions): Promise<Iterated> {
  using backend = openBackend({ threads: 1 });
  const prompts = encodePrompts(toyPrompts, tokenizer, 40);
  const model = join(folder, "model");
  const reward: PpoInputs["reward"] = (answers) => Promise.resolve(Float64Array.from(answers, toyReward));
  const inputs: PpoInputs = {
    backend,
    model,
    tokenizer,
    prompts: toyPrompts,
    heldOut: [],
    reward,
    folder: join(folder, "run"),
    onEvent: () => undefined,
  };
  const files = readModelFiles(model);
  using models = openModels(settings, inputs, { files, prompts, resumed: undefined, updates: undefined });
  const { policy } = models.learner;
  const paddingNow = (): Float32Array => policy.head.readF32().slice(pieces * config.dim);
  const before = paddingNow();
  const seeds = prompts.map((_, i) => i);
  const rollouts = await rollOut({ backend, tokenizer, weights: policy }, prompts, { ...settings, seeds });
  const decoder = await decoderLogprobs(backend, policy, rollouts);
  const iteration = { ...settings, ...models.layout, seed: 1 };
  const scored = await scoreRollouts(rollouts, { ...models, reward }, iteration);
  const result = await learn(scored, models.learner, iteration);
  return {
    logprobs: {
      policy: scored.trajectories.map(({ logprobs }) => logprobs),
      reference: scored.trajectories.map(({ refLogprobs }) => refLogprobs),
      decoder,
    },
    result,
    padding: { before, after: paddingNow() },
  };
}

/** log softmax of the decoder's logits, at each token of each answer. */
async function decoderLogprobs(
  backend: Backend,
  policy: Parameters<typeof spokenBy>[0],
  rollouts: readonly Rollout[],
): Promise<number[][]> {
  using decoder = new Decoder(backend, spokenBy(policy, tokenizer));
  const all: number[][] = [];
  for (const { promptTokens, answer } of rollouts) {
    decoder.truncate(0);
    const logits = await decoder.readAll(Int32Array.of(...promptTokens, ...answer));
    all.push(
      [...answer].map((token, t) => {
        const from = (promptTokens.length - 1 + t) * config.vocabSize;
        const row = logits.subarray(from, from + config.vocabSize);
        return row[token]! - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
      }),
    );
  }
  return all;
}
