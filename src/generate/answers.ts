/**
 * Answers to dialogs, many at a time, for the stages that learn from what a policy says: rejection sampling, Ghost
 * Attention, preferences and evaluation. They take the function type; whoever calls them opens the model.
 */

import { encodePrompt } from "../dialog/llama2-chat.ts";
import { strip, type Dialog } from "../dialog/message.ts";
import { spokenBy, type LlamaWeights } from "../model/weights.ts";
import type { Backend } from "../tensor/backend.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { StopReason } from "./generate.ts";
import { generateInLanes } from "./lanes.ts";

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
  const source = { backend, weights: spokenBy(weights, tokenizer) };
  return async function* (requests, signal) {
    if (requests.length === 0) return;
    const asked = requests.map(({ prompt, temperature, seeds }) => ({
      prompt: encodePrompt(prompt, tokenizer),
      seeds,
      options: { ...settings, temperature, topK: 0, stopIds: [tokenizer.eosId] },
    }));
    for await (const answer of generateInLanes(source, asked, { maxSequences }, signal)) {
      const { request, index, tokens, reason } = answer;
      const text = answerText(tokenizer, asked[request]!.prompt, tokens);
      yield { request, index, text, tokens: tokens.length, reason };
    }
  };
}

// --- internal ---

/** More at once read the weights no less often in effect, and take longer until the first is finished. */
const maxSequences = 64;

/** What the tokens say after the prompt, without white space at the ends. */
function answerText(tokenizer: Tokenizer, prompt: Int32Array, answer: Int32Array): string {
  const before = tokenizer.decode(prompt);
  return strip(tokenizer.decode([...prompt, ...answer]).slice(before.length));
}
