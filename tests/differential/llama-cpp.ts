/** llama.cpp, through node-llama-cpp, on our files. */

import { getLlama, LlamaLogLevel, type Llama, type Token } from "node-llama-cpp";
import { expect } from "vitest";
import { Decoder } from "../../src/model/decoder.ts";
import { openWeights, readModelFiles } from "../../src/model/load.ts";
import { openBackend, type Backend } from "../../src/tensor/backend.ts";
import { relativeDifference } from "../tiny-model.ts";

/** Two threads wait for each other in every node: on a busy machine that costs a tiny model far more than it saves. */
export const threads = 1;

/** node-llama-cpp's prebuilt binding, or why it does not load here. It must neither download nor compile. */
export const binding: Llama | string = await getLlama({
  build: "never",
  skipDownload: true,
  gpu: false,
  maxThreads: threads,
  logLevel: LlamaLogLevel.disabled,
}).catch((error: unknown) => String(error));

/**
 * The two build the same graph from the same kernels, so in the same batches every product sums in the same order.
 * What may differ is which rows a layer computes at once, and so which kernel a product takes: f32 sums of up to
 * 64 products, in two layers, with rounding 2⁻²⁴ each.
 */
const tolerance = 64 * 2 ** -24;

export interface Reading {
  /** Each batch is read at once. */
  readonly batches: readonly Int32Array[];
  readonly contextTokens: number;
}

/** Logits after each batch, by llama.cpp; its keys and values are f16. */
async function theirLogits(path: string, { batches, contextTokens }: Reading): Promise<Float32Array[]> {
  const model = await (binding as Llama).loadModel({ modelPath: path, gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: contextTokens,
    batchSize: contextTokens,
    threads,
    flashAttention: true,
  });
  try {
    const sequence = context.getSequence();
    const all: Float32Array[] = [];
    for (const batch of batches) {
      const tokens = Array.from(batch, (id) => id as Token);
      const last = tokens.pop()!;
      const items = await sequence.controlledEvaluate([
        ...tokens,
        [last, { generateNext: { logits: true } }],
      ]);
      const logits = [...items.at(-1)!.next.logits!].sort(([a], [b]) => a - b);
      all.push(Float32Array.from(logits, ([, logit]) => logit));
    }
    return all;
  } finally {
    await context.dispose();
    await model.dispose();
  }
}

async function ourLogits(
  backend: Backend,
  path: string,
  { batches, contextTokens }: Reading,
): Promise<Float32Array[]> {
  using weights = openWeights(backend, readModelFiles(path));
  using decoder = new Decoder(backend, weights, { contextTokens, cacheType: "f16" });
  const all: Float32Array[] = [];
  for (const batch of batches) all.push(await decoder.read(batch));
  return all;
}

export async function expectSameLogits(path: string, reading: Reading): Promise<void> {
  using backend = openBackend({ threads });
  const theirs = await theirLogits(path, reading);
  const ours = await ourLogits(backend, path, reading);
  for (const [i, logits] of ours.entries()) {
    expect(logits).toHaveLength(theirs[i]!.length);
    expect(relativeDifference(logits, theirs[i]!)).toBeLessThan(tolerance);
  }
}
