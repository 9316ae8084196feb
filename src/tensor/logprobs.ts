/**
 * Log-probabilities of given tokens, with gradients for whatever is made of them: policy gradients, preferences.
 *
 * Rows go through the head in chunks, and again in the backward pass, when the gradient by each log-probability is
 * known: [tokens, vocab] is never held whole, and a chunk's softmax not from one pass to the other.
 */

import type { Graph } from "./graph.ts";
import { reshape, scale, slice } from "./ops.ts";
import {
  addChunkGradients,
  checkHeadInputs,
  createHeadGradients,
  softmaxChunks,
  type HeadGradients,
  type HeadInputs,
} from "./softmax-chunk.ts";
import type { Tensor } from "./tensor.ts";

/**
 * log softmax(head · xᵢ)[targetᵢ], in nats. No less than log 1e-37. `[tokens]`
 */
export function tokenLogprobs(g: Graph, inputs: HeadInputs): Tensor {
  checkHeadInputs("tokenLogprobs", inputs);
  const { x, head } = inputs;
  const wasRecording = g.isRecording;
  g.isRecording = false;
  const logprobs = g.input([x.shape[0]!]);
  for (const chunk of softmaxChunks(g, inputs))
    copyInto(g, slice(g, logprobs, chunk.from, chunk.rows), chunk.logprobs);
  g.isRecording = wasRecording;
  const gradients = once((dy) => backwardChunks(g, inputs, dy));
  return g.differentiable(logprobs.ptr, logprobs.shape, [
    [x, (dy) => gradients(dy).x],
    [head, (dy) => gradients(dy).head!],
  ]);
}

// --- internal ---

/** @param dy gradient by each log-probability. `[tokens]` */
function backwardChunks(g: Graph, inputs: HeadInputs, dy: Tensor): HeadGradients {
  const gradients = createHeadGradients(g, inputs.x);
  for (const chunk of softmaxChunks(g, inputs)) {
    // A chunk's gradients are those of -log p.
    const weights = scale(g, slice(g, dy, chunk.from, chunk.rows), -1);
    addChunkGradients(g, chunk, reshape(g, weights, [chunk.rows, 1]), gradients);
  }
  return gradients;
}

/** Both inputs ask for the gradients of one and the same dy. */
function once(compute: (dy: Tensor) => HeadGradients): (dy: Tensor) => HeadGradients {
  let known: HeadGradients | undefined;
  return (dy) => (known ??= compute(dy));
}

function copyInto(g: Graph, target: Tensor, x: Tensor): void {
  const { ggml } = g.backend.library;
  const flat = reshape(g, x, target.shape);
  g.effect(g.node(ggml.cpy(g.reserve(), flat.ptr, target.ptr), target.shape));
}
