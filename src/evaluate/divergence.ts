/**
 * How far a model's predictions are from another's: the Kullback-Leibler divergence (Kullback and Leibler 1951) of
 * each next token's distribution, as quantised weights are compared with the originals.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Decoder } from "../model/decoder.ts";

export interface Divergence {
  /** Σ p (log p - log q) over the vocabulary, p the reference's. In nats, the mean over all tokens. */
  readonly meanKl: number;
  /** The value that one token in a hundred exceeds. */
  readonly kl99: number;
  /** Share of tokens whose most probable next token is the same. */
  readonly sameTop: number;
  /** Of the model, and of the reference. */
  readonly perplexity: number;
  readonly referencePerplexity: number;
  readonly tokens: number;
}

export interface DivergenceOptions {
  /** Each window begins with it. */
  readonly bosId: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Both read windows as long as the shorter context.
 *
 * @param ids the text.
 * @throws {ConfigError} when the text is empty, or the vocabularies differ.
 */
export async function divergence(
  reference: Decoder,
  model: Decoder,
  ids: Int32Array,
  { bosId, signal, onProgress }: DivergenceOptions,
): Promise<Divergence> {
  const { vocabSize } = reference.weights.config;
  const other = model.weights.config.vocabSize;
  if (vocabSize !== other)
    throw new ConfigError(`vocabularies of ${vocabSize} and ${other} cannot be compared`);
  if (ids.length === 0) throw new ConfigError("the text is empty", { mend: "Give a file with text in it." });
  const length = Math.min(reference.contextTokens, model.contextTokens);
  const kls = new Float64Array(ids.length);
  const nats = { reference: 0, model: 0 };
  let same = 0;
  for (let from = 0; from < ids.length; from += length) {
    const targets = ids.subarray(from, from + length);
    const inputs = Int32Array.of(bosId, ...targets.subarray(0, -1));
    const [p, q] = [await logitsOf(reference, inputs, signal), await logitsOf(model, inputs, signal)];
    for (const [i, target] of targets.entries()) {
      const compared = comparePredictions(
        p.subarray(i * vocabSize, (i + 1) * vocabSize),
        q.subarray(i * vocabSize, (i + 1) * vocabSize),
        target,
      );
      kls[from + i] = compared.kl;
      nats.reference += compared.referenceLoss;
      nats.model += compared.loss;
      same += Number(compared.isSameTop);
    }
    onProgress?.(from + targets.length, ids.length);
  }
  const sorted = kls.toSorted();
  return {
    meanKl: kls.reduce((a, b) => a + b, 0) / ids.length,
    kl99: sorted[Math.min(sorted.length - 1, Math.floor(0.99 * sorted.length))]!,
    sameTop: same / ids.length,
    perplexity: Math.exp(nats.model / ids.length),
    referencePerplexity: Math.exp(nats.reference / ids.length),
    tokens: ids.length,
  };
}

/** Two models' logits for one next token. */
export interface Compared {
  /** In nats. */
  readonly kl: number;
  /** -log q(target), in nats. */
  readonly loss: number;
  /** -log p(target), in nats. */
  readonly referenceLoss: number;
  readonly isSameTop: boolean;
}

/** @param p the reference's logits. `[vocab]` @param q the model's. `[vocab]` */
export function comparePredictions(p: Float32Array, q: Float32Array, target: number): Compared {
  const [a, b] = [normaliser(p), normaliser(q)];
  let kl = 0;
  for (let i = 0; i < p.length; i += 1) {
    const logP = p[i]! - a.logSum;
    // 0 log 0 = 0: ids without a piece.
    if (logP === Number.NEGATIVE_INFINITY) continue;
    kl += Math.exp(logP) * (logP - (q[i]! - b.logSum));
  }
  return {
    // Rounding may leave it a little below zero.
    kl: Math.max(0, kl),
    loss: b.logSum - q[target]!,
    referenceLoss: a.logSum - p[target]!,
    isSameTop: a.top === b.top,
  };
}

// --- internal ---

async function logitsOf(decoder: Decoder, inputs: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
  decoder.truncate(0);
  return decoder.readAll(inputs, signal);
}

/** log Σ exp(logits), and the most probable token, the first of equals. */
function normaliser(logits: Float32Array): { logSum: number; top: number } {
  let top = 0;
  for (let i = 1; i < logits.length; i += 1) if (logits[i]! > logits[top]!) top = i;
  const max = logits[top]!;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - max);
  return { logSum: max + Math.log(sum), top };
}
