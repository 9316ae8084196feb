import { expect, test } from "vitest";
import { trainSteps, type StepReport } from "../../src/train/loop.ts";
import { nextToken, type MicroBatch } from "../../src/train/next-token.ts";
import { Trainer } from "../../src/train/step.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";

const size = { batch: 1, seq: 8, precision: "f32" } as const;
const options = { ...size, beta1: 0.9, beta2: 0.95, eps: 1e-5, weightDecay: 0, gradClip: 1 };

function batch(seed: number): MicroBatch {
  const text = randomTokens(9, tinyConfig.vocabSize, seed);
  return { tokens: text.slice(0, 8), targets: text.slice(1) };
}

const broken: MicroBatch = { ...batch(2), weights: new Float32Array(8).fill(Number.NaN) };

/** What each step reports, and what the weights are in the end. */
async function trained(batches: readonly MicroBatch[]) {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using trainer = new Trainer(backend, weights, nextToken, options);
  const rest = [...batches];
  const plan = {
    steps: batches.length,
    done: { step: 0, updates: 0 },
    lr: () => 0.01,
    next: () => [rest.shift()!],
    lastCheckpoint: () => undefined,
  };
  const reports: StepReport[] = [];
  let error: unknown;
  try {
    for await (const report of trainSteps(trainer, plan)) reports.push(report);
  } catch (thrown) {
    error = thrown;
  }
  return { reports, error, weights: Object.values(weights.byName).map((weight) => weight.readF32()) };
}

test("a step that is skipped counts as a step and not as an update: the moments' corrections do not see it", async () => {
  const { reports, weights } = await trained([batch(1), broken, batch(3)]);
  expect(reports.map(({ step, updates, isSkipped }) => [step, updates, isSkipped])).toEqual([
    [1, 1, false],
    [2, 1, true],
    [3, 2, false],
  ]);
  expect(weights).toEqual((await trained([batch(1), batch(3)])).weights);
});

test("two skipped steps, one good and two skipped go on; a third in a row ends the run", async () => {
  const { reports, error } = await trained([broken, broken, batch(1), broken, broken, broken, batch(2)]);
  expect(reports).toHaveLength(6);
  expect(error).toMatchObject({
    message: "the loss was not finite in 3 steps in a row, up to step 6",
    mend: "There is no checkpoint yet; start again with a lower lr or a longer warm-up.",
  });
});
