/**
 * Rollouts as the rows of micro-batches: the prompt, the answer, and padding on the right.
 *
 * A position stands for the token after it, as in every loss here: what is known of an answer's first token lies where
 * the prompt's last token is read. Micro-batches are made once in an iteration and computed in the same company ever
 * after: so a policy that has not moved gives the same bits again, and its ratio is exactly 1.
 */

import { shuffle, type Random } from "../corpus/random.ts";
import type { Rollout } from "./rollout.ts";

/** A micro-batch. Arrays are `[batch, seq]`. */
export interface Sequences {
  readonly tokens: Int32Array;
  /** The token after each. */
  readonly targets: Int32Array;
  /** 1 where the target is a token of an answer. */
  readonly mask: Float32Array;
  /** A micro-batch that is not full has fewer than `batch`. */
  readonly rows: readonly Row[];
}

/** Where the targets of an answer lie in the arrays. */
export interface Row {
  /** Place of the rollout. */
  readonly rollout: number;
  readonly from: number;
  readonly length: number;
}

/** A micro-batch with what the losses need. Arrays are `[batch, seq]`. */
export interface PpoBatch extends Sequences {
  readonly oldLogprobs: Float32Array;
  readonly advantages: Float32Array;
  readonly oldValues: Float32Array;
  readonly returns: Float32Array;
}

export interface LayoutOptions {
  /** Rollouts to a gradient step. */
  readonly miniBatchSize: number;
  /** Rollouts computed at once. */
  readonly microBatchSize: number;
  /** Tokens of the longest row that may be. */
  readonly maxTokens: number;
  readonly padId: number;
}

/** @returns the micro-batches of each mini-batch. Of a mini-batch, rollouts of like length lie together. */
export function layOut(
  rollouts: readonly Rollout[],
  options: LayoutOptions,
  random: Random,
): (readonly Sequences[])[] {
  const order = shuffle(
    rollouts.map((_, i) => i),
    random,
  );
  return chunks(order, options.miniBatchSize).map((members) => {
    const byLength = members.toSorted((a, b) => lengthOf(rollouts[a]!) - lengthOf(rollouts[b]!) || a - b);
    return chunks(byLength, options.microBatchSize).map((ids) => microBatch(rollouts, ids, options));
  });
}

/** How long the rows of a micro-batch are whose longest text has so many tokens. */
export function rowTokens(longest: number, most: number): number {
  return Math.min(most, Math.ceil(longest / step) * step);
}

/** A micro-batch whose losses do not matter yet. */
export function blankBatch(sequences: Sequences): PpoBatch {
  const zeros = (): Float32Array => new Float32Array(sequences.tokens.length);
  return {
    ...sequences,
    oldLogprobs: zeros(),
    advantages: zeros(),
    oldValues: zeros(),
    returns: zeros(),
  };
}

/** The part of `[batch, seq]` numbers that belongs to an answer. */
export function rowOf(numbers: Float32Array, { from, length }: Row): Float32Array {
  return numbers.slice(from, from + length);
}

// --- internal ---

/** Lengths of rows are rounded up to whole steps, so that a few graphs serve all. */
const step = 32;

/** The last token is no input. */
function lengthOf({ promptTokens, answer }: Rollout): number {
  return promptTokens.length + answer.length - 1;
}

function microBatch(
  rollouts: readonly Rollout[],
  ids: readonly number[],
  { microBatchSize, maxTokens, padId }: LayoutOptions,
): Sequences {
  const longest = ids.reduce((most, i) => Math.max(most, lengthOf(rollouts[i]!)), 1);
  const seq = rowTokens(longest, maxTokens);
  const size = microBatchSize * seq;
  const [tokens, targets] = [new Int32Array(size).fill(padId), new Int32Array(size).fill(padId)];
  const mask = new Float32Array(size);
  const rows = ids.map((rollout, place): Row => {
    const { promptTokens, answer } = rollouts[rollout]!;
    const text = Int32Array.of(...promptTokens, ...answer);
    tokens.set(text.subarray(0, -1), place * seq);
    targets.set(text.subarray(1), place * seq);
    const from = place * seq + promptTokens.length - 1;
    mask.fill(1, from, from + answer.length);
    return { rollout, from, length: answer.length };
  });
  return { tokens, targets, mask, rows };
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  );
}
