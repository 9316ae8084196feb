/**
 * A Llama that scores: "the classification head for next-token prediction is replaced with a regression head for
 * outputting a scalar reward" (Llama 2 §3.2.2). The head is one row, without bias; what it gives for a token is
 * the score of the text up to it. A reward model is read at the last token of an answer, a value function at each.
 */

import type { Backend } from "../tensor/backend.ts";
import type { Graph } from "../tensor/graph.ts";
import { matmul } from "../tensor/matmul.ts";
import { reshape } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { normal } from "./initialise.ts";
import { loadMasterWeights, type ModelFiles } from "./load.ts";
import type { LlamaWeights, OwnedWeights } from "./weights.ts";

/**
 * One number for each state.
 *
 * @param states normalised states. `[n, dim]`
 * @param head   `[1, dim]`
 * @returns `[n]`
 */
export function scalars(g: Graph, states: Tensor, head: Tensor): Tensor {
  return reshape(g, matmul(g, states, head), [states.shape[0]!]);
}

/**
 * What makes the logits of ids that are not in the tokenizer -Infinity in a graph, as `banUnused` does in what a
 * decoder read; nothing where there are none. `[vocab]`
 */
export function unusedBias(g: Graph, { unusedIds, config }: LlamaWeights): Tensor | undefined {
  if (unusedIds.length === 0) return undefined;
  const bias = new Float32Array(config.vocabSize);
  for (const id of unusedIds) bias[id] = Number.NEGATIVE_INFINITY;
  return g.constant(bias, [config.vocabSize]);
}

/**
 * f32 weights of a chat model whose head is replaced by a scalar one; the caller disposes them. Meta has not published
 * how the new head starts: here it is N(0, 1 / (dim + 1)), as in Stiennon et al. 2020, so that first scores are of
 * order 1 for states of order 1.
 *
 * @param next uniform in [0, 1), a fixed sequence for a fixed seed.
 */
export function withScalarHead(backend: Backend, files: ModelFiles, next: () => number): OwnedWeights {
  const weights = loadMasterWeights(backend, files, "scalar");
  weights.head.write(normal(weights.config.dim, 1 / Math.sqrt(weights.config.dim + 1), next));
  return weights;
}
