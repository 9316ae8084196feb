/**
 * Builds and runs graphs of random ops on random arguments, most of which cannot be. Run as a process of its own by
 * fuzz.test.ts: whatever reaches the engine unchecked ends this process and not the tests'.
 *
 *     random-programs.ts SEED RUNS FILE      the program that is being run is in FILE
 */

import { writeFileSync } from "node:fs";
import * as fc from "fast-check";
import { CriaError } from "../../src/errors/errors.ts";
import { openBackend, type Backend } from "../../src/tensor/backend.ts";
import { backward } from "../../src/tensor/backward.ts";
import { dtypes, type DType, type Elements } from "../../src/tensor/dtype.ts";
import { cachedAttention } from "../../src/tensor/flash-attention.ts";
import { Graph } from "../../src/tensor/graph.ts";
import { tokenLogprobs } from "../../src/tensor/logprobs.ts";
import { createTargets, crossEntropy, writeTargets } from "../../src/tensor/loss.ts";
import { matmul, operand, transposed } from "../../src/tensor/matmul.ts";
import * as ops from "../../src/tensor/ops.ts";
import { clamp, exp, maximum, minimum, softplus, sub } from "../../src/tensor/pointwise.ts";
import { rope } from "../../src/tensor/rope.ts";
import { createTargetTokens, writeTargetTokens } from "../../src/tensor/targets.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

interface Input {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly limit: number;
  readonly requiresGrad: boolean;
}

interface Step {
  readonly op: keyof typeof table;
  /** Operands, counted from the newest tensor backwards. */
  readonly at: readonly number[];
  /** Operands of its own, which nearly fit the op; `at` has the rest. */
  readonly own: readonly Input[];
  readonly numbers: readonly number[];
  readonly isEffect: boolean;
}

interface Program {
  readonly precision: "f32" | "bf16";
  readonly inputs: readonly Input[];
  readonly steps: readonly Step[];
  readonly noise: number;
}

type Build = (g: Graph, tensors: readonly Tensor[], numbers: readonly number[]) => Tensor;

/** Things that are done when the graph has its memory. */
let uploads: (() => void)[] = [];

const table = {
  matmul: (g, [x, w]) => matmul(g, x!, w!),
  transposed: (g, [x]) => transposed(g, x!),
  operand: (g, [x]) => operand(g, x!),
  add: (g, [a, b]) => ops.add(g, a!, b!),
  addInto: (g, [a, b]) => ops.addInto(g, a!, b!),
  mul: (g, [a, b]) => ops.mul(g, a!, b!),
  sub: (g, [a, b]) => sub(g, a!, b!),
  exp: (g, [x]) => exp(g, x!),
  clamp: (g, [x], [low, high]) => clamp(g, x!, low!, high!),
  minimum: (g, [a, b]) => minimum(g, a!, b!),
  maximum: (g, [a, b]) => maximum(g, a!, b!),
  mulGain: (g, [x, gain]) => ops.mulGain(g, x!, gain!),
  mulScalar: (g, [x, factor]) => ops.mulScalar(g, x!, factor!),
  scale: (g, [x], [n]) => ops.scale(g, x!, n!),
  sum: (g, [x]) => ops.sum(g, x!),
  sumOfSquares: (g, [x]) => ops.sumOfSquares(g, x!),
  rmsNorm: (g, [x], [n]) => ops.rmsNorm(g, x!, n!),
  softplus: (g, [x]) => softplus(g, x!),
  silu: (g, [x]) => ops.silu(g, x!),
  swiglu: (g, [a, b]) => ops.swiglu(g, a!, b!),
  softmax: (g, [x, mask], [n]) => ops.softmax(g, x!, mask!, n!),
  rows: (g, [t, ids]) => ops.rows(g, t!, ids!),
  setRows: (g, [t, x, ids]) => ops.setRows(g, t!, x!, ids!),
  reshape: (g, [x], numbers) => ops.reshape(g, x!, numbers),
  flatten: (g, [x]) => ops.reshape(g, x!, [x!.elements]),
  split: (g, [x]) => ops.reshape(g, x!, [x!.elements / 2, 2]),
  permute: (g, [x], numbers) => ops.permute(g, x!, numbers.slice(0, x!.shape.length)),
  reverse: (g, [x]) => ops.permute(g, x!, x!.shape.map((_, i) => i).toReversed()),
  slice: (g, [x], [from, count]) => ops.slice(g, x!, from!, count!),
  rope: (g, [x, positions], [n]) => rope(g, x!, positions!, { theta: n! }),
  cachedAttention: (g, [q, keys, values, mask]) =>
    cachedAttention(g, { q: q!, keys: keys!, values: values!, windows: [{ mask: mask!, start: 0 }] }),
  crossEntropy: (g, [x, head], [n]) => {
    const targets = createTargets(g, x!.shape[0]!, head!.shape[0]!);
    uploads.push(() => {
      const tokens = new Int32Array(x!.shape[0]!).fill(n!);
      writeTargets(targets, tokens, new Float32Array(tokens.length).fill(1));
    });
    return crossEntropy(g, { x: x!, head: head!, targets });
  },
  tokenLogprobs: (g, [x, head], [n]) => {
    const targets = createTargetTokens(g, x!.shape[0]!, head!.shape[0]!);
    uploads.push(() => writeTargetTokens(targets, new Int32Array(x!.shape[0]!).fill(n!)));
    return tokenLogprobs(g, { x: x!, head: head!, targets });
  },
  backward: (g, [x]) => {
    const loss = ops.sum(g, x!);
    backward(g, loss, (_leaf, gradient) => g.output(gradient));
    return loss;
  },
} as const satisfies Record<string, Build>;

// Few sizes, so that operands often fit each other; and now and then one that cannot be.
const size = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom(1, 2, 2, 4, 4, 8, 32) },
  { weight: 1, arbitrary: fc.constantFrom(0, -1, 1.5, Number.NaN, 2 ** 44) },
);
const shape = fc.oneof(
  { weight: 30, arbitrary: fc.array(size, { minLength: 1, maxLength: 4 }) },
  { weight: 1, arbitrary: fc.array(size, { minLength: 0, maxLength: 6 }) },
);
const number = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom(-1, 0.5, Number.NaN, Infinity, -Infinity, 2 ** 31, 1e300) },
);
const input: fc.Arbitrary<Input> = fc.record({
  shape,
  dtype: fc.oneof(
    { weight: 4, arbitrary: fc.constant<DType>("f32") },
    { weight: 3, arbitrary: fc.constantFrom<DType>("f16", "bf16", "i32", "i64", "q8_0") },
  ),
  limit: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(1, 2, 4) },
    { weight: 2, arbitrary: fc.constantFrom(0, -1, 1.5, Number.NaN, 1000) },
  ),
  requiresGrad: fc.boolean(),
});
const anyStep: fc.Arbitrary<Step> = fc.record({
  op: fc.constantFrom(...(Object.keys(table) as (keyof typeof table)[])),
  at: fc.array(fc.nat(8), { minLength: 4, maxLength: 4 }),
  own: fc.constant([]),
  numbers: fc.array(number, { minLength: 4, maxLength: 4 }),
  isEffect: fc.boolean(),
});

const of = (shape: readonly number[], dtype: DType = "f32", limit = 0, requiresGrad = true): Input => ({
  shape,
  dtype,
  limit,
  requiresGrad,
});

/** Operands that fit, for the ops that random ones hardly ever do. */
const fitting: readonly (readonly [op: Step["op"], operands: readonly Input[]])[] = [
  ["matmul", [of([2, 2, 3, 32]), of([2, 2, 5, 32])]],
  ["matmul", [of([3, 4]), of([5, 4], "f16")]],
  ["matmul", [of([2, 3, 32]), of([5, 32], "bf16")]],
  ["matmul", [of([2, 3, 32], "f32", 0, false), of([5, 32], "q8_0", 0, false)]],
  ["matmul", [of([3, 256], "f32", 0, false), of([5, 256], "q4_k", 0, false)]],
  ["rows", [of([5, 256], "q6_k", 0, false), of([4], "i32", 5, false)]],
  ["mulGain", [of([2, 3]), of([3])]],
  ["softmax", [of([1, 2, 3, 4]), of([3, 4], "f16", 0, false)]],
  ["rows", [of([5, 3]), of([4], "i32", 5, false)]],
  ["rows", [of([5, 32], "bf16", 0, false), of([4], "i32", 2, false)]],
  ["setRows", [of([5, 4], "f16", 0, false), of([3, 4]), of([3], "i64", 5, false)]],
  ["rope", [of([1, 3, 2, 4]), of([3], "i32", 0, false)]],
  [
    "cachedAttention",
    [
      of([1, 2, 4, 8], "f32", 0, false),
      of([6, 16], "f16", 0, false),
      of([6, 16], "f16", 0, false),
      of([2, 5], "f16", 0, false),
    ],
  ],
  ["crossEntropy", [of([3, 8]), of([7, 8])]],
  ["crossEntropy", [of([33, 32]), of([5, 32], "f16")]],
  ["tokenLogprobs", [of([33, 32]), of([5, 32])]],
];

/** One thing about one of them is changed, mostly so that it no longer fits. */
const ownStep: fc.Arbitrary<Step> = fc
  .record({
    chosen: fc.constantFrom(...fitting),
    isChanged: fc.boolean(),
    which: fc.nat(3),
    change: fc.oneof(
      fc.record({ shape }),
      fc.record({ dtype: fc.constantFrom<DType>("f32", "f16", "bf16", "i32", "i64", "q8_0", "q4_0") }),
      fc.record({ limit: fc.constantFrom(0, 1, 1000) }),
      fc.record({ requiresGrad: fc.boolean() }),
    ),
    step: anyStep,
  })
  .map(({ chosen: [op, operands], isChanged, which, change, step }) => {
    const own: Input[] = [...operands];
    const at = which % own.length;
    if (isChanged) own[at] = { ...own[at]!, ...change };
    return { op, own, at: step.at, numbers: step.numbers, isEffect: step.isEffect };
  });

const step = fc.oneof({ weight: 3, arbitrary: anyStep }, { weight: 1, arbitrary: ownStep });
const program: fc.Arbitrary<Program> = fc.record({
  precision: fc.constantFrom("f32", "bf16"),
  inputs: fc.array(input, { minLength: 1, maxLength: 8 }),
  steps: fc.array(step, { minLength: 1, maxLength: 24 }),
  noise: fc.integer(),
});

/** @returns the steps that were built. */
async function run(backend: Backend, { precision, inputs, steps, noise }: Program): Promise<string[]> {
  using g = new Graph("random", backend, { capacity: 4096, precision });
  uploads = [];
  const built: string[] = [];
  const attempt = <T>(action: () => T): T | undefined => {
    try {
      return action();
    } catch (error) {
      if (error instanceof CriaError) return undefined;
      throw error;
    }
  };
  const uploaded: Tensor[] = [];
  const tensors: Tensor[] = [];
  const outputs: Tensor[] = [];
  const newInput = ({ shape, ...options }: Input): Tensor[] => {
    const tensor = attempt(() => g.input(shape, options));
    if (tensor === undefined) return [];
    uploaded.push(tensor);
    tensors.push(tensor);
    return [tensor];
  };
  for (const one of inputs) newInput(one);
  for (const { op, at, own, numbers, isEffect } of steps) {
    const others = at.flatMap((back) => tensors.at(-1 - (back % Math.max(1, tensors.length))) ?? []);
    const operands = [...own.flatMap(newInput), ...others];
    if (operands.length < 4) continue;
    const result = attempt(() => table[op](g, operands, numbers));
    if (result === undefined) continue;
    built.push(op);
    tensors.push(result);
    if (isEffect) outputs.push(g.output(result));
  }
  // A node that others were built on may have nothing to do with the outputs.
  if (attempt(() => g.allocate()) === undefined) return built;
  for (const upload of uploads) attempt(upload);
  for (const tensor of uploaded) attempt(() => tensor.write(elementsFor(tensor, noise)));
  for (const upload of uploads) attempt(upload);
  await g.compute();
  for (const output of outputs) output.read();
  return built;
}

/** Any bits, and for indices any that are allowed. */
function elementsFor({ dtype, elements, limit }: Tensor, noise: number): Elements {
  const layout = dtypes[dtype];
  const values = layout.view(new ArrayBuffer((elements / layout.block) * layout.bytes));
  for (let i = 0; i < values.length; i += 1) {
    const any = Math.imul(noise + i, 2654435761) >>> 8;
    if (values instanceof BigInt64Array) values[i] = BigInt(limit >= 1 ? any % Math.floor(limit) : any);
    else if (values instanceof Int32Array) values[i] = limit >= 1 ? any % Math.floor(limit) : any;
    else values[i] = values instanceof Float32Array ? (any % 200) / 100 - 1 : any;
  }
  return values;
}

const [seed, runs, file] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]!];
const counts: Record<string, number> = {};
{
  using backend = openBackend({ threads: 1 });
  await fc.assert(
    fc.asyncProperty(program, async (tried) => {
      writeFileSync(file, JSON.stringify(tried));
      for (const op of await run(backend, tried)) counts[op] = (counts[op] ?? 0) + 1;
    }),
    { seed, numRuns: runs },
  );
}
process.stdout.write(JSON.stringify(counts));
