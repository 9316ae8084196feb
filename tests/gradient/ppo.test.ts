/** The losses of PPO: the oracle against differences, and the engine, through the whole model, against the oracle. */

import { describe, expect, test } from "vitest";
import { scalars } from "../../src/model/heads.ts";
import { createWeights } from "../../src/model/weights.ts";
import { policyLoss, valueLoss } from "../../src/ppo/loss.ts";
import { policyObjective, sharedObjective, valueObjective } from "../../src/ppo/objective.ts";
import type { PpoBatch } from "../../src/ppo/sequences.ts";
import { backward } from "../../src/tensor/backward.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { Graph } from "../../src/tensor/graph.ts";
import { add } from "../../src/tensor/ops.ts";
import { createStorage } from "../../src/tensor/storage.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { Trainer } from "../../src/train/step.ts";
import { forward, lossAndGradients, randomWeights } from "../oracle/llama.ts";
import * as oracle from "../oracle/ppo.ts";
import { normals, randomArray } from "../oracle/random.ts";
import { randomTokens, tinyConfig } from "../tiny-model.ts";
import { maxRelativeError, numericalGradient } from "./numerical.ts";

const count = 40;
const next = normals(3);
const spread = (scale: number): Float64Array =>
  Float64Array.from(randomArray(count, next, scale), Math.fround);
const logprobs = spread(1).map((x) => Math.fround(x - 3));
const policyBatch = {
  // Ratios on both sides of 0.8 and 1.2.
  oldLogprobs: logprobs.map((x, t) => Math.fround(x + [-0.5, -0.1, 0.05, 0.4][t % 4]!)),
  advantages: spread(1),
  shares: Float64Array.from({ length: count }, (_, t) => (t % 5 === 0 ? 0 : 1 / 32)),
};
const values = spread(1);
const valueBatch = {
  oldValues: values.map((x, t) => Math.fround(x + [-0.5, -0.1, 0.05, 0.4][t % 4]!)),
  returns: spread(1),
  shares: policyBatch.shares,
};

describe("the oracle's gradient", () => {
  test.each([0.2, Infinity])("of the policy loss agrees with differences, ε = %d", (epsilon) => {
    const numerical = numericalGradient((x) => oracle.policyLoss(x, policyBatch, epsilon), logprobs);
    const exact = oracle.policyLossBackward(logprobs, policyBatch, epsilon);
    expect(maxRelativeError(exact, numerical)).toBeLessThan(1e-8);
    expect(exact.filter((x) => x === 0).length > 8).toBe(epsilon === 0.2);
  });

  test.each([0.2, Infinity])("of the value loss agrees with differences, ε = %d", (epsilon) => {
    const numerical = numericalGradient((x) => oracle.valueLoss(x, valueBatch, epsilon), values);
    const exact = oracle.valueLossBackward(values, valueBatch, epsilon);
    expect(maxRelativeError(exact, numerical)).toBeLessThan(1e-8);
    expect(exact.filter((x) => x === 0).length > 8).toBe(epsilon === 0.2);
  });
});

/** The engine's loss over a vector and its gradient. */
async function engine(
  x: Float64Array,
  build: (g: Graph, x: Tensor, constant: (values: Float64Array) => Tensor) => Tensor,
): Promise<{ loss: number; gradient: Float32Array }> {
  using backend = openBackend({ threads: 1 });
  using storage = createStorage("x", backend, { x: { shape: [x.length], requiresGrad: true } });
  storage.tensors.x.write(Float32Array.from(x));
  using g = new Graph("loss", backend);
  const constant = (numbers: Float64Array): Tensor =>
    g.constant(Float32Array.from(numbers), [numbers.length]);
  const loss = g.output(build(g, storage.tensors.x, constant));
  let gradient: Tensor | undefined;
  // x is read several times, and each reader has its share.
  backward(g, loss, (_, part) => (gradient = gradient === undefined ? part : add(g, gradient, part)));
  g.output(gradient!);
  g.allocate();
  await g.compute();
  return { loss: loss.readF32()[0]!, gradient: gradient!.readF32() };
}

describe.each([0.2, Infinity])("the engine's losses agree with float64, ε = %d", (epsilon) => {
  test("the policy's", async () => {
    const ours = await engine(logprobs, (g, x, constant) => {
      const { oldLogprobs, advantages, shares } = policyBatch;
      const inputs = {
        oldLogprobs: constant(oldLogprobs),
        advantages: constant(advantages),
        shares: constant(shares),
      };
      return policyLoss(g, x, inputs, epsilon);
    });
    const exact = oracle.policyLossBackward(logprobs, policyBatch, epsilon);
    expect(Math.abs(ours.loss - oracle.policyLoss(logprobs, policyBatch, epsilon))).toBeLessThan(1e-6);
    expect(maxRelativeError(ours.gradient, exact)).toBeLessThan(64 * 2 ** -24);
  });

  test("the value function's", async () => {
    const ours = await engine(values, (g, x, constant) => {
      const { oldValues, returns, shares } = valueBatch;
      const inputs = { oldValues: constant(oldValues), returns: constant(returns), shares: constant(shares) };
      return valueLoss(g, x, inputs, epsilon);
    });
    const exact = oracle.valueLossBackward(values, valueBatch, epsilon);
    expect(Math.abs(ours.loss - oracle.valueLoss(values, valueBatch, epsilon))).toBeLessThan(1e-6);
    expect(maxRelativeError(ours.gradient, exact)).toBeLessThan(64 * 2 ** -24);
  });
});

const seq = 12;
const text = randomTokens(seq + 1, tinyConfig.vocabSize, 11);
const [tokens, targets] = [text.slice(0, -1), text.slice(1)];
const mask = Float32Array.from({ length: seq }, (_, t) => (t < 4 ? 0 : 1));
const weights = randomWeights(tinyConfig, 5);
const temperature = 0.75;

/** log π of the targets at the temperature, by the oracle. */
function oracleLogprobs(): Float64Array {
  const logits = forward(tinyConfig, weights, tokens);
  const { vocabSize } = tinyConfig;
  return Float64Array.from({ length: seq }, (_, t) => {
    const row = logits.subarray(t * vocabSize, (t + 1) * vocabSize).map((x) => x / temperature);
    const largest = row.reduce((a, b) => Math.max(a, b));
    return row[targets[t]!]! - largest - Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0));
  });
}

const exactLogprobs = oracleLogprobs();
const batch: PpoBatch = {
  tokens,
  targets,
  mask,
  rows: [{ rollout: 0, from: 4, length: 8 }],
  oldLogprobs: Float32Array.from(exactLogprobs, (x, t) => x + [-0.5, -0.1, 0.05, 0.4][t % 4]!),
  advantages: Float32Array.from({ length: seq }, (_, t) => Math.cos(3 * t)),
  oldValues: new Float32Array(seq),
  returns: Float32Array.from({ length: seq }, (_, t) => Math.cos(t)),
};
const trainerOptions = {
  batch: 1,
  seq,
  precision: "f32",
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-5,
  weightDecay: 0,
  gradClip: 1,
} as const;

test("through the whole model, the policy's loss has the gradient of cross-entropy weighted by what it asks of each token", async () => {
  using backend = openBackend({ threads: 1 });
  using policy = createWeights(backend, tinyConfig);
  for (const [name, numbers] of Object.entries(weights))
    policy.byName[name]!.write(Float32Array.from(numbers));
  const epsilon = 0.2;
  using trainer = new Trainer(backend, policy, policyObjective({ epsilon, temperature }), trainerOptions);
  const run = await trainer.gradients([batch]);
  expect(maxRelativeError(run.outputs[0]!["logprobs"]!, exactLogprobs)).toBeLessThan(1e-5);
  const shares = mask.map((on) => on / 8);
  const exact = oracle.policyLossBackward(exactLogprobs, { ...batch, shares }, epsilon);
  expect(exact.filter((x) => x !== 0).length).toBeGreaterThan(2);
  expect(exact.slice(4).filter((x) => x === 0).length).toBeGreaterThan(0);
  // d(-log p) weighted by -dL/dlogp. The oracle divides by the weights' sum; at a temperature its head is divided.
  const crossWeights = Float32Array.from(exact, (x) => -x);
  const total = crossWeights.reduce((a, b) => a + b, 0);
  const cooled = { ...weights, "output.weight": weights["output.weight"]!.map((x) => x / temperature) };
  const { gradients } = lossAndGradients(tinyConfig, cooled, tokens, targets, crossWeights);
  for (const [name, gradient] of Object.entries(gradients)) {
    const scale = name === "output.weight" ? total / temperature : total;
    const ours = trainer.state.gradients[name]!.readF32();
    const expected = gradient.map((x) => x * scale);
    expect([name, maxRelativeError(ours, expected) < 2 ** -13]).toEqual([name, true]);
  }
});

test("on a shared trunk the gradients are those of the policy and of the value function, times its coefficient", async () => {
  using backend = openBackend({ threads: 1 });
  using model = createWeights(backend, tinyConfig);
  using scoring = createWeights(backend, tinyConfig, "scalar");
  for (const [name, numbers] of Object.entries(weights)) {
    model.byName[name]!.write(Float32Array.from(numbers));
    scoring.byName[name]?.write(Float32Array.from(numbers));
  }
  const head = Float32Array.from(randomArray(tinyConfig.dim, normals(8)));
  scoring.head.write(head);
  using storage = createStorage("head", backend, {
    head: { shape: [1, tinyConfig.dim], requiresGrad: true },
  });
  storage.tensors.head.write(head);
  const settings = { epsilon: 0.2, temperature, valueEpsilon: 0.2, valueCoefficient: 0.5 };
  const both = { ...model, byName: { ...model.byName, value_head: storage.tensors.head } };
  using policy = new Trainer(backend, model, policyObjective(settings), trainerOptions);
  using value = new Trainer(backend, scoring, valueObjective(settings), trainerOptions);
  using shared = new Trainer(backend, both, sharedObjective(settings, storage.tensors.head), trainerOptions);
  const runs = [
    await policy.gradients([batch]),
    await value.gradients([batch]),
    await shared.gradients([batch]),
  ];
  expect(runs[2]!.loss).toBeCloseTo(runs[0]!.loss + 0.5 * runs[1]!.loss, 5);
  expect(runs[2]!.outputs[0]!["values"]).toEqual(runs[1]!.outputs[0]!["values"]);
  const [p, v, s] = [policy, value, shared].map(({ state }) => state.gradients);
  const half = (name: string): Float32Array => v![name]!.readF32().map((x) => 0.5 * x);
  expect(maxRelativeError(s!["value_head"]!.readF32(), half("score.weight"))).toBeLessThan(1e-6);
  for (const name of ["layers.0.attention.wq.weight", "norm.weight", "tok_embeddings.weight"]) {
    const expected = p![name]!.readF32().map((x, i) => x + half(name)[i]!);
    expect(maxRelativeError(s![name]!.readF32(), expected)).toBeLessThan(1e-4);
  }
});

test("the value's loss and gradient through the head, by hand for two states", async () => {
  using backend = openBackend({ threads: 1 });
  using g = new Graph("head", backend);
  // The head is linear: V = s · h, so its gradient is Σ dL/dV s, by hand for two states.
  const states = g.constant(Float32Array.of(1, 2, 3, 4), [2, 2]);
  using storage = createStorage("head", backend, { head: { shape: [1, 2], requiresGrad: true } });
  storage.tensors.head.write(Float32Array.of(0.5, 0.25));
  const vector = (...numbers: number[]): Tensor => g.constant(Float32Array.from(numbers), [2]);
  const valued = g.output(scalars(g, states, storage.tensors.head));
  const inputs = { oldValues: vector(1, 2.5), returns: vector(3, 2), shares: vector(0.5, 0.5) };
  const loss = g.output(valueLoss(g, valued, inputs, Infinity));
  let gradient: Tensor | undefined;
  backward(g, loss, (_, contribution) => (gradient = g.output(contribution)));
  g.allocate();
  await g.compute();
  // V = 1 and 2.5; errors -2 and 0.5; L = ½ (½ 4 + ½ 0.25); dL/dV = -1 and 0.25.
  expect([...valued.readF32()]).toEqual([1, 2.5]);
  expect(loss.readF32()[0]).toBe(1.0625);
  expect([...gradient!.readF32()]).toEqual([-1 + 0.75, -2 + 1]);
});
