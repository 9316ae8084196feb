/** The ranking loss and the safety loss, by hand and against differences. */

import { describe, expect, test } from "vitest";
import { marginOf, type MarginTable, rankingLoss, safetyLoss, safetySigns } from "../../src/reward/loss.ts";
import { strengths } from "../../src/preference/comparison.ts";
import { backward } from "../../src/tensor/backward.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { Graph } from "../../src/tensor/graph.ts";
import { createStorage } from "../../src/tensor/storage.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { numericalGradient } from "../gradient/numerical.ts";

interface Pairs {
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
  readonly margin: readonly number[];
  readonly shares: readonly number[];
}

/** Loss, and its gradients by the first two tensors. */
async function run(count: number, build: (g: Graph, a: Tensor, b: Tensor) => Tensor, values: number[][]) {
  using backend = openBackend({ threads: 1 });
  const spec = { shape: [count], requiresGrad: true };
  using storage = createStorage("scores", backend, { a: spec, b: spec });
  using g = new Graph("loss", backend);
  const { a, b } = storage.tensors;
  a.write(Float32Array.from(values[0]!));
  b.write(Float32Array.from(values[1]!));
  const loss = g.output(build(g, a, b));
  const gradients = new Map<Tensor, Tensor>();
  backward(g, loss, (leaf, gradient) => gradients.set(leaf, g.output(gradient)));
  g.allocate();
  await g.compute();
  const read = (leaf: Tensor): Float32Array => gradients.get(leaf)?.readF32() ?? new Float32Array(count);
  return { loss: loss.readF32()[0]!, byA: read(a), byB: read(b) };
}

function ranked({ chosen, rejected, margin, shares }: Pairs) {
  const constant = (g: Graph, values: readonly number[]): Tensor =>
    g.constant(Float32Array.from(values), [values.length]);
  return run(
    chosen.length,
    (g, a, b) =>
      rankingLoss(g, {
        chosen: a,
        rejected: b,
        margin: constant(g, margin),
        shares: constant(g, shares),
      }),
    [[...chosen], [...rejected]],
  );
}

const one = (margin: number, chosen = 1, rejected = 0): Promise<{ loss: number }> =>
  ranked({ chosen: [chosen], rejected: [rejected], margin: [margin], shares: [1] });

describe("for an answer that scores higher by 1, the loss is", () => {
  test.each([
    ["none", 0.3132617],
    ["small", Math.LN2],
    ["large", 2.126928],
  ] as const)("with %s margins and a significantly better answer, %f", async (table, expected) => {
    expect((await one(marginOf(table, "significantly"))).loss).toBeCloseTo(expected, 6);
  });
});

test("equal scores cost log 2, and the gradient pulls them apart by a half each", async () => {
  const { loss, byA, byB } = await ranked({ chosen: [2], rejected: [2], margin: [0], shares: [1] });
  expect(loss).toBe(Math.fround(Math.LN2));
  expect([...byA, ...byB]).toEqual([-0.5, 0.5]);
});

test("scores that are far apart cost nothing the right way round, and their distance the wrong way", async () => {
  expect((await one(0, 500, -500)).loss).toBe(0);
  expect((await one(0, -500, 500)).loss).toBe(1000);
});

test("the margins are the paper's two tables, and 0 without a rating", () => {
  const table = (name: MarginTable): number[] => strengths.map((strength) => marginOf(name, strength));
  expect(table("none")).toEqual([0, 0, 0, 0]);
  expect(table("small")).toEqual([1, 2 / 3, 1 / 3, 0]);
  expect(table("large")).toEqual([3, 2, 1, 0]);
  expect(marginOf("large", undefined)).toBe(0);
});

test("a margin counts as a lower score of the chosen answer", async () => {
  expect((await one(2, 3)).loss).toBe((await one(0, 1)).loss);
});

test("a pair counts by its share, and not at all with share 0", async () => {
  const { loss, byA } = await ranked({
    chosen: [1, 0, 7],
    rejected: [1, 0, 1],
    margin: [0, 0, 0],
    shares: [0.25, 0.5, 0],
  });
  expect(loss).toBeCloseTo(0.75 * Math.LN2, 6);
  expect([...byA]).toEqual([-0.125, -0.25, -0]);
});

test("the gradient of the ranking loss is what differences say", async () => {
  const pairs = {
    chosen: [0.3, -1.2, 4, -6],
    rejected: [0.1, 0.7, -3, 5],
    margin: [0, 1 / 3, 2, 1],
    shares: [0.4, 0.3, 0.2, 0.1],
  };
  const exact = (theta: Float64Array): number =>
    pairs.margin.reduce((sum, m, i) => {
      const x = theta[i]! - theta[4 + i]! - m;
      return sum + pairs.shares[i]! * Math.log1p(Math.exp(-x));
    }, 0);
  const expected = numericalGradient(exact, Float64Array.from([...pairs.chosen, ...pairs.rejected]));
  const { byA, byB } = await ranked(pairs);
  for (const [i, slope] of [...byA, ...byB].entries()) expect(slope).toBeCloseTo(expected[i]!, 6);
});

describe("the safety loss", () => {
  const safety = (score: number, sign: number, share = 1): Promise<{ loss: number; byA: Float32Array }> =>
    run(
      1,
      (g, a) =>
        safetyLoss(g, a, g.constant(Float32Array.of(sign), [1]), g.constant(Float32Array.of(share), [1])),
      [[score], [0]],
    );

  test("is log 2 at a score of 0, and pushes safe answers up and unsafe ones down", async () => {
    const [safe, unsafe] = [await safety(0, 1), await safety(0, -1)];
    expect([safe.loss, unsafe.loss]).toEqual([Math.fround(Math.LN2), Math.fround(Math.LN2)]);
    expect([safe.byA[0], unsafe.byA[0]]).toEqual([-0.5, 0.5]);
  });

  test("of a safe answer at 1 is what the ranking loss says of a difference of 1", async () => {
    expect((await safety(1, 1)).loss).toBeCloseTo(0.3132617, 6);
    expect((await safety(1, -1)).loss).toBeCloseTo(1.3132617, 6);
  });

  test("knows the paper's three bins", () => {
    expect(safetySigns("chosen-safe")).toEqual({ chosen: 1, rejected: -1 });
    expect(safetySigns("both-safe")).toEqual({ chosen: 1, rejected: 1 });
    expect(safetySigns("both-unsafe")).toEqual({ chosen: -1, rejected: -1 });
    expect(safetySigns(undefined)).toEqual({ chosen: 0, rejected: 0 });
  });
});
