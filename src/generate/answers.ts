/**
 * Answers to dialogs, many at a time, for the stages that learn from what a policy says: rejection sampling, Ghost
 * Attention, preferences and evaluation. They take the function type; whoever calls them opens the model.
 */

import { createRandom } from "../corpus/random.ts";
import { encodePrompt } from "../dialog/llama2-chat.ts";
import { strip, type Dialog } from "../dialog/message.ts";
import { Decoder } from "../model/decoder.ts";
import type { LlamaWeights } from "../model/weights.ts";
import type { Backend } from "../tensor/backend.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { generateTokens, type StopReason } from "./generate.ts";

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
    using decoder = new Decoder(backend, weights);
    for (const [request, { prompt, temperature, seeds }] of requests.entries()) {
      const ids = encodePrompt(prompt, tokenizer);
      for (const [index, seed] of seeds.entries()) {
        const random = createRandom(seed);
        decoder.truncate(0);
        const options = {
          ...settings,
          temperature,
          topK: 0,
          stopIds: [tokenizer.eosId],
          next: () => random.next(),
        };
        const written: number[] = [];
        const tokens = generateTokens(decoder, ids, options, signal);
        let step = await tokens.next();
        for (; step.done !== true; step = await tokens.next()) written.push(step.value);
        const text = answerText(tokenizer, ids, written);
        yield { request, index, text, tokens: written.length, reason: step.value };
      }
    }
  };
}

// --- internal ---

/** What the tokens say after the prompt, without white space at the ends. */
function answerText(tokenizer: Tokenizer, prompt: Int32Array, answer: readonly number[]): string {
  const before = tokenizer.decode(prompt);
  return strip(tokenizer.decode([...prompt, ...answer]).slice(before.length));
}
