/**
 * Causal attention with grouped queries (Ainslie et al. 2023; Llama 2 §2.2), materialised, with gradients.
 *
 * Query head h uses key-value head h / (nHeads / nKvHeads). The heads of a group lie side by side, so their queries
 * count as further rows for the one key-value head, and nothing is repeated.
 */

import type { Graph } from "../tensor/graph.ts";
import { matmul } from "../tensor/matmul.ts";
import { permute, reshape, softmax } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AttentionInputs } from "./llama.ts";

/** 0 where a query may look, -inf after it, in the bits of f16. `[seq, seq]` */
export function causalMask(g: Graph, seq: number): Tensor {
  const bits = new Uint16Array(seq * seq);
  for (let query = 0; query < seq; query += 1)
    bits.fill(minusInfinity, query * seq + query + 1, (query + 1) * seq);
  return g.constant(bits, [seq, seq], { dtype: "f16" });
}

/** -inf in f16. */
export const minusInfinity = 0xfc00;

/**
 * softmax(q kᵀ / √headDim + mask) v.
 *
 * @returns `[batch · seq, nHeads · headDim]`
 */
export function causalAttention(g: Graph, inputs: AttentionInputs, mask: Tensor): Tensor {
  return attendedValues(g, attentionProbabilities(g, inputs, mask), inputs);
}

/** How much each query attends to each key: softmax(q kᵀ / √headDim + mask). `[batch, nHeads, seq, seq]` */
export function attentionProbabilities(g: Graph, { q, k }: AttentionInputs, mask: Tensor): Tensor {
  const [batch, seq, nHeads, headDim] = q.shape as [number, number, number, number];
  const nKvHeads = k.shape[2]!;
  const groupRows = (nHeads / nKvHeads) * seq;
  const queries = reshape(g, permute(g, q, [0, 2, 1, 3]), [batch, nKvHeads, groupRows, headDim]);
  const keys = permute(g, k, [0, 2, 1, 3]);
  const scores = reshape(g, matmul(g, queries, keys), [batch, nHeads, seq, seq]);
  return softmax(g, scores, mask, 1 / Math.sqrt(headDim));
}

/** The values, mixed by those probabilities. `[batch · seq, nHeads · headDim]` */
export function attendedValues(g: Graph, probabilities: Tensor, { q, v }: AttentionInputs): Tensor {
  const [batch, seq, nHeads, headDim] = q.shape as [number, number, number, number];
  const nKvHeads = v.shape[2]!;
  const groupRows = (nHeads / nKvHeads) * seq;
  const valuesT = permute(g, v, [0, 2, 3, 1]);
  const mixed = matmul(g, reshape(g, probabilities, [batch, nKvHeads, groupRows, seq]), valuesT);
  const heads = permute(g, reshape(g, mixed, [batch, nHeads, seq, headDim]), [0, 2, 1, 3]);
  return reshape(g, heads, [batch * seq, nHeads * headDim]);
}
