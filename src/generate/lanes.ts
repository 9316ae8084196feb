/**
 * Answers to many prompts by as many decoders as suit the model. Threads that share a small model's graph wait for each
 * other at every node; in lanes each has a batch of its own.
 */

import { BatchDecoder } from "../model/batch-decoder.ts";
import { lanesFor } from "../model/lanes.ts";
import type { LlamaWeights } from "../model/weights.ts";
import type { Backend, Lane } from "../tensor/backend.ts";
import { generateBatch, type BatchAnswer, type BatchRequest } from "./batch.ts";
import { interleaved } from "./interleaved.ts";

export interface LaneSource {
  readonly backend: Backend;
  readonly weights: LlamaWeights;
}

export interface LaneOptions {
  /** Answers that are written at once, in all lanes together. */
  readonly maxSequences: number;
}

/**
 * As {@link generateBatch}; an answer follows from its own seed, in whatever lane it is written.
 *
 * @yields answers as they are finished.
 */
export async function* generateInLanes(
  source: LaneSource,
  requests: readonly BatchRequest[],
  { maxSequences }: LaneOptions,
  signal?: AbortSignal,
): AsyncGenerator<BatchAnswer, void> {
  const lanes = Math.max(
    1,
    Math.min(lanesFor(source.backend, source.weights), requests.length, maxSequences),
  );
  const answers = Array.from({ length: lanes }, (_, index) =>
    laneAnswers(
      { ...source, lane: { index, of: lanes } },
      requests.filter((__, i) => i % lanes === index),
      { maxSequences: Math.ceil(maxSequences / lanes) },
      signal,
    ),
  );
  for await (const { lane, value } of interleaved(answers))
    yield { ...value, request: value.request * lanes + lane };
}

// --- internal ---

async function* laneAnswers(
  { backend, weights, lane }: LaneSource & { readonly lane: Lane },
  requests: readonly BatchRequest[],
  options: LaneOptions,
  signal: AbortSignal | undefined,
): AsyncGenerator<BatchAnswer, void> {
  using decoder = new BatchDecoder(backend, weights, { cells: cellsFor(requests, weights, options), lane });
  yield* generateBatch(decoder, requests, options, signal);
}

/** Memory for keys and values that is taken only if one answer needs it. */
const mostCacheBytes = 512 * 2 ** 20;

/** Enough for as many answers as run at once, within the bounds of memory. */
function cellsFor(
  requests: readonly BatchRequest[],
  { config, layers }: LlamaWeights,
  { maxSequences }: LaneOptions,
): number {
  const lengths = requests.map(({ prompt, seeds, options }) => {
    const answer = Math.min(options.maxTokens, Math.max(0, config.maxSeqLen - prompt.length));
    return { one: prompt.length + answer, all: prompt.length + seeds.length * answer };
  });
  const longest = Math.max(...lengths.map(({ one }) => one));
  const all = lengths.reduce((sum, length) => sum + length.all, 0);
  const bytes = layers[0]?.wk.dtype === "f32" ? 4 : 2;
  const cellBytes = 2 * config.nLayers * config.nKvHeads * config.headDim * bytes;
  return Math.max(longest, Math.min(all, maxSequences * longest, Math.floor(mostCacheBytes / cellBytes)));
}
