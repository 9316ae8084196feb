/**
 * What a model attends to along a dialog (Llama 2 figure 10): the greatest attention over all layers and heads of each
 * token to each before it, neighbouring tokens binned together.
 */

import { attendedValues, attentionProbabilities, causalMask } from "../model/attention.ts";
import { finalStates, type AttentionInputs } from "../model/llama.ts";
import type { LlamaWeights } from "../model/weights.ts";
import type { Backend } from "../tensor/backend.ts";
import { Graph } from "../tensor/graph.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Greatest attention of each query to each key, 0 where the key comes later. `[tokens, tokens]` */
export async function greatestAttention(
  backend: Backend,
  weights: LlamaWeights,
  tokens: Int32Array,
): Promise<Float32Array> {
  const { config } = weights;
  const seq = tokens.length;
  using g = new Graph("attention map", backend, { capacity: 1024 + 64 * config.nLayers });
  g.isRecording = false;
  const ids = g.constant(tokens, [seq], { dtype: "i32", limit: config.vocabSize });
  const positions = g.constant(
    Int32Array.from({ length: seq }, (_, i) => i),
    [seq],
    { dtype: "i32" },
  );
  const mask = causalMask(g, seq);
  const maps: Tensor[] = [];
  const attend = (inputs: AttentionInputs): Tensor => {
    const probabilities = g.output(attentionProbabilities(g, inputs, mask));
    maps.push(probabilities);
    return attendedValues(g, probabilities, inputs);
  };
  g.output(finalStates(g, weights, { batch: 1, seq, tokens: ids, positions, attend }));
  g.allocate();
  await g.compute();
  const greatest = new Float32Array(seq * seq);
  for (const map of maps) {
    const values = map.readF32();
    for (let i = 0; i < values.length; i += 1) {
      const place = i % greatest.length;
      if (values[i]! > greatest[place]!) greatest[place] = values[i]!;
    }
  }
  return greatest;
}

/** The greatest of each bin of `size` by `size` cells. `[⌈n / size⌉, ⌈n / size⌉]` */
export function binned(map: Float32Array, n: number, size: number): number[][] {
  const bins = Math.ceil(n / size);
  const rows = Array.from({ length: bins }, () => Array.from({ length: bins }, () => 0));
  for (let query = 0; query < n; query += 1) {
    for (let key = 0; key <= query; key += 1) {
      const row = rows[Math.floor(query / size)]!;
      const bin = Math.floor(key / size);
      row[bin] = Math.max(row[bin]!, map[query * n + key]!);
    }
  }
  return rows;
}

/** Mean over some queries of their greatest attention to any of some keys: how much an answer looks at an instruction. */
export function attentionOn(
  map: Float32Array,
  n: number,
  { queries, keys }: { queries: readonly [number, number]; keys: readonly [number, number] },
): number {
  let sum = 0;
  for (let query = queries[0]; query < queries[1]; query += 1) {
    let most = 0;
    for (let key = keys[0]; key < keys[1]; key += 1) most = Math.max(most, map[query * n + key]!);
    sum += most;
  }
  return sum / (queries[1] - queries[0]);
}
