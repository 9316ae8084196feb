/**
 * Next-token cross-entropy with a weight per token, from the hidden states and the output head.
 *
 * Rows go through the head in chunks: logits, softmax in place, loss, and at once the gradients by the hidden states
 * and the head, in the same memory. So [tokens, vocab] is never held whole, let alone twice.
 */

import type { Graph } from "./graph.ts";
import { add, mulScalar, reshape, slice } from "./ops.ts";
import {
  addChunkGradients,
  checkHeadInputs,
  createHeadGradients,
  softmaxChunks,
  type HeadInputs,
} from "./softmax-chunk.ts";
import { createTargetTokens, writeTargetTokens, type TargetTokens } from "./targets.ts";
import type { Tensor } from "./tensor.ts";

export interface CrossEntropyInputs extends HeadInputs {
  readonly targets: Targets;
}

/** The graph's inputs that hold the targets and their weights; `writeTargets` fills them. */
export interface Targets extends TargetTokens {
  /** What each token's loss counts; 0 for none. `[tokens]` */
  readonly weights: Tensor;
}

export function createTargets(g: Graph, tokens: number, vocabSize: number): Targets {
  return { ...createTargetTokens(g, tokens, vocabSize), weights: g.input([tokens]) };
}

/**
 * Uploads targets and weights.
 *
 * @param tokens  `[tokens]`, each in [0, vocab)
 * @param weights what each token's loss is multiplied by. `[tokens]`
 */
export function writeTargets(targets: Targets, tokens: Int32Array, weights: Float32Array): void {
  writeTargetTokens(targets, tokens);
  targets.weights.write(weights);
}

/**
 * L = Σᵢ wᵢ · (-log softmax(head · xᵢ)[targetᵢ]). In nats. [1]
 */
export function crossEntropy(g: Graph, inputs: CrossEntropyInputs): Tensor {
  checkHeadInputs("crossEntropy", inputs);
  const { x, head, targets } = inputs;
  const wasRecording = g.isRecording;
  const wantsGradients = wasRecording && (x.requiresGrad || head.requiresGrad);
  g.isRecording = false;
  const gradients = wantsGradients ? createHeadGradients(g, x) : undefined;
  let loss: Tensor | undefined;
  for (const chunk of softmaxChunks(g, inputs)) {
    const weights = reshape(g, slice(g, targets.weights, chunk.from, chunk.rows), [chunk.rows, 1]);
    const part = negativeSum(g, chunk.logprobs, weights);
    loss = g.effect(loss === undefined ? part : add(g, loss, part));
    if (gradients !== undefined) addChunkGradients(g, chunk, weights, gradients);
  }
  g.isRecording = wasRecording;
  if (gradients === undefined) return loss!;
  return g.differentiable(
    loss!.ptr,
    [1],
    [
      [x, (dy) => mulScalar(g, gradients.x, dy)],
      [head, (dy) => mulScalar(g, gradients.head!, dy)],
    ],
  );
}

// --- internal ---

function negativeSum(g: Graph, logprobs: Tensor, weights: Tensor): Tensor {
  const { ggml } = g.backend.library;
  const weighted = ggml.sum(g.reserve(), ggml.mul(g.reserve(), logprobs.ptr, weights.ptr));
  return g.node(ggml.scale(g.reserve(), weighted, -1), [1]);
}
