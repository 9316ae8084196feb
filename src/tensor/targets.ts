/**
 * The tokens that a graph asks the model for, one at each position: where their probabilities lie in the softmax.
 *
 * The softmax over the vocabulary is computed in chunks of rows, so that [tokens, vocab] is never held whole.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/** The graph's inputs that hold the tokens; `writeTargetTokens` fills them. */
export interface TargetTokens {
  readonly chunkRows: number;
  readonly vocabSize: number;
  /** Where each target's probability lies in its chunk's flat softmax: row · vocab + target. i32 `[tokens]` */
  readonly reads: Tensor;
  /** The same, for writing. i64 `[tokens]` */
  readonly writes: Tensor;
}

/** 2^24 logits (64 MiB) a chunk: large enough for full-speed products, small enough for any vocabulary. */
const chunkLogits = 2 ** 24;

export function createTargetTokens(g: Graph, tokens: number, vocabSize: number): TargetTokens {
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
  };
}

/** @param tokens `[tokens]`, each in [0, vocab) */
export function writeTargetTokens(targets: TargetTokens, tokens: Int32Array): void {
  const bad = tokens.findIndex((token) => token < 0 || token >= targets.vocabSize);
  if (bad >= 0) {
    throw new ConfigError(
      `target ${tokens[bad]} at position ${bad} lies outside the vocabulary of ${targets.vocabSize}`,
    );
  }
  const flat = tokens.map((token, i) => (i % targets.chunkRows) * targets.vocabSize + token);
  targets.reads.write(flat);
  targets.writes.write(BigInt64Array.from(flat, BigInt));
}
