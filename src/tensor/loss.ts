/**
 * Next-token cross-entropy with a weight per token, from the hidden states and the output head.
 *
 * Rows go through the head in chunks: logits, softmax in place, loss, and at once the gradients by the hidden states
 * and the head, in the same memory. So [tokens, vocab] is never held whole, let alone twice.
 */

import type { Graph } from "./graph.ts";
import { matmul, transposed } from "./matmul.ts";
import { add, slice } from "./ops.ts";
import { shapeError } from "./shape.ts";
import type { Tensor } from "./tensor.ts";
import { ConfigError } from "../errors/errors.ts";

export interface CrossEntropyInputs {
  /** Final hidden states. `[tokens, dim]` */
  readonly x: Tensor;
  /** `[vocab, dim]` */
  readonly head: Tensor;
  /** The tokens to predict. */
  readonly targets: Targets;
}

/** The graph's inputs that hold the targets and their weights; `writeTargets` fills them. */
export interface Targets {
  readonly chunkRows: number;
  readonly vocabSize: number;
  /** Where each target's probability lies in its chunk's flat softmax: row · vocab + target. i32 `[tokens]` */
  readonly reads: Tensor;
  /** The same, for writing. i64 `[tokens]` */
  readonly writes: Tensor;
  /** What each token's loss counts; 0 for none. `[tokens]` */
  readonly weights: Tensor;
}

/** 2^24 logits (64 MiB) a chunk: large enough for full-speed products, small enough for any vocabulary. */
const chunkLogits = 2 ** 24;

export function createTargets(g: Graph, tokens: number, vocabSize: number): Targets {
  // Products run over a chunk's rows as their inner dimension, which bf16 wants in multiples of 32.
  const chunkRows = Math.min(tokens, Math.max(32, Math.floor(chunkLogits / vocabSize / 32) * 32));
  const limit = chunkRows * vocabSize;
  if (limit >= 2 ** 31) {
    throw new ConfigError(
      `cross-entropy: a vocabulary of ${vocabSize} is too large for ${chunkRows} rows at once`,
    );
  }
  return {
    chunkRows,
    vocabSize,
    reads: g.input([tokens], { dtype: "i32", limit }),
    writes: g.input([tokens], { dtype: "i64", limit }),
    weights: g.input([tokens]),
  };
}

/**
 * Uploads targets and weights.
 *
 * @param tokens  `[tokens]`, each in [0, vocab)
 * @param weights what each token's loss is multiplied by. `[tokens]`
 */
export function writeTargets(targets: Targets, tokens: Int32Array, weights: Float32Array): void {
  const bad = tokens.findIndex((token) => token < 0 || token >= targets.vocabSize);
  if (bad >= 0) {
    throw new ConfigError(
      `target ${tokens[bad]} at position ${bad} lies outside the vocabulary of ${targets.vocabSize}`,
    );
  }
  const flat = tokens.map((token, i) => (i % targets.chunkRows) * targets.vocabSize + token);
  targets.reads.write(flat);
  targets.writes.write(BigInt64Array.from(flat, BigInt));
  targets.weights.write(weights);
}

/**
 * L = Σᵢ wᵢ · (-log softmax(head · xᵢ)[targetᵢ]). In nats. [1]
 */
export function crossEntropy(g: Graph, inputs: CrossEntropyInputs): Tensor {
  const { x, head, targets } = inputs;
  const tokens = x.shape[0]!;
  if (x.shape.length !== 2 || head.shape.length !== 2 || x.shape[1] !== head.shape[1]) {
    throw shapeError("crossEntropy", x.shape, head.shape, "wants [tokens, dim] and [vocab, dim]");
  }
  if (targets.reads.shape[0] !== tokens || targets.vocabSize !== head.shape[0]) {
    throw shapeError("crossEntropy", x.shape, head.shape, "the targets were made for other sizes");
  }
  const wasRecording = g.isRecording;
  const wantsGradients = wasRecording && (x.requiresGrad || head.requiresGrad);
  g.isRecording = false;
  // The chunks' gradients by x are written here side by side.
  const dx = wantsGradients ? g.input(x.shape) : undefined;
  const sums: Sums = { loss: undefined, dHead: undefined };
  for (let from = 0; from < tokens; from += targets.chunkRows) {
    const rows = Math.min(targets.chunkRows, tokens - from);
    addChunk(
      g,
      chunkOf(g, inputs, from, rows),
      sums,
      dx === undefined ? undefined : slice(g, dx, from, rows),
    );
  }
  g.isRecording = wasRecording;
  const { loss, dHead } = sums;
  if (loss === undefined || dx === undefined || dHead === undefined) return loss!;
  return g.differentiable(
    loss.ptr,
    [1],
    [
      [x, (dy) => scaled(g, dx, dy)],
      [head, (dy) => scaled(g, dHead, dy)],
    ],
  );
}

// --- internal ---

interface Sums {
  loss: Tensor | undefined;
  dHead: Tensor | undefined;
}

interface Chunk {
  readonly x: Tensor;
  readonly head: Tensor;
  readonly reads: Tensor;
  readonly writes: Tensor;
  /** `[rows, 1]` */
  readonly weights: Tensor;
}

function chunkOf(g: Graph, { x, head, targets }: CrossEntropyInputs, from: number, rows: number): Chunk {
  const weights = slice(g, targets.weights, from, rows);
  const column = g.backend.library.ggml.reshape4d(g.reserve(), weights.ptr, 1, rows, 1, 1);
  return {
    x: slice(g, x, from, rows),
    head,
    reads: slice(g, targets.reads, from, rows),
    writes: slice(g, targets.writes, from, rows),
    weights: g.node(column, [rows, 1]),
  };
}

function addChunk(g: Graph, chunk: Chunk, sums: Sums, dx: Tensor | undefined): void {
  const { ggml } = g.backend.library;
  const [rows, vocab] = [chunk.x.shape[0]!, chunk.head.shape[0]!];
  const logits = matmul(g, chunk.x, chunk.head);
  const probabilities = ggml.softMaxInplace(g.reserve(), logits.ptr);
  const flat = ggml.reshape4d(g.reserve(), probabilities, 1, rows * vocab, 1, 1);
  const p = ggml.getRows(g.reserve(), flat, chunk.reads.ptr);
  // 1e-37 keeps the logarithm of a probability that underflowed finite, and lets NaN through.
  const logP = ggml.log(g.reserve(), ggml.scaleBias(g.reserve(), p, 1, 1e-37));
  const weighted = ggml.sum(g.reserve(), ggml.mul(g.reserve(), logP, chunk.weights.ptr));
  const loss = g.node(ggml.scale(g.reserve(), weighted, -1), [1]);
  sums.loss = g.effect(sums.loss === undefined ? loss : add(g, sums.loss, loss));
  if (dx === undefined) return;

  // dL/dlogits = w · (p - onehot). The weight is applied on the narrow side: to x and dx, not to [rows, vocab].
  const lessOne = ggml.scaleBias(g.reserve(), p, 1, -1);
  const difference = ggml.setRows(g.reserve(), flat, lessOne, chunk.writes.ptr);
  const dLogits = g.node(ggml.reshape4d(g.reserve(), difference, vocab, rows, 1, 1), [rows, vocab]);
  const dChunk = weightRows(g, product(g, dLogits, transposed(g, chunk.head)), chunk.weights);
  g.effect(g.node(ggml.cpy(g.reserve(), dChunk.ptr, dx.ptr), dx.shape));
  const weightedX = weightRows(g, chunk.x, chunk.weights);
  const dHead = product(g, transposed(g, dLogits), transposed(g, weightedX));
  sums.dHead = g.effect(sums.dHead === undefined ? dHead : add(g, sums.dHead, dHead));
}

/** The product of operands that are already laid out and cast. */
function product(g: Graph, x: Tensor, w: Tensor): Tensor {
  const ptr = g.backend.library.ggml.mulMat(g.reserve(), w.ptr, x.ptr);
  return g.node(ptr, [x.shape[0]!, w.shape[0]!]);
}

function weightRows(g: Graph, x: Tensor, weights: Tensor): Tensor {
  return g.node(g.backend.library.ggml.mul(g.reserve(), x.ptr, weights.ptr), x.shape);
}

function scaled(g: Graph, x: Tensor, factor: Tensor): Tensor {
  return g.node(g.backend.library.ggml.mul(g.reserve(), x.ptr, factor.ptr), x.shape);
}
