/**
 * Some rows of states through the output head: the softmax over the vocabulary, in the memory of the logits, the
 * log-probabilities of the targets, and from the same memory the gradients by the states and the head.
 */

import type { Graph } from "./graph.ts";
import type { Pointer } from "../engine/ffi.ts";
import { matmul, transposed } from "./matmul.ts";
import { add, slice } from "./ops.ts";
import { sameShape, shapeError } from "./shape.ts";
import type { TargetTokens } from "./targets.ts";
import type { Tensor } from "./tensor.ts";

export interface HeadInputs {
  /** Final hidden states. `[tokens, dim]` */
  readonly x: Tensor;
  /** `[vocab, dim]` */
  readonly head: Tensor;
  /** The tokens to predict. */
  readonly targets: TargetTokens;
  /** Added to every row of logits: -Infinity for a token that is never said. `[vocab]` */
  readonly bias?: Tensor | undefined;
}

/** @throws {ConfigError} when states, head and targets are not of one model and length. */
export function checkHeadInputs(op: string, { x, head, targets, bias }: HeadInputs): void {
  if (x.shape.length !== 2 || head.shape.length !== 2 || x.shape[1] !== head.shape[1]) {
    throw shapeError(op, x.shape, head.shape, "wants [tokens, dim] and [vocab, dim]");
  }
  if (targets.reads.shape[0] !== x.shape[0] || targets.vocabSize !== head.shape[0]) {
    throw shapeError(op, x.shape, head.shape, "the targets were made for other sizes");
  }
  if (bias !== undefined && !sameShape(bias.shape, [targets.vocabSize])) {
    throw shapeError(op, bias.shape, head.shape, "the bias is not one number for each row of the head");
  }
}

export interface SoftmaxChunk {
  /** The first of its rows among all. */
  readonly from: number;
  readonly rows: number;
  /** `[rows, dim]` */
  readonly x: Tensor;
  readonly head: Tensor;
  /** The softmax, flat. `[rows · vocab, 1]` */
  readonly probabilities: Pointer;
  /** The targets' probabilities. `[rows, 1]` */
  readonly p: Pointer;
  /** log p. `[rows, 1]` */
  readonly logprobs: Tensor;
  /** i64 `[rows]` */
  readonly writes: Tensor;
}

/**
 * The rows in chunks.
 *
 * @yields one after another: each is used up before the next is asked for.
 */
export function* softmaxChunks(g: Graph, { x, head, targets, bias }: HeadInputs): Generator<SoftmaxChunk> {
  const { ggml } = g.backend.library;
  const [tokens, vocab] = [x.shape[0]!, head.shape[0]!];
  for (let from = 0; from < tokens; from += targets.chunkRows) {
    const rows = Math.min(targets.chunkRows, tokens - from);
    const chunkX = slice(g, x, from, rows);
    const reads = slice(g, targets.reads, from, rows);
    const { ptr } = matmul(g, chunkX, head);
    const logits = bias === undefined ? ptr : ggml.addInplace(g.reserve(), ptr, bias.ptr);
    const softmax = ggml.softMaxInplace(g.reserve(), logits);
    const probabilities = ggml.reshape4d(g.reserve(), softmax, 1, rows * vocab, 1, 1);
    const p = ggml.getRows(g.reserve(), probabilities, reads.ptr);
    // 1e-37 keeps the logarithm of a probability that underflowed finite, and lets NaN through.
    const logP = ggml.log(g.reserve(), ggml.scaleBias(g.reserve(), p, 1, 1e-37));
    const logprobs = g.node(logP, [rows, 1]);
    const writes = slice(g, targets.writes, from, rows);
    yield { from, rows, x: chunkX, head, probabilities, p, logprobs, writes };
  }
}

/** What the chunks' gradients are gathered in. */
export interface HeadGradients {
  /** By the states, the chunks' rows side by side. `[tokens, dim]` */
  readonly x: Tensor;
  /** By the head, summed over the chunks. `[vocab, dim]` */
  head: Tensor | undefined;
}

export function createHeadGradients(g: Graph, x: Tensor): HeadGradients {
  return { x: g.input(x.shape), head: undefined };
}

/**
 * Adds the gradients of Σᵢ wᵢ · (-log pᵢ), and uses up the chunk's memory: dL/dlogits = w · (p - onehot).
 *
 * @param weights w. `[rows, 1]`
 */
export function addChunkGradients(
  g: Graph,
  chunk: SoftmaxChunk,
  weights: Tensor,
  gradients: HeadGradients,
): void {
  const { ggml } = g.backend.library;
  const { rows, from, x, head, probabilities, p, writes } = chunk;
  const lessOne = ggml.scaleBias(g.reserve(), p, 1, -1);
  const difference = ggml.setRows(g.reserve(), probabilities, lessOne, writes.ptr);
  const vocab = head.shape[0]!;
  const dLogits = g.node(ggml.reshape4d(g.reserve(), difference, vocab, rows, 1, 1), [rows, vocab]);
  // The weight is applied on the narrow side: to x and dx, not to [rows, vocab].
  const dx = weightRows(g, product(g, dLogits, transposed(g, head)), weights);
  g.effect(g.node(ggml.cpy(g.reserve(), dx.ptr, slice(g, gradients.x, from, rows).ptr), x.shape));
  const dHead = product(g, transposed(g, dLogits), transposed(g, weightRows(g, x, weights)));
  gradients.head = g.effect(gradients.head === undefined ? dHead : add(g, gradients.head, dHead));
}

// --- internal ---

/** The product of operands that are already laid out and cast. */
function product(g: Graph, x: Tensor, w: Tensor): Tensor {
  const ptr = g.backend.library.ggml.mulMat(g.reserve(), w.ptr, x.ptr);
  return g.node(ptr, [x.shape[0]!, w.shape[0]!]);
}

function weightRows(g: Graph, x: Tensor, weights: Tensor): Tensor {
  return g.node(g.backend.library.ggml.mul(g.reserve(), x.ptr, weights.ptr), x.shape);
}
