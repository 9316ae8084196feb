/** Training a tiny reward model: it learns who was preferred, goes on bit for bit, and scores as it was trained. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Comparison } from "../../src/preference/comparison.ts";
import { ranking } from "../../src/reward/objective.ts";
import { encodePair, pairBatches, type EncodedPair } from "../../src/reward/pairs.ts";
import { trainReward, type RewardEvent, type RewardOptions } from "../../src/reward/reward.ts";
import { openRewardModel } from "../../src/reward/scorer.ts";
import { loadMasterWeights, readModelFiles } from "../../src/model/load.ts";
import { withScalarHead } from "../../src/model/heads.ts";
import type { OwnedWeights } from "../../src/model/weights.ts";
import { openBackend, type Backend } from "../../src/tensor/backend.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { Trainer } from "../../src/train/step.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { relativeDifference, saveTinyModel } from "../tiny-model.ts";

const tokenizer = tinyTokenizer();

const words = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
const comparisons = words.map((word, i): Comparison => ({
  prompt: [{ role: "user", content: `Say ${word}.` }],
  chosen: i % 2 === 0 ? word : `It is ${word}, and more`,
  rejected: i % 2 === 0 ? `No ${word} here` : words[(i + 3) % 8]!,
  strength: "significantly",
  safety: "chosen-safe",
  quality: "safety",
  judge: "people",
}));
const encoded = (margin: RewardMargin = "none"): EncodedPair[] =>
  comparisons.map((comparison) => encodePair(comparison, tokenizer, { seqLen: 64, margin }));
type RewardMargin = "none" | "small" | "large";

const options: RewardOptions = {
  batchSize: 4,
  microBatchSize: 2,
  seqLen: 64,
  epochs: 3,
  lr: 0.01,
  warmupRatio: 0.03,
  minWarmupSteps: 2,
  minLrRatio: 0.1,
  safetyWeight: 0,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-5,
  weightDecay: 0,
  gradClip: 1,
  precision: "f32",
  lanes: 1,
  seed: 3,
  validationEvery: 2,
  checkpointEvery: 2,
  keepCheckpoints: 2,
};

let folder: string;
let model: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-reward-"));
  model = join(folder, "model");
  saveTinyModel(model, tokenizer, { stage: "sft" });
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly checkpoint: string;
  readonly events: readonly RewardEvent[];
}

async function run(
  name: string,
  changes: Partial<RewardOptions> = {},
  stop: (event: RewardEvent) => boolean = () => false,
): Promise<Ran | "stopped"> {
  const place = join(folder, name);
  mkdirSync(place, { recursive: true });
  using backend = openBackend({ threads: 1 });
  const events: RewardEvent[] = [];
  const controller = new AbortController();
  const onEvent = (event: RewardEvent): void => {
    events.push(event);
    if (stop(event)) controller.abort(new Error("Ctrl-C"));
  };
  const pairs = encoded();
  const inputs = { backend, model, tokenizer, pairs, heldOut: pairs, folder: place, onEvent };
  try {
    const { signal } = controller;
    return { checkpoint: await trainReward({ ...options, ...changes }, { ...inputs, signal }), events };
  } catch (error) {
    if (error instanceof Error && error.message === "Ctrl-C") return "stopped";
    throw error;
  }
}

async function whole(name: string, changes: Partial<RewardOptions> = {}): Promise<Ran> {
  const ran = await run(name, changes);
  if (ran === "stopped") throw new Error("nobody stopped it");
  return ran;
}

const losses = (events: readonly RewardEvent[]): number[] =>
  events.flatMap((event) => (event.type === "step" ? [event.loss] : []));

function scoring(backend: Backend): OwnedWeights {
  let state = 1;
  return withScalarHead(
    backend,
    readModelFiles(model),
    () => (state = (state * 16807) % 2147483647) / 2147483647,
  );
}

function trainerOf(backend: Backend, weights: OwnedWeights, safetyWeight = 0, pairs = 2) {
  return new Trainer(backend, weights, ranking(safetyWeight), { ...options, batch: 2 * pairs, seq: 64 });
}

test("eight pairs are learnt by heart, and the saved model ranks them so", async () => {
  const { checkpoint, events } = await whole("learns", {
    epochs: 20,
    validationEvery: 0,
    checkpointEvery: 0,
  });
  const last = events.findLast((event) => event.type === "validation");
  expect(last).toMatchObject({ accuracy: 1 });
  using scorer = openRewardModel(checkpoint, { threads: 1 });
  const scores = (side: "chosen" | "rejected"): Promise<Float64Array> =>
    scorer.score(comparisons.map(({ prompt, ...answers }) => ({ prompt, answer: answers[side] })));
  const [chosen, rejected] = [await scores("chosen"), await scores("rejected")];
  for (const [i, score] of chosen.entries()) expect(score).toBeGreaterThan(rejected[i]!);
});

describe("a run that was interrupted", () => {
  test.each([1, 2, 3, 5, 6])(
    "at step %i ends with the losses and the bytes of one that was not",
    async (at) => {
      const reference = await whole("reference");
      const before: RewardEvent[] = [];
      const stopped = await run("resumed", {}, (event) => {
        before.push(event);
        return event.type === "step" && event.step === at;
      });
      expect(stopped).toBe("stopped");
      const { checkpoint, events } = await whole("resumed");
      expect(losses([...before, ...events])).toEqual(losses(reference.events));
      for (const name of ["model.safetensors", "training-state.safetensors", "run.json"]) {
        const [ours, theirs] = [checkpoint, reference.checkpoint].map((place) =>
          readFileSync(join(place, name)),
        );
        expect(ours!.equals(theirs!), name).toBe(true);
      }
    },
  );
});

test("a run that is done does nothing when it is started again", async () => {
  const { checkpoint } = await whole("done");
  expect((await whole("done")).events).toEqual([{ type: "resumed", step: 6, checkpoint }]);
});

describe("the loss of a micro-batch", () => {
  const size = { pairs: 2, seqLen: 64, padId: tokenizer.unkId };

  test("does not see what fills rows up", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = scoring(backend);
    using trainer = trainerOf(backend, weights);
    const [batch] = pairBatches(encoded(), size);
    const seq = batch!.tokens.length / 4;
    const tokens = batch!.tokens.map((token, i) =>
      i % seq > batch!.ends[Math.floor(i / seq)]! % seq ? 77 : token,
    );
    expect(tokens).not.toEqual(batch!.tokens);
    const [plain, filled] = [
      await trainer.evaluate([batch!]),
      await trainer.evaluate([{ ...batch!, tokens }]),
    ];
    expect(filled).toEqual(plain);
  });

  test("is the mean over pairs, however many are computed at once", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = scoring(backend);
    const lossOf = async (pairs: number): Promise<number> => {
      using trainer = trainerOf(backend, weights, 1, pairs);
      return (await trainer.gradients(pairBatches(encoded(), { ...size, pairs }))).loss;
    };
    const one = await lossOf(1);
    expect(await lossOf(3)).toBeCloseTo(one, 5);
    expect(await lossOf(8)).toBeCloseTo(one, 5);
  });

  test("grows with the margin, by what the scores say", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = scoring(backend);
    using trainer = trainerOf(backend, weights);
    const [plain] = pairBatches(encoded(), size);
    const [wide] = pairBatches(encoded("large"), size);
    const [a, b] = [await trainer.evaluate([plain!]), await trainer.evaluate([wide!])];
    expect(b.outputs).toEqual(a.outputs);
    const { chosen, rejected } = a.outputs[0]!;
    const lossAt = (margin: number): number =>
      [0, 1].reduce((sum, i) => sum + Math.log1p(Math.exp(margin - chosen![i]! + rejected![i]!)) / 2, 0);
    expect(a.loss).toBeCloseTo(lossAt(0), 5);
    expect(b.loss).toBeCloseTo(lossAt(3), 5);
  });

  test("adds the safety loss of both answers, meant over the two", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = scoring(backend);
    const [batch] = pairBatches(encoded(), size);
    using plain = trainerOf(backend, weights);
    using safe = trainerOf(backend, weights, 0.5);
    const [a, b] = [await plain.evaluate([batch!]), await safe.evaluate([batch!])];
    const { chosen, rejected } = a.outputs[0]!;
    const softplus = (x: number): number => Math.log1p(Math.exp(x));
    const safety =
      [0, 1].reduce((sum, i) => sum + (softplus(-chosen![i]!) + softplus(rejected![i]!)) / 2, 0) / 2;
    expect(b.loss - a.loss).toBeCloseTo(0.5 * safety, 5);
  });

  test("has the gradient that differences along it say", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = scoring(backend);
    using trainer = trainerOf(backend, weights, 1);
    const [batch] = pairBatches(encoded("large"), size);
    await trainer.gradients([batch!]);
    const gradients = Object.entries(trainer.state.gradients).map(
      ([name, g]) => [name, g.readF32()] as const,
    );
    const before = gradients.map(([name]) => weights.byName[name]!.readF32());
    const squares = gradients.reduce((sum, [, g]) => sum + g.reduce((s, v) => s + v * v, 0), 0);
    // A step along the gradient, as far as f32 tells losses apart: dL/dh = ‖g‖² by the chain rule.
    const lossAt = async (h: number): Promise<number> => {
      for (const [i, [name, g]] of gradients.entries())
        weights.byName[name]!.write(before[i]!.map((w, k) => w + h * g[k]!));
      return (await trainer.evaluate([batch!])).loss;
    };
    const h = 2e-3 / Math.sqrt(squares);
    const slope = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
    expect(slope / squares).toBeGreaterThan(0.99);
    expect(slope / squares).toBeLessThan(1.01);
  });
});

describe("scores", () => {
  const answers = comparisons.flatMap(({ prompt, chosen, rejected }) => [
    { prompt, answer: chosen },
    { prompt, answer: rejected },
    { prompt, answer: `${chosen} ${rejected} ${"again and ".repeat(3)}` },
    { prompt, answer: "" },
  ]);

  async function saved(): Promise<string> {
    using backend = openBackend({ threads: 1 });
    using weights = scoring(backend);
    const path = join(folder, "scored");
    saveCheckpoint(path, { weights, tokenizer, run: { stage: "reward", step: 1 } });
    return path;
  }

  test("of many answers at once are those of each alone", async () => {
    using scorer = openRewardModel(await saved(), { threads: 1 });
    const together = await scorer.score(answers);
    const alone = [];
    for (const answer of answers) alone.push((await scorer.score([answer]))[0]!);
    expect(together).toHaveLength(32);
    expect(relativeDifference(together, alone)).toBeLessThan(1e-5);
  });

  test("of two calls at once do not mix", async () => {
    using scorer = openRewardModel(await saved(), { threads: 1 });
    const [a, b] = [answers.slice(0, 8), answers.slice(8, 16)];
    const [first, second] = await Promise.all([scorer.score(a), scorer.score(b)]);
    expect(await scorer.score(a)).toEqual(first);
    expect(await scorer.score(b)).toEqual(second);
  });

  test("are those of the trainer", async () => {
    const path = await saved();
    using scorer = openRewardModel(path, { threads: 1 });
    using backend = openBackend({ threads: 1 });
    using weights = loadMasterWeights(backend, readModelFiles(path, "scalar"));
    using trainer = trainerOf(backend, weights, 0, 8);
    const [batch] = pairBatches(encoded(), { pairs: 8, seqLen: 64, padId: 0 });
    const { outputs } = await trainer.evaluate([batch!]);
    const pairs = encoded().toSorted(
      (a, b) => Math.max(b.chosen.length, b.rejected.length) - Math.max(a.chosen.length, a.rejected.length),
    );
    const chosen = await scorer.scoreTokens(pairs.map((pair) => pair.chosen));
    expect(relativeDifference(outputs[0]!["chosen"]!, chosen)).toBeLessThan(1e-5);
  });

  test("of nothing are none", async () => {
    using scorer = openRewardModel(await saved(), { threads: 1 });
    expect(await scorer.score([])).toEqual(new Float64Array(0));
  });
});

test.each([
  [{ batchSize: 0 }, "batch_size (0) is not a whole number of at least 1"],
  [{ microBatchSize: 1.5 }, "micro_batch_size (1.5) is not a whole number of at least 1"],
  [{ lr: 0 }, "lr (0) is not a number above 0"],
])("%o is refused", async (changes, message) => {
  await expect(run("refused", changes)).rejects.toThrow(message);
});
