/**
 * The engine's ops against the float64 oracle, forward and backward, one row for each op.
 */

import { describe, expect, test } from "vitest";
import { causalAttention, causalMask } from "../../src/model/attention.ts";
import { backward } from "../../src/tensor/backward.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { Graph, type Precision } from "../../src/tensor/graph.ts";
import { tokenLogprobs } from "../../src/tensor/logprobs.ts";
import { createTargets, crossEntropy, writeTargets } from "../../src/tensor/loss.ts";
import { matmul } from "../../src/tensor/matmul.ts";
import {
  add,
  mul,
  mulGain,
  permute,
  reshape,
  rmsNorm,
  rows,
  scale,
  silu,
  softmax,
  sum,
  swiglu,
} from "../../src/tensor/ops.ts";
import { clamp, exp, maximum, minimum, softplus, sub } from "../../src/tensor/pointwise.ts";
import { rope } from "../../src/tensor/rope.ts";
import { createStorage } from "../../src/tensor/storage.ts";
import { createTargetTokens, writeTargetTokens } from "../../src/tensor/targets.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { ops, settings, type Op } from "../oracle/ops.ts";
import { normals, randomArray } from "../oracle/random.ts";
import { maxRelativeError } from "./numerical.ts";

type Build = (g: Graph, inputs: readonly Tensor[]) => Tensor;

const int32 = (g: Graph, values: readonly number[], limit = 0): Tensor =>
  g.constant(Int32Array.from(values), [values.length], { dtype: "i32", limit });

/** The engine's counterpart of each row of the oracle's table. */
const built: Readonly<Record<string, Build>> = {
  matmul: (g, [x, w]) => matmul(g, x!, w!),
  add: (g, [a, b]) => add(g, a!, b!),
  mul: (g, [a, b]) => mul(g, a!, b!),
  sub: (g, [a, b]) => sub(g, a!, b!),
  softplus: (g, [x]) => softplus(g, x!),
  exp: (g, [x]) => exp(g, x!),
  clamp: (g, [x]) => clamp(g, x!, settings.clamp.low, settings.clamp.high),
  minimum: (g, [a, b]) => minimum(g, a!, b!),
  maximum: (g, [a, b]) => maximum(g, a!, b!),
  silu: (g, [x]) => silu(g, x!),
  swiglu: (g, [gate, up]) => swiglu(g, gate!, up!),
  rmsNorm: (g, [x, gain]) => mulGain(g, rmsNorm(g, x!, settings.rmsNorm.eps), gain!),
  softmax: (g, [x]) => softmax(g, x!, causalMask(g, 4), settings.softmax.scale),
  rope: (g, [x]) => {
    const { positions, base } = settings.rope;
    return reshape(g, rope(g, reshape(g, x!, [1, 5, 2, 4]), int32(g, positions), { theta: base }), [5, 2, 4]);
  },
  attention: (g, [q, k, v]) => {
    const heads = (x: Tensor): Tensor => reshape(g, x, [1, ...x.shape]);
    const mixed = causalAttention(
      g,
      { q: heads(q!), k: heads(k!), v: heads(v!), layer: 0 },
      causalMask(g, 5),
    );
    return reshape(g, mixed, [5, 4, 4]);
  },
  embedding: (g, [table]) => rows(g, table!, int32(g, settings.embedding.indices, 6)),
  crossEntropy: (g, [logits]) => {
    // A head that is the identity makes the states the logits.
    const identity = Float32Array.from({ length: 25 }, (_, i) => (i % 6 === 0 ? 1 : 0));
    const targets = createTargets(g, 4, 5);
    uploads.push(() => {
      writeTargets(
        targets,
        Int32Array.from(settings.crossEntropy.targets),
        Float32Array.from(settings.crossEntropy.weights),
      );
    });
    return crossEntropy(g, { x: logits!, head: g.constant(identity, [5, 5]), targets });
  },
  tokenLogprobs: (g, [x, head]) => {
    const targets = createTargetTokens(g, 4, 5);
    uploads.push(() => writeTargetTokens(targets, Int32Array.from(settings.crossEntropy.targets)));
    return tokenLogprobs(g, { x: x!, head: head!, targets });
  },
  sum: (g, [x]) => sum(g, x!),
};

/** Inputs that can be written only after the graph has its memory. */
const uploads: (() => void)[] = [];

/** f32 sums of a few products against float64: a few units of 2^-24, and expf's. */
const tolerance = 64 * 2 ** -24;

async function run(
  op: Pick<Op, "shapes">,
  build: Build,
  inputs: readonly Float64Array[],
  dy: Float64Array,
  precision: Precision = "f32",
) {
  using backend = openBackend({ threads: 2 });
  const specs = Object.fromEntries(op.shapes.map((shape, i) => [`${i}`, { shape, requiresGrad: true }]));
  using storage = createStorage("inputs", backend, specs);
  using g = new Graph("op", backend, { precision });
  const tensors = inputs.map((values, i) => {
    storage.tensors[`${i}`]!.write(Float32Array.from(values));
    return storage.tensors[`${i}`]!;
  });
  const y = build(g, tensors);
  // The loss Σ dy · y has dy for the gradient by y.
  const weighted =
    y.elements === 1 ? scale(g, y, dy[0]!) : sum(g, mul(g, y, g.constant(Float32Array.from(dy), y.shape)));
  g.output(y);
  g.effect(weighted);
  const outputs = new Map<Tensor, Tensor>();
  backward(g, weighted, (leaf, gradient) => {
    outputs.set(leaf, g.output(outputs.has(leaf) ? add(g, outputs.get(leaf)!, gradient) : gradient));
  });
  g.allocate();
  for (const upload of uploads.splice(0)) upload();
  await g.compute();
  return { y: y.readF32(), gradients: tensors.map((tensor) => outputs.get(tensor)!.readF32()) };
}

describe.each(ops.map((op) => [op.name, op] as const))("%s", (name, op) => {
  const next = normals(7);
  const inputs = op.shapes.map((shape) =>
    randomArray(
      shape.reduce((a, b) => a * b, 1),
      next,
    ),
  );
  const dy = randomArray(
    op.outputShape.reduce((a, b) => a * b, 1),
    next,
  );

  test("forward agrees with float64", async () => {
    const { y } = await run(op, built[name]!, inputs, dy);
    expect(maxRelativeError(y, op.forward(inputs))).toBeLessThan(tolerance);
  });

  test("backward agrees with float64, for each input", async () => {
    const { gradients } = await run(op, built[name]!, inputs, dy);
    for (const [i, expected] of op.backward(inputs, dy).entries()) {
      expect(maxRelativeError(gradients[i]!, expected)).toBeLessThan(tolerance);
    }
  });
});

test("in bf16 a product of 64 terms keeps three digits, forward and backward", async () => {
  const op: Pick<Op, "shapes"> = {
    shapes: [
      [32, 64],
      [96, 64],
    ],
  };
  const next = normals(3);
  const [x, w, dy] = [randomArray(32 * 64, next), randomArray(96 * 64, next), randomArray(32 * 96, next)];
  const exact = await run(op, (g, [a, b]) => matmul(g, a!, b!), [x, w], dy);
  const bf16 = await run(op, (g, [a, b]) => matmul(g, a!, b!), [x, w], dy, "bf16");
  // Each operand is rounded to 8 bits of mantissa; errors add up as √64.
  expect(maxRelativeError(bf16.y, exact.y)).toBeLessThan(2 ** -7);
  expect(maxRelativeError(bf16.y, exact.y)).toBeGreaterThan(0);
  for (const i of [0, 1])
    expect(maxRelativeError(bf16.gradients[i]!, exact.gradients[i]!)).toBeLessThan(2 ** -7);
});

test("the loss is the same in chunks of rows as at once", async () => {
  // 2^24 logits make a chunk: 32 rows of 2^19 tokens would be two. Small vocabularies never split, so ask for it.
  using backend = openBackend({ threads: 2 });
  using storage = createStorage("head", backend, {
    head: { shape: [40, 8], requiresGrad: true },
    x: { shape: [70, 8], requiresGrad: true },
  });
  const next = normals(5);
  storage.tensors.head.write(Float32Array.from(randomArray(320, next)));
  storage.tensors.x.write(Float32Array.from(randomArray(560, next)));
  const labels = Int32Array.from({ length: 70 }, (_, i) => (i * 7) % 40);
  const weights = Float32Array.from({ length: 70 }, (_, i) => (i % 5) / 4);
  const results: Float32Array[][] = [];
  for (const chunkRows of [70, 32]) {
    using g = new Graph("chunks", backend);
    const targets = { ...createTargets(g, 70, 40), chunkRows };
    const loss = crossEntropy(g, { ...storage.tensors, targets });
    g.output(loss);
    const outputs: Tensor[] = [loss];
    backward(g, loss, (_, gradient) => outputs.push(g.output(gradient)));
    g.allocate();
    writeTargets(targets, labels, weights);
    await g.compute();
    results.push(outputs.map((output) => output.readF32()));
  }
  for (const [i, whole] of results[0]!.entries())
    expect(maxRelativeError(results[1]![i]!, whole)).toBeLessThan(tolerance);
});

test("log-probabilities are the same in chunks of rows as at once", async () => {
  using backend = openBackend({ threads: 2 });
  using storage = createStorage("head", backend, {
    head: { shape: [40, 8], requiresGrad: true },
    x: { shape: [70, 8], requiresGrad: true },
  });
  const next = normals(5);
  storage.tensors.head.write(Float32Array.from(randomArray(320, next)));
  storage.tensors.x.write(Float32Array.from(randomArray(560, next)));
  const dy = Float32Array.from(randomArray(70, next));
  const results: Float32Array[][] = [];
  for (const chunkRows of [70, 32]) {
    using g = new Graph("chunks", backend);
    const targets = { ...createTargetTokens(g, 70, 40), chunkRows };
    const logprobs = tokenLogprobs(g, { ...storage.tensors, targets });
    const outputs: Tensor[] = [g.output(logprobs)];
    backward(g, sum(g, mul(g, logprobs, g.constant(dy, [70]))), (_, gradient) =>
      outputs.push(g.output(gradient)),
    );
    g.allocate();
    writeTargetTokens(
      targets,
      Int32Array.from({ length: 70 }, (_, i) => (i * 7) % 40),
    );
    await g.compute();
    results.push(outputs.map((output) => output.readF32()));
  }
  expect(results[0]).toHaveLength(3);
  for (const [i, whole] of results[0]!.entries())
    expect(maxRelativeError(results[1]![i]!, whole)).toBeLessThan(tolerance);
});

test("with a bias of -Infinity, log-probabilities and gradients are those of a head without these rows", async () => {
  const next = normals(6);
  const [head, x] = [randomArray(40, next), randomArray(24, next)];
  const dy = Float64Array.of(1, -2, 3);
  const build =
    (bias: readonly number[] | undefined): Build =>
    (g, [states, rows]) => {
      const targets = createTargetTokens(g, 3, rows!.shape[0]!);
      uploads.push(() => writeTargetTokens(targets, Int32Array.of(2, 0, 1)));
      const added = bias === undefined ? undefined : g.constant(Float32Array.from(bias), [bias.length]);
      return tokenLogprobs(g, { x: states!, head: rows!, targets, bias: added });
    };
  const short = await run(
    {
      shapes: [
        [3, 8],
        [3, 8],
      ],
    },
    build(undefined),
    [x, head.slice(0, 24)],
    dy,
  );
  const bias = [0, 0, 0, -Infinity, -Infinity];
  const padded = await run(
    {
      shapes: [
        [3, 8],
        [5, 8],
      ],
    },
    build(bias),
    [x, head],
    dy,
  );
  expect(maxRelativeError(padded.y, short.y)).toBeLessThan(tolerance);
  expect(maxRelativeError(padded.gradients[0]!, short.gradients[0]!)).toBeLessThan(tolerance);
  expect(maxRelativeError(padded.gradients[1]!.subarray(0, 24), short.gradients[1]!)).toBeLessThan(tolerance);
  expect(padded.gradients[1]!.subarray(24)).toEqual(new Float32Array(16));
});

describe("of two that are equal", () => {
  const both: Pick<Op, "shapes"> = { shapes: [[3], [3]] };
  const [a, b, dy] = [Float64Array.of(1, 2, 3), Float64Array.of(1, 1, 4), Float64Array.of(5, 6, 7)];
  test.each([
    ["minimum", minimum, [5, 0, 7], [0, 6, 0]],
    ["maximum", maximum, [5, 6, 0], [0, 0, 7]],
  ] as const)("%s gives the gradient to the first, once", async (_, op, left, right) => {
    const { gradients } = await run(both, (g, [x, y]) => op(g, x!, y!), [a, b], dy);
    expect(gradients).toEqual([Float32Array.from(left), Float32Array.from(right)]);
  });
});

test("a clamp without bounds changes nothing and stops no gradient; at a bound the gradient goes through", async () => {
  const one: Pick<Op, "shapes"> = { shapes: [[3]] };
  const [x, dy] = [Float64Array.of(-2, 0.5, 4), Float64Array.of(1, 2, 3)];
  const free = await run(one, (g, [a]) => clamp(g, a!, -Infinity, Infinity), [x], dy);
  expect(free).toEqual({ y: Float32Array.from(x), gradients: [Float32Array.from(dy)] });
  const bound = await run(one, (g, [a]) => clamp(g, a!, -2, 0.5), [x], dy);
  expect(bound).toEqual({ y: Float32Array.of(-2, 0.5, 0.5), gradients: [Float32Array.of(1, 2, 0)] });
});

test.each([
  ["minimum", minimum],
  ["maximum", maximum],
] as const)("%s lets NaN through, on either side", async (_, op) => {
  const both: Pick<Op, "shapes"> = { shapes: [[2], [2]] };
  const [a, b] = [Float64Array.of(NaN, 1), Float64Array.of(1, NaN)];
  const { y } = await run(both, (g, [x, z]) => op(g, x!, z!), [a, b], Float64Array.of(1, 1));
  expect([...y]).toEqual([NaN, NaN]);
});

test("permute and reshape send gradients back where they came from", async () => {
  const op: Pick<Op, "shapes"> = { shapes: [[2, 3, 4]] };
  const next = normals(9);
  const [x, dy] = [randomArray(24, next), randomArray(24, next)];
  const { y, gradients } = await run(op, (g, [a]) => reshape(g, permute(g, a!, [2, 0, 1]), [8, 3]), [x], dy);
  // y[k, i, j] = x[i, j, k].
  for (let i = 0; i < 2; i += 1) {
    for (let j = 0; j < 3; j += 1) {
      for (let k = 0; k < 4; k += 1) {
        const [from, to] = [(i * 3 + j) * 4 + k, (k * 2 + i) * 3 + j];
        expect(y[to]).toBe(x[from]);
        expect(gradients[0]![from]).toBe(dy[to]);
      }
    }
  }
});

test("softplus and its gradient stay finite where eˣ does not, and 0 where it vanishes", async () => {
  const x = Float64Array.of(-1e4, -100, 0, 21, 100, 1e4);
  const op: Pick<Op, "shapes"> = { shapes: [[6]] };
  const { y, gradients } = await run(op, (g, [a]) => softplus(g, a!), [x], new Float64Array(6).fill(1));
  expect([...y]).toEqual([0, 0, Math.fround(Math.LN2), 21, 100, 1e4]);
  expect(gradients[0]![2]).toBe(0.5);
  expect([...gradients[0]!].slice(0, 2).every((slope) => slope >= 0 && slope < 1e-30)).toBe(true);
  expect([...gradients[0]!].slice(3)).toEqual([1, 1, 1]);
});
