import { expect, test } from "vitest";
import { nextToken } from "../../src/train/next-token.ts";
import { Trainer, type TrainerOptions } from "../../src/train/step.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { randomTokens, relativeDifference, tinyConfig, tinyWeights } from "../tiny-model.ts";

const options: TrainerOptions = {
  batch: 1,
  seq: 8,
  precision: "f32",
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-5,
  weightDecay: 0,
  gradClip: 1,
};

function textBatch(seed: number, rows = 1) {
  const text = randomTokens(rows * 8 + 1, tinyConfig.vocabSize, seed);
  return { tokens: text.slice(0, rows * 8), targets: text.slice(1) };
}

test.each(["f32", "bf16"] as const)(
  "in %s two layers learn 8 tokens by heart: loss under 0.01 in 200 steps",
  async (precision) => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using trainer = new Trainer(backend, weights, nextToken, { ...options, precision });
    const batch = textBatch(1);
    const first = await trainer.step([batch], 0.003, 1);
    expect(first.loss).toBeGreaterThan(2);
    let last = first;
    for (let t = 2; t <= 200; t += 1) last = await trainer.step([batch], 0.003, t);
    expect(last.loss).toBeLessThan(0.01);
  },
);

test("eight micro-batches of one sequence give the gradients of one micro-batch of eight", async () => {
  using backend = openBackend({ threads: 2 });
  using weights = tinyWeights(backend);
  const rows = Array.from({ length: 8 }, (_, i) => textBatch(i));
  const joined = {
    tokens: Int32Array.from(rows.flatMap((row) => [...row.tokens])),
    targets: Int32Array.from(rows.flatMap((row) => [...row.targets])),
  };
  using ones = new Trainer(backend, weights, nextToken, options);
  using eight = new Trainer(backend, weights, nextToken, { ...options, batch: 8 });
  const a = await ones.gradients(rows);
  const b = await eight.gradients([joined]);
  expect(a.loss).toBeCloseTo(b.loss, 5);
  expect(a.norm).toBeCloseTo(b.norm, 4);
  for (const [name, gradient] of Object.entries(ones.state.gradients)) {
    expect(relativeDifference(gradient.readF32(), eight.state.gradients[name]!.readF32())).toBeLessThan(1e-5);
  }
});

test("two lanes give the gradients of one, bit for bit where each has one micro-batch", async () => {
  using backend = openBackend({ threads: 2 });
  using weights = tinyWeights(backend);
  const rows = Array.from({ length: 5 }, (_, i) => textBatch(i));
  using one = new Trainer(backend, weights, nextToken, options);
  using two = new Trainer(backend, weights, nextToken, { ...options, lanes: 2 });
  const read = (trainer: typeof one): Float32Array[] =>
    Object.values(trainer.state.gradients).map((gradient) => gradient.readF32());
  const pairOfOne = await one.gradients(rows.slice(0, 2));
  const gradientsOfOne = read(one);
  const pairOfTwo = await two.gradients(rows.slice(0, 2));
  expect(pairOfTwo).toEqual(pairOfOne);
  expect(read(two)).toEqual(gradientsOfOne);
  expect((await two.gradients(rows)).norm).toBeCloseTo((await one.gradients(rows)).norm, 5);
  for (const [i, gradient] of read(two).entries())
    expect(relativeDifference(gradient, read(one)[i]!)).toBeLessThan(1e-5);
});

test("a lane that fails fails the step, when the others are done", async () => {
  using backend = openBackend({ threads: 2 });
  using weights = tinyWeights(backend);
  using trainer = new Trainer(backend, weights, nextToken, { ...options, lanes: 2 });
  const bad = { ...textBatch(1), targets: new Int32Array(8).fill(48) };
  await expect(trainer.step([textBatch(1), bad, textBatch(2)], 0.01, 1)).rejects.toThrow(
    "target 48 at position 0",
  );
  expect((await trainer.step([textBatch(1), textBatch(2)], 0.01, 1)).isSkipped).toBe(false);
});

test("tokens of weight 0 send exactly no gradient", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using trainer = new Trainer(backend, weights, nextToken, options);
  const batch = textBatch(1);
  // Only the first target counts: later tokens cannot matter, whatever they are.
  const mask = Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0);
  await trainer.gradients([{ ...batch, weights: mask }]);
  const before = Object.values(trainer.state.gradients).map((gradient) => gradient.readF32());
  const otherTargets = batch.targets.map((target, i) =>
    i === 0 ? target : (target + 1) % tinyConfig.vocabSize,
  );
  await trainer.gradients([{ ...batch, targets: otherTargets, weights: mask }]);
  expect(Object.values(trainer.state.gradients).map((gradient) => gradient.readF32())).toEqual(before);
});

test("the loss is the weighted mean of the tokens' losses", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using trainer = new Trainer(backend, weights, nextToken, options);
  const batch = textBatch(4);
  const each: number[] = [];
  for (let i = 0; i < 8; i += 1) {
    const only = new Float32Array(8);
    only[i] = 1;
    each.push((await trainer.evaluate([{ ...batch, weights: only }])).loss);
  }
  const mean = each.reduce((sum, loss) => sum + loss, 0) / 8;
  expect((await trainer.evaluate([batch])).loss).toBeCloseTo(mean, 5);
  const weighted = Float32Array.of(3, 1, 0, 0, 0, 0, 0, 0);
  expect((await trainer.evaluate([{ ...batch, weights: weighted }])).loss).toBeCloseTo(
    (3 * each[0]! + each[1]!) / 4,
    5,
  );
});

test("micro-batches of several lengths share one mean", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using trainer = new Trainer(backend, weights, nextToken, options);
  const long = textBatch(4);
  const short = { tokens: long.tokens.slice(0, 2), targets: long.targets.slice(0, 2) };
  const { loss: eight } = await trainer.evaluate([long]);
  const { loss: two } = await trainer.evaluate([short]);
  const { loss, tokens } = await trainer.evaluate([long, short]);
  expect(loss).toBeCloseTo((8 * eight + 2 * two) / 10, 5);
  expect(tokens).toBe(10);
  await expect(trainer.evaluate([textBatch(4, 2)])).rejects.toThrow(
    "a micro-batch of 1 sequences of 16 tokens is not one of at most 8",
  );
});

test("the same seed gives the same bytes", async () => {
  const run = async (): Promise<Float32Array[]> => {
    using backend = openBackend({ threads: 2 });
    using weights = tinyWeights(backend);
    using trainer = new Trainer(backend, weights, nextToken, { ...options, precision: "bf16" });
    for (let t = 1; t <= 5; t += 1) await trainer.step([textBatch(t)], 0.01, t);
    return Object.values(weights.byName).map((weight) => weight.readF32());
  };
  expect(await run()).toEqual(await run());
});

test("a loss that is not a number changes nothing and says so", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using trainer = new Trainer(backend, weights, nextToken, options);
  await trainer.step([textBatch(1)], 0.01, 1);
  const gain = weights.byName["norm.weight"]!;
  gain.write(gain.readF32().fill(Number.NaN));
  const before = [...Object.values(weights.byName), ...Object.values(trainer.state.m)].map((tensor) =>
    tensor.readF32(),
  );
  expect((await trainer.step([textBatch(2)], 0.01, 2)).isSkipped).toBe(true);
  const after = [...Object.values(weights.byName), ...Object.values(trainer.state.m)].map((tensor) =>
    tensor.readF32(),
  );
  expect(after).toEqual(before);
});

test("a gradient that is not finite changes nothing, though the loss is", async () => {
  using backend = openBackend({ threads: 1 });
  // Where the residual is 0 a norm has the slope 1/√ε, and the norms of two layers multiply theirs.
  using weights = tinyWeights(backend, { ...tinyConfig, normEps: 1e-30 });
  const embedding = weights.byName["tok_embeddings.weight"]!;
  embedding.write(new Float32Array(embedding.elements));
  using trainer = new Trainer(backend, weights, nextToken, options);
  const result = await trainer.step([textBatch(1)], 0.01, 1);
  expect(result.loss).toBeCloseTo(Math.log(tinyConfig.vocabSize), 5);
  expect(Number.isFinite(result.gradientNorm)).toBe(false);
  expect(result.isSkipped).toBe(true);
  expect(embedding.readF32().every((value) => value === 0)).toBe(true);
});

test("targets outside the vocabulary and batches without a counted token are refused", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using trainer = new Trainer(backend, weights, nextToken, options);
  const batch = textBatch(1);
  await expect(trainer.step([{ ...batch, targets: batch.targets.fill(48) }], 0.01, 1)).rejects.toThrow(
    "target 48 at position 0 lies outside the vocabulary of 48",
  );
  await expect(trainer.step([{ ...textBatch(1), weights: new Float32Array(8) }], 0.01, 1)).rejects.toThrow(
    "no token of the batch counts towards the loss",
  );
});

test("without decay norms and matrices move alike; with it only matrices shrink", async () => {
  using backend = openBackend({ threads: 1 });
  const moved = async (weightDecay: number): Promise<Record<string, Float32Array>> => {
    using weights = tinyWeights(backend);
    using trainer = new Trainer(backend, weights, nextToken, { ...options, weightDecay });
    await trainer.step([textBatch(1)], 0.01, 1);
    return Object.fromEntries(
      Object.entries(weights.byName).map(([name, weight]) => [name, weight.readF32()]),
    );
  };
  using start = tinyWeights(backend);
  const [plain, decayed] = [await moved(0), await moved(0.5)];
  expect(decayed["norm.weight"]).toEqual(plain["norm.weight"]);
  const [before, without, withDecay] = [
    start.byName["output.weight"]!.readF32(),
    plain["output.weight"]!,
    decayed["output.weight"]!,
  ];
  // Decoupled: θ is multiplied by 1 - lr λ before the step, whatever the gradient.
  expect(withDecay[5]! - without[5]!).toBeCloseTo(-0.01 * 0.5 * before[5]!, 6);
});
