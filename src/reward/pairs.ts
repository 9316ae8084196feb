/**
 * Comparisons as micro-batches: the two answers of a pair are two rows of one micro-batch, filled up at the end.
 * Attention is causal and the score is read at the answer's last token, so what fills up changes nothing.
 *
 * Rows are as long as the micro-batch's longest answer, rounded up; the pairs of a step are put into micro-batches by
 * length, so little of a row is filling. Packing several answers into a row, each attending to itself alone, would
 * leave none, but attention costs the square of the row: with rows of 512 tokens that is as slow, and of 1024 much slower
 * (docs/log.md).
 */

import type { Comparison } from "../preference/comparison.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { encodeAnswer, paddedLength } from "./encode.ts";
import { marginOf, safetySigns, type MarginTable } from "./loss.ts";

/** A comparison in tokens. */
export interface EncodedPair {
  readonly chosen: Int32Array;
  readonly rejected: Int32Array;
  readonly margin: number;
  /** 1 safe, -1 unsafe, 0 not known. */
  readonly safety: { readonly chosen: number; readonly rejected: number };
}

/** Pairs that are computed at once: all chosen answers, then all rejected ones. */
export interface PairBatch {
  /** `[2 · pairs, seq]` */
  readonly tokens: Int32Array;
  /** Where each answer ends in `tokens`. `[2 · pairs]` */
  readonly ends: Int32Array;
  /** `[pairs]` */
  readonly margins: Float32Array;
  /** `[2 · pairs]` */
  readonly safety: Float32Array;
  /** 1, and 0 for a pair that only fills up the micro-batch. `[pairs]` */
  readonly weights: Float32Array;
}

export interface EncodeOptions {
  /** Most tokens of a conversation with its answer; longer ones lose their beginning. */
  readonly seqLen: number;
  readonly margin: MarginTable;
}

export function encodePair(
  { prompt, chosen, rejected, strength, safety }: Comparison,
  tokenizer: Tokenizer,
  { seqLen, margin }: EncodeOptions,
): EncodedPair {
  return {
    chosen: encodeAnswer(prompt, chosen, tokenizer, seqLen),
    rejected: encodeAnswer(prompt, rejected, tokenizer, seqLen),
    margin: marginOf(margin, strength),
    safety: safetySigns(safety),
  };
}

export interface BatchSize {
  /** Pairs in a micro-batch. */
  readonly pairs: number;
  /** Longest row. */
  readonly seqLen: number;
  /** Fills rows up; it is never looked at. */
  readonly padId: number;
}

/** Pairs in micro-batches of about equal length, the longest first, so that what memory is needed is known at once. */
export function pairBatches(pairs: readonly EncodedPair[], size: BatchSize): PairBatch[] {
  const sorted = pairs.toSorted((a, b) => longestOf(b) - longestOf(a));
  const batches: PairBatch[] = [];
  for (let from = 0; from < sorted.length; from += size.pairs)
    batches.push(pairBatch(sorted.slice(from, from + size.pairs), size));
  return batches;
}

export function longestOf({ chosen, rejected }: EncodedPair): number {
  return Math.max(chosen.length, rejected.length);
}

// --- internal ---

function pairBatch(pairs: readonly EncodedPair[], { pairs: count, seqLen, padId }: BatchSize): PairBatch {
  const seq = paddedLength(Math.max(...pairs.map(longestOf)), seqLen);
  const batch: PairBatch = {
    tokens: new Int32Array(2 * count * seq).fill(padId),
    ends: new Int32Array(2 * count),
    margins: new Float32Array(count),
    safety: new Float32Array(2 * count),
    weights: new Float32Array(count),
  };
  for (const [i, { chosen, rejected, margin, safety }] of pairs.entries()) {
    for (const [row, answer] of [
      [i, chosen],
      [count + i, rejected],
    ] as const) {
      batch.tokens.set(answer, row * seq);
      batch.ends[row] = row * seq + answer.length - 1;
    }
    batch.margins[i] = margin;
    batch.safety.set([safety.chosen], i);
    batch.safety.set([safety.rejected], count + i);
    batch.weights[i] = 1;
  }
  return batch;
}
