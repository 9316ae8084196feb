/**
 * Answers to dialogs, many at a time, for the stages that learn from what a policy says: rejection sampling, Ghost
 * Attention, preferences and evaluation. They take the function type; whoever calls them opens the model.
 */

import { encodePrompt } from "../dialog/llama2-chat.ts";
import { strip, type Dialog } from "../dialog/message.ts";
import { BatchDecoder } from "../model/batch-decoder.ts";
import type { LlamaWeights } from "../model/weights.ts";
import type { Backend } from "../tensor/backend.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { generateBatch, type BatchRequest } from "./batch.ts";
import type { StopReason } from "./generate.ts";

export interface AnswerRequest {
  /** Ends with the user's message. */
  readonly prompt: Dialog;
  readonly temperature: number;
  /** One for each answer. An answer follows from its own seed, whatever else is sampled and in which order. */
  readonly seeds: readonly number[];
}

export interface SampledAnswer {
  /** Place of its request. */
  readonly request: number;
  /** Place of its seed in the request. */
  readonly index: number;
  readonly text: string;
  /** Without the stop token. */
  readonly tokens: number;
  readonly reason: StopReason;
}

/** @yields answers as they are finished, in any order. */
export type AnswerSampler = (
  requests: readonly AnswerRequest[],
  signal?: AbortSignal,
) => AsyncIterable<SampledAnswer>;

/** A function that holds a model; who opens it disposes it, before the next model is opened. */
export interface Opened<F> extends Disposable {
  readonly run: F;
}

export interface AnswerSource {
  readonly backend: Backend;
  readonly weights: LlamaWeights;
  readonly tokenizer: Tokenizer;
}

export interface AnswerSettings {
  /** At most so many tokens an answer. */
  readonly maxTokens: number;
  /** 1 for the policy's own distribution. */
  readonly topP: number;
}

/** A sampler of the model; the caller keeps the weights until the last answer. */
export function answerSampler(
  { backend, weights, tokenizer }: AnswerSource,
  settings: AnswerSettings,
): AnswerSampler {
  return async function* (requests, signal) {
    if (requests.length === 0) return;
    const asked = requests.map(({ prompt, temperature, seeds }) => ({
      prompt: encodePrompt(prompt, tokenizer),
      seeds,
      options: { ...settings, temperature, topK: 0, stopIds: [tokenizer.eosId] },
    }));
    using decoder = new BatchDecoder(backend, weights, { cells: cellsFor(asked, weights) });
    for await (const answer of generateBatch(decoder, asked, { maxSequences }, signal)) {
      const { request, index, tokens, reason } = answer;
      const text = answerText(tokenizer, asked[request]!.prompt, tokens);
      yield { request, index, text, tokens: tokens.length, reason };
    }
  };
}

// --- internal ---

/** More at once read the weights no less often in effect, and take longer until the first is finished. */
const maxSequences = 32;

/** Memory for keys and values that is taken only if one answer needs it. */
const mostCacheBytes = 512 * 2 ** 20;

/** Enough for as many answers as run at once, within the bounds of memory. */
function cellsFor(requests: readonly BatchRequest[], { config, layers }: LlamaWeights): number {
  const lengths = requests.map(({ prompt, seeds, options }) => {
    const answer = Math.min(options.maxTokens, Math.max(0, config.maxSeqLen - prompt.length));
    return { one: prompt.length + answer, all: prompt.length + seeds.length * answer };
  });
  const longest = Math.max(...lengths.map(({ one }) => one));
  const all = lengths.reduce((sum, length) => sum + length.all, 0);
  const bytes = layers[0]?.wk.dtype === "f32" ? 4 : 2;
  const cellBytes = 2 * config.nLayers * config.nKvHeads * config.headDim * bytes;
  return Math.max(longest, Math.min(all, maxSequences * longest, Math.floor(mostCacheBytes / cellBytes)));
}

/** What the tokens say after the prompt, without white space at the ends. */
function answerText(tokenizer: Tokenizer, prompt: Int32Array, answer: Int32Array): string {
  const before = tokenizer.decode(prompt);
  return strip(tokenizer.decode([...prompt, ...answer]).slice(before.length));
}
