import { expect, test } from "vitest";
import { causalAttention, causalMask } from "../../src/model/attention.ts";
import { createRandom } from "../../src/corpus/random.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { initialise } from "../../src/model/initialise.ts";
import { finalStates } from "../../src/model/llama.ts";
import { createWeights } from "../../src/model/weights.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { Graph } from "../../src/tensor/graph.ts";
import { matmul } from "../../src/tensor/matmul.ts";
import { randomTokens, relativeDifference, tinyConfig, tinyWeights } from "../tiny-model.ts";

/** Sums of up to 64 products in another order, over two layers. */
const tolerance = 64 * 2 ** -24;

/** Logits of every position by the pass that training uses, without a cache. */
async function fullForward(
  backend: ReturnType<typeof openBackend>,
  weights: ReturnType<typeof tinyWeights>,
  ids: Int32Array,
): Promise<Float32Array> {
  using graph = new Graph("full", backend);
  graph.isRecording = false;
  const tokens = graph.constant(ids, [ids.length], { dtype: "i32", limit: tinyConfig.vocabSize });
  const positions = graph.constant(
    Int32Array.from(ids, (_, i) => i),
    [ids.length],
    { dtype: "i32" },
  );
  const mask = causalMask(graph, ids.length);
  const states = finalStates(graph, weights, {
    batch: 1,
    seq: ids.length,
    tokens,
    positions,
    attend: (inputs) => causalAttention(graph, inputs, mask),
  });
  const logits = graph.output(matmul(graph, states, weights.head));
  graph.allocate();
  await graph.compute();
  return logits.readF32();
}

test("a cached token gives the logits of the full forward pass", async () => {
  using backend = openBackend({ threads: 2 });
  using weights = tinyWeights(backend);
  const ids = randomTokens(24, tinyConfig.vocabSize, 7);
  const full = await fullForward(backend, weights, ids);
  using decoder = new Decoder(backend, weights, { contextTokens: 32 });
  for (let i = 0; i < ids.length; i += 1) {
    const logits = await decoder.read(ids.subarray(i, i + 1));
    const expected = full.subarray(i * tinyConfig.vocabSize, (i + 1) * tinyConfig.vocabSize);
    expect(relativeDifference(logits, expected)).toBeLessThan(tolerance);
  }
});

test("prefill in chunks gives the logits of prefill at once, bit for bit with those of one chunk size", async () => {
  using backend = openBackend({ threads: 2 });
  using weights = tinyWeights(backend);
  const ids = randomTokens(29, tinyConfig.vocabSize, 3);
  using whole = new Decoder(backend, weights, { contextTokens: 32, chunkTokens: 32 });
  using chunked = new Decoder(backend, weights, { contextTokens: 32, chunkTokens: 8 });
  expect(relativeDifference(await chunked.read(ids), await whole.read(ids))).toBeLessThan(1e-5);
});

test("after going back, a decoder answers as if it had never read on", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using decoder = new Decoder(backend, weights, { contextTokens: 32 });
  await decoder.read([1, 2, 3, 4]);
  const before = await decoder.read([5]);
  await decoder.read([6, 7, 8]);
  decoder.truncate(4);
  expect(await decoder.read([5])).toEqual(before);
});

test("the score of a text is the sum of its tokens' losses, whatever the chunks", async () => {
  using backend = openBackend({ threads: 2 });
  using weights = tinyWeights(backend);
  const ids = randomTokens(25, tinyConfig.vocabSize, 5);
  const full = await fullForward(backend, weights, ids.slice(0, 24));
  let expected = 0;
  for (let i = 0; i < 24; i += 1) {
    const row = [...full.subarray(i * tinyConfig.vocabSize, (i + 1) * tinyConfig.vocabSize)];
    expected += Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) - row[ids[i + 1]!]!;
  }
  using decoder = new Decoder(backend, weights, { contextTokens: 24, chunkTokens: 7 });
  expect(await decoder.score(ids.slice(0, 24), ids.slice(1))).toBeCloseTo(expected, 1);
});

test("a prompt longer than the context is refused and changes nothing", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using decoder = new Decoder(backend, weights, { contextTokens: 8 });
  await decoder.read([1, 2]);
  await expect(decoder.read(new Int32Array(7))).rejects.toThrow("9 tokens do not fit into the context of 8");
  await expect(decoder.read([])).rejects.toThrow("there are no tokens to read");
  await expect(decoder.read([tinyConfig.vocabSize])).rejects.toThrow("an index lies outside [0, 48)");
  expect(decoder.length).toBe(2);
});

test("an aborted signal stops a read before it starts", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using decoder = new Decoder(backend, weights);
  await expect(decoder.read([1], AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  expect(decoder.length).toBe(0);
});

test("a cache of q8_0 is a quarter of f32's and changes the logits little", async () => {
  using backend = openBackend({ threads: 1 });
  const config = { ...tinyConfig, dim: 128, headDim: 32 };
  using weights = createWeights(backend, config);
  const random = createRandom(1);
  // Scores of about 1, as attention has them.
  initialise(weights, () => random.next(), 0.1);
  using exact = new Decoder(backend, weights, { cacheType: "f32" });
  using small = new Decoder(backend, weights, { cacheType: "q8_0" });
  // Blocks of 32 in 34 bytes.
  expect(small.bytes / exact.bytes).toBeCloseTo(34 / 128, 5);
  const tokens = randomTokens(40, config.vocabSize, 3);
  // Of queries, keys and values, in two layers, half a step at most is lost: 1/254 of a block's largest value.
  expect(relativeDifference(await small.readAll(tokens), await exact.readAll(tokens))).toBeLessThan(6 / 254);
});

test("a cache of q8_0 wants heads of whole blocks", () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  expect(() => new Decoder(backend, weights, { cacheType: "q8_0" })).toThrow(
    "heads of 8 cannot be cached in q8_0, which has blocks of 32",
  );
});
