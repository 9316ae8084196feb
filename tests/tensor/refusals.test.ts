/** What tensor/ refuses before ggml sees it: ggml would end the process, or read past the end. */

import { expect, test } from "vitest";
import { openBackend } from "../../src/tensor/backend.ts";
import { createAdamW, createAdamWState } from "../../src/tensor/adamw.ts";
import { backward } from "../../src/tensor/backward.ts";
import { cachedAttention, type CachedAttentionInputs } from "../../src/tensor/flash-attention.ts";
import { clamp, exp, maximum, minimum, sub } from "../../src/tensor/pointwise.ts";
import { Graph } from "../../src/tensor/graph.ts";
import { tokenLogprobs } from "../../src/tensor/logprobs.ts";
import { createTargets, crossEntropy, writeTargets } from "../../src/tensor/loss.ts";
import { matmul, transposed } from "../../src/tensor/matmul.ts";
import {
  add,
  addInto,
  copyInto,
  mul,
  mulGain,
  mulScalar,
  permute,
  reshape,
  rmsNorm,
  rows,
  scale,
  setRows,
  silu,
  slice,
  softmax,
  sum,
  sumOfSquares,
  swiglu,
} from "../../src/tensor/ops.ts";
import { rope } from "../../src/tensor/rope.ts";
import { createStorage } from "../../src/tensor/storage.ts";
import { createTargetTokens } from "../../src/tensor/targets.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

type Refusal = (g: Graph, input: (shape: readonly number[]) => Tensor) => unknown;

const i32 = (g: Graph, length: number, limit: number): Tensor => g.input([length], { dtype: "i32", limit });

const half = (g: Graph, shape: readonly number[]): Tensor => g.input(shape, { dtype: "f16" });

/** Two tokens, four heads on two key-value heads, and a cache of 16 cells; one of them replaced. */
const cache = (g: Graph, change: Partial<CachedAttentionInputs>): CachedAttentionInputs => ({
  q: g.input([1, 2, 4, 8]),
  keys: half(g, [16, 16]),
  values: half(g, [16, 16]),
  windows: [{ mask: half(g, [2, 16]), start: 0 }],
  ...change,
});

const refusals: readonly (readonly [message: string, refused: Refusal])[] = [
  [
    "matmul: [2, 16, 64] x [32, 60]: inner dims 64 and 60 differ",
    (g, x) => matmul(g, x([2, 16, 64]), x([32, 60])),
  ],
  [
    "matmul: [2, 16, 64] x [3, 8, 64]: leading dims differ",
    (g, x) => matmul(g, x([2, 16, 64]), x([3, 8, 64])),
  ],
  ["matmul: [64] x [32, 64]: both need at least two dims", (g, x) => matmul(g, x([64]), x([32, 64]))],
  ["add: [2, 3] x [3, 2]: the shapes differ", (g, x) => add(g, x([2, 3]), x([3, 2]))],
  ["sub: [2, 3] x [3, 2]: the shapes differ", (g, x) => sub(g, x([2, 3]), x([3, 2]))],
  ["minimum: [2] x [3]: the shapes differ", (g, x) => minimum(g, x([2]), x([3]))],
  ["maximum: [2] x [3]: the shapes differ", (g, x) => maximum(g, x([2]), x([3]))],
  ["exp: [2] is f16, not f32", (g) => exp(g, half(g, [2]))],
  ["clamp: 1 to 0 is not a range", (g, x) => clamp(g, x([2]), 1, 0)],
  ["clamp: NaN to 0 is not a range", (g, x) => clamp(g, x([2]), Number.NaN, 0)],
  [
    "tokenLogprobs: [3, 8] x [7, 6]: wants [tokens, dim] and [vocab, dim]",
    (g, x) => tokenLogprobs(g, { x: x([3, 8]), head: x([7, 6]), targets: createTargetTokens(g, 3, 7) }),
  ],
  [
    "tokenLogprobs: [3, 8] x [7, 8]: the targets were made for other sizes",
    (g, x) => tokenLogprobs(g, { x: x([3, 8]), head: x([7, 8]), targets: createTargetTokens(g, 4, 7) }),
  ],
  [
    "tokenLogprobs: [6] x [7, 8]: the bias is not one number for each row of the head",
    (g, x) =>
      tokenLogprobs(g, {
        x: x([3, 8]),
        head: x([7, 8]),
        targets: createTargetTokens(g, 3, 7),
        bias: x([6]),
      }),
  ],
  ["swiglu: [4] x [5]: the shapes differ", (g, x) => swiglu(g, x([4]), x([5]))],
  ["add: [4] is i32, not f32", (g, x) => add(g, x([4]), i32(g, 4, 9))],
  [
    "mulGain: [2, 3] x [2]: the gain is not one number for each of the last dimension",
    (g, x) => mulGain(g, x([2, 3]), x([2])),
  ],
  ["mulScalar: [2, 3] x [2]: the factor is not one number", (g, x) => mulScalar(g, x([2, 3]), x([2]))],
  [
    "softmax: [1, 2, 4, 4] x [4, 4]: the mask (f32) is not f16 [queries, keys]",
    (g, x) => softmax(g, x([1, 2, 4, 4]), x([4, 4]), 1),
  ],
  [
    "rows: [8, 4] x [3]: indices may reach 9, past the table's rows",
    (g, x) => rows(g, x([8, 4]), i32(g, 3, 9)),
  ],
  [
    "rows: [8, 4] x [3]: indices may reach 0, past the table's rows",
    (g, x) => rows(g, x([8, 4]), i32(g, 3, 0)),
  ],
  [
    "setRows: [8, 4] x [3, 5]: wants a table [rows, dim], f32 [n, dim] and i64 indices [n]",
    (g, x) => setRows(g, x([8, 4]), x([3, 5]), g.input([3], { dtype: "i64", limit: 8 })),
  ],
  ["reshape: [2, 3] x [4]: the counts of elements differ", (g, x) => reshape(g, x([2, 3]), [4])],
  ["permute: (0, 0) is no order of the dimensions of [2, 3]", (g, x) => permute(g, x([2, 3]), [0, 0])],
  ["slice: rows 1 to 4 lie outside [3, 2]", (g, x) => slice(g, x([3, 2]), 1, 3)],
  [
    "rope: [1, 5, 2, 3] x [5]: wants f32 [batch, seq, heads, headDim] with an even headDim",
    (g, x) => rope(g, x([1, 5, 2, 3]), i32(g, 5, 0), { theta: 1e4 }),
  ],
  [
    "rope: [1, 5, 2, 4] x [4]: wants one i32 position for each of seq",
    (g, x) => rope(g, x([1, 5, 2, 4]), i32(g, 4, 0), { theta: 1e4 }),
  ],
  [
    "cachedAttention: [1, 2, 3, 8] x [16, 16]: the heads do not divide",
    (g, x) =>
      cachedAttention(g, {
        q: x([1, 2, 3, 8]),
        keys: x([16, 16]),
        values: x([16, 16]),
        windows: [{ mask: g.input([2, 16], { dtype: "f16" }), start: 0 }],
      }),
  ],
  [
    "crossEntropy: [4, 8] x [10, 7]: wants [tokens, dim] and [vocab, dim]",
    (g, x) => crossEntropy(g, { x: x([4, 8]), head: x([10, 7]), targets: createTargets(g, 4, 10) }),
  ],
  [
    "crossEntropy: [4, 8] x [10, 8]: the targets were made for other sizes",
    (g, x) => crossEntropy(g, { x: x([4, 8]), head: x([10, 8]), targets: createTargets(g, 5, 10) }),
  ],
  ["mul: [2, 3] x [6]: the shapes differ", (g, x) => mul(g, x([2, 3]), x([6]))],
  ["addInto: [2] x [1]: the shapes differ", (g, x) => addInto(g, x([2]), x([1]))],
  ["mul: [2] is f16, not f32", (g) => mul(g, half(g, [2]), half(g, [2]))],
  ["addInto: [2] is f16, not f32", (g, x) => addInto(g, half(g, [2]), x([2]))],
  ["mulGain: [2] is f16, not f32", (g, x) => mulGain(g, x([3, 2]), half(g, [2]))],
  ["mulScalar: [1] is f16, not f32", (g, x) => mulScalar(g, x([3, 2]), half(g, [1]))],
  ["scale: [2] is f16, not f32", (g) => scale(g, half(g, [2]), 2)],
  ["sum: [2] is i32, not f32", (g) => sum(g, i32(g, 2, 9))],
  ["sumOfSquares: [2] is f16, not f32", (g) => sumOfSquares(g, half(g, [2]))],
  ["rmsNorm: [2] is f16, not f32", (g) => rmsNorm(g, half(g, [2]), 0)],
  ["rmsNorm: ε is -1, not a number from 0", (g, x) => rmsNorm(g, x([2]), -1)],
  ["rmsNorm: ε is NaN, not a number from 0", (g, x) => rmsNorm(g, x([2]), Number.NaN)],
  ["silu: [2] is f16, not f32", (g) => silu(g, half(g, [2]))],
  ["swiglu: [2] is f16, not f32", (g, x) => swiglu(g, x([2]), half(g, [2]))],
  ["softmax: [2, 2] is f16, not f32", (g) => softmax(g, half(g, [2, 2]), half(g, [2, 2]), 1)],
  [
    "softmax: [1, 2, 4, 4] x [4, 5]: the mask (f16) is not f16 [queries, keys]",
    (g, x) => softmax(g, x([1, 2, 4, 4]), half(g, [4, 5]), 1),
  ],
  ["permute: [2, 3] is f16, not f32", (g) => permute(g, half(g, [2, 3]), [1, 0])],
  ["transposed: [4] has not two dimensions to exchange", (g, x) => transposed(g, x([4]))],
  ["transposed: [4] is i32, not f32, f16 or bf16", (g) => transposed(g, i32(g, 4, 9))],
  ["matmul: [2, 4] x [3, 4]: x is f16, not f32", (g, x) => matmul(g, half(g, [2, 4]), x([3, 4]))],
  [
    "matmul: [3, 4] is i32, not a floating or quantised type",
    (g, x) => matmul(g, x([2, 4]), g.input([3, 4], { dtype: "i32" })),
  ],
  [
    "rows: [8, 4] is i64, not a floating or quantised type",
    (g) => rows(g, g.input([8, 4], { dtype: "i64" }), i32(g, 3, 8)),
  ],
  ["rows: [8] x [3]: wants a table [rows, dim] and i32 indices [n]", (g, x) => rows(g, x([8]), i32(g, 3, 8))],
  [
    "setRows: [8, 4] x [3, 4]: wants a table [rows, dim], f32 [n, dim] and i64 indices [n]",
    (g, x) => setRows(g, x([8, 4]), x([3, 4]), g.input([3, 2], { dtype: "i64", limit: 8 })),
  ],
  [
    "setRows: [8, 4] x [3]: indices may reach 9, past the table's rows",
    (g, x) => setRows(g, x([8, 4]), x([3, 4]), g.input([3], { dtype: "i64", limit: 9 })),
  ],
  [
    "setRows: [8, 4] is i32, not f32, f16 or bf16",
    (g, x) =>
      setRows(g, g.input([8, 4], { dtype: "i32" }), x([3, 4]), g.input([3], { dtype: "i64", limit: 8 })),
  ],
  [
    "reshape: [1, 1, 2, 3, 1] is not a shape of one to four positive sizes",
    (g, x) => reshape(g, x([2, 3]), [1, 1, 2, 3, 1]),
  ],
  [
    "reshape: [0.5, 12] is not a shape of one to four positive sizes",
    (g, x) => reshape(g, x([2, 3]), [0.5, 12]),
  ],
  ["slice: rows 0 to 0 lie outside [3, 2]", (g, x) => slice(g, x([3, 2]), 0, 0)],
  ["slice: rows 0.5 to 1.5 lie outside [3, 2]", (g, x) => slice(g, x([3, 2]), 0.5, 1)],
  ["slice: rows NaN to NaN lie outside [3, 2]", (g, x) => slice(g, x([3, 2]), Number.NaN, 1)],
  [
    "rope: [1, 5, 2, 4] x [5]: wants one i32 position for each of seq",
    (g, x) => rope(g, x([1, 5, 2, 4]), x([5]), { theta: 1e4 }),
  ],
  [
    "cachedAttention: [2, 2, 4, 8] x [16, 16]: q is not f32 [1, tokens, heads, headDim]",
    (g, x) => cachedAttention(g, cache(g, { q: x([2, 2, 4, 8]) })),
  ],
  [
    "cachedAttention: [1, 2, 4, 8] x [16, 16]: the keys are not f16, f32 or q8_0 [cells, kvHeads · headDim]",
    (g) => cachedAttention(g, cache(g, { keys: g.input([16, 16], { dtype: "i32" }) })),
  ],
  [
    "cachedAttention: [1, 2, 4, 8] x [16, 32]: a head is not whole blocks of q8_0",
    (g) => cachedAttention(g, cache(g, { keys: g.input([16, 32], { dtype: "q8_0" }) })),
  ],
  [
    "cachedAttention: [16, 16] x [15, 16]: keys and values differ",
    (g) => cachedAttention(g, cache(g, { values: half(g, [15, 16]) })),
  ],
  [
    "cachedAttention: [1, 2, 4, 8] x [32]: a mask is not f16 [tokens, length]",
    (g) => cachedAttention(g, cache(g, { windows: [{ mask: half(g, [32]), start: 0 }] })),
  ],
  [
    "cachedAttention: [16, 16] x [2, 16]: a window from 1 on reaches past the cells",
    (g) => cachedAttention(g, cache(g, { windows: [{ mask: half(g, [2, 16]), start: 1 }] })),
  ],
  [
    "cachedAttention: [1, 2, 4, 8] x [1, 16]: the masks have rows for 1 of 2 tokens",
    (g) => cachedAttention(g, cache(g, { windows: [{ mask: half(g, [1, 16]), start: 0 }] })),
  ],
  [
    "cachedAttention: [1, 2, 4, 8] x [2, 16]: several windows want a place for their results, [tokens, heads · headDim]",
    (g, x) => {
      const one = { mask: half(g, [1, 16]), start: 0 };
      return cachedAttention(g, cache(g, { windows: [one, one], mixed: x([2, 16]) }));
    },
  ],
  ["copyInto: [2] x [1]: the shapes differ", (g, x) => copyInto(g, x([2]), x([1]))],
  [
    "input: rows of [4, 48] are not whole blocks of 32, as q8_0 has them",
    (g) => g.input([4, 48], { dtype: "q8_0" }),
  ],
  [
    "transposed: [4, 32] is q8_0, not f32, f16 or bf16",
    (g) => transposed(g, g.input([4, 32], { dtype: "q8_0" })),
  ],
  [
    "slice: [4, 32] is q4_0, which is stored in blocks",
    (g) => slice(g, g.input([4, 32], { dtype: "q4_0" }), 0, 2),
  ],
  [
    "reshape: [4, 32] is q4_0, which is stored in blocks",
    (g) => reshape(g, g.input([4, 32], { dtype: "q4_0" }), [2, 64]),
  ],
  ["a limit of -1 for indices is not a whole number from 0", (g) => i32(g, 3, -1)],
  ["a limit of 1.5 for indices is not a whole number from 0", (g) => i32(g, 3, 1.5)],
  [
    "backward: the loss depends on no tensor that requires a gradient",
    (g, x) => backward(g, x([1]), () => {}),
  ],
  ["backward: the loss is not one number", (g, x) => backward(g, x([2]), () => {})],
  ["input: [0, 2] is not a shape of one to four positive sizes", (_, x) => x([0, 2])],
  ["input: [1, 1, 1, 1, 1] is not a shape of one to four positive sizes", (_, x) => x([1, 1, 1, 1, 1])],
  ["input: [1.5] is not a shape of one to four positive sizes", (_, x) => x([1.5])],
];

test.each(refusals)("%s", (message, refused) => {
  using backend = openBackend({ threads: 1 });
  using g = new Graph("refused", backend);
  expect(() => refused(g, (shape) => g.input(shape))).toThrow(message);
});

test("uploads of another count, type or range are refused", () => {
  using backend = openBackend({ threads: 1 });
  using g = new Graph("uploads", backend);
  const [x, ids, targets] = [g.input([2, 3]), i32(g, 3, 5), createTargets(g, 2, 7)];
  g.output(add(g, x, x));
  g.allocate();
  expect(() => x.write(new Float32Array(5))).toThrow(
    "write: 5 elements in a Float32Array do not fit a tensor of f32 [2, 3]",
  );
  expect(() => x.write(new Int32Array(6))).toThrow(
    "write: 6 elements in a Int32Array do not fit a tensor of f32 [2, 3]",
  );
  expect(() => x.writeBytes(new Uint8Array(8), 20)).toThrow(
    "write: bytes 20 to 28 lie outside a tensor of 24 bytes",
  );
  expect(() => ids.write(Int32Array.of(0, 5, 1))).toThrow("an index lies outside [0, 5)");
  expect(() => ids.write(Int32Array.of(0, -1, 1))).toThrow("an index lies outside [0, 5)");
  expect(() => writeTargets(targets, Int32Array.of(0, 7), new Float32Array(2))).toThrow(
    "target 7 at position 1 lies outside the vocabulary of 7",
  );
});

test("a graph does not run before it has its memory, and says when it is full", async () => {
  using backend = openBackend({ threads: 1 });
  using g = new Graph("small", backend, { capacity: 2 });
  const x = g.input([2]);
  await expect(g.compute()).rejects.toThrow('graph "small" runs before it is allocated');
  expect(() => add(g, add(g, add(g, x, x), x), x)).toThrow('arena "small" is full: it holds 2 tensors');
});

test("memory that was freed is not read", async () => {
  using backend = openBackend({ threads: 1 });
  const storage = createStorage("weights", backend, { w: { shape: [4] } });
  const { w } = storage.tensors;
  storage[Symbol.dispose]();
  storage[Symbol.dispose]();
  expect(() => w.read()).toThrow('tensor [4] lies in arena "weights", which was freed');
  const graph = new Graph("gone", backend);
  const x = graph.input([4]);
  graph.output(add(graph, x, x));
  graph.allocate();
  graph[Symbol.dispose]();
  expect(() => x.read()).toThrow("which was freed");
  expect(() => graph.input([4])).toThrow('arena "gone inputs" was freed');
  await expect(graph.compute()).rejects.toThrow("runs before it is allocated");
});

test("a graph that is disposed while it runs frees its memory when it is done", async () => {
  using backend = openBackend({ threads: 2 });
  const graph = new Graph("busy", backend);
  const [x, w] = [graph.input([512, 512]), graph.input([512, 512])];
  graph.output(matmul(graph, x, w));
  graph.allocate();
  const run = graph.compute();
  graph[Symbol.dispose]();
  await run;
  // The memory is freed on the next turn of the promise queue; tests/setup.ts then finds nothing alive.
  await new Promise((resolve) => setImmediate(resolve));
});

test("a storage names the tensor whose shape cannot be", () => {
  using backend = openBackend({ threads: 1 });
  expect(() => createStorage("bad", backend, { wq: { shape: [4, 0] } })).toThrow(
    "wq: [4, 0] is not a shape of one to four positive sizes",
  );
});

test("an optimiser is not built on moments of other sizes", () => {
  using backend = openBackend({ threads: 1 });
  using weights = createStorage("weights", backend, { w: { shape: [4, 2], requiresGrad: true } });
  using other = createStorage("others", backend, { w: { shape: [4, 3], requiresGrad: true } });
  using state = createAdamWState(backend, other.tensors);
  const options = { beta1: 0.9, beta2: 0.95, eps: 1e-5, weightDecay: 0, gradClip: 1 };
  expect(() => createAdamW(backend, weights.tensors, state, options)).toThrow(
    "adamw: [4, 2] x [4, 3]: the sizes differ",
  );
});

test.each([0, -1, 1.5, Number.NaN, 2 ** 40])("a graph of %s nodes is refused", (capacity) => {
  using backend = openBackend({ threads: 1 });
  expect(() => new Graph("odd", backend, { capacity })).toThrow(
    `arena "odd": a capacity of ${capacity} is not from 1 to 1048576 tensors`,
  );
});
