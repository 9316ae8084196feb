/** Embeddings of a model that was made to write: the mean or the last of a text's final states, scaled to length 1. */

import { ConfigError } from "../errors/errors.ts";
import { causalMask } from "../model/attention.ts";
import { finalStates } from "../model/llama.ts";
import type { LlamaWeights } from "../model/weights.ts";
import type { Backend } from "../tensor/backend.ts";
import { cachedAttention } from "../tensor/flash-attention.ts";
import { Graph } from "../tensor/graph.ts";
import { reshape } from "../tensor/ops.ts";

/** Which states stand for a text: all, or the last, which alone has seen the whole of it. */
export type Pooling = "mean" | "last";

/**
 * @param tokens at least one.
 * @returns `[dim]`
 */
export async function embedText(
  backend: Backend,
  weights: LlamaWeights,
  tokens: ArrayLike<number>,
  pooling: Pooling = "mean",
): Promise<Float32Array> {
  const { config } = weights;
  const seq = tokens.length;
  if (seq === 0) throw new ConfigError("there are no tokens to embed");
  using graph = new Graph("embedding", backend, { capacity: 64 + 48 * config.nLayers });
  graph.isRecording = false;
  const mask = causalMask(graph, seq);
  const states = finalStates(graph, weights, {
    batch: 1,
    seq,
    tokens: graph.constant(Int32Array.from(tokens), [seq], { dtype: "i32", limit: config.vocabSize }),
    positions: graph.constant(
      Int32Array.from({ length: seq }, (_, i) => i),
      [seq],
      { dtype: "i32" },
    ),
    attend: ({ q, k, v }) => {
      const flat = [seq, config.nKvHeads * config.headDim];
      const [keys, values] = [reshape(graph, k, flat), reshape(graph, v, flat)];
      return cachedAttention(graph, { q, keys, values, windows: [{ mask, start: 0 }] });
    },
  });
  graph.output(states);
  graph.allocate();
  await graph.compute();
  const rows = states.readF32();
  return unitMean(pooling === "last" ? rows.subarray(-config.dim) : rows, config.dim);
}

// --- internal ---

/** The mean of the rows, divided by its length. */
function unitMean(rows: Float32Array, dim: number): Float32Array {
  const mean = new Float32Array(dim);
  for (let i = 0; i < rows.length; i += 1) mean[i % dim]! += rows[i]!;
  const length = Math.hypot(...mean);
  return length === 0 ? mean : mean.map((value) => value / length);
}
