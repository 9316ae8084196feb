/** Answers of the policy to an iteration's prompts, drawn from its own distribution and nothing else. */

import { createRandom, shuffle } from "../corpus/random.ts";
import { encodePrompt } from "../dialog/llama2-chat.ts";
import { strip } from "../dialog/message.ts";
import type { Prompt } from "../dialog/prompts.ts";
import { ConfigError } from "../errors/errors.ts";
import { generateInLanes } from "../generate/lanes.ts";
import type { SamplingOptions } from "../generate/sampling/options.ts";
import { spokenBy, type LlamaWeights } from "../model/weights.ts";
import type { Backend } from "../tensor/backend.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkRolloutSampling } from "./guards.ts";

export interface Rollout {
  readonly prompt: Prompt;
  readonly promptTokens: Int32Array;
  /** The tokens that the policy chose; the last is EOS where the answer ended by itself. */
  readonly answer: Int32Array;
  /** Without white space at the ends. */
  readonly text: string;
  /** Whether the answer ended by itself, before the limit. */
  readonly isFinished: boolean;
}

export interface RolloutSource {
  readonly backend: Backend;
  readonly weights: LlamaWeights;
  readonly tokenizer: Tokenizer;
}

export interface RolloutOptions {
  /** Of an answer. */
  readonly maxTokens: number;
  /** Answers that are sampled at once. */
  readonly maxSequences: number;
  readonly sampling: SamplingOptions;
  /** That log-probabilities are computed at. */
  readonly temperature: number;
}

/**
 * One answer to each prompt.
 *
 * @param seeds one for each: an answer follows from its own, whatever else is sampled.
 * @throws {ConfigError} for sampling that is not the policy's own distribution, or an empty answer.
 */
export async function rollOut(
  { backend, weights, tokenizer }: RolloutSource,
  prompts: readonly EncodedPrompt[],
  options: RolloutOptions & { readonly seeds: readonly number[] },
  signal?: AbortSignal,
): Promise<Rollout[]> {
  checkRolloutSampling(options.sampling, options.temperature);
  const rollouts = new Array<Rollout>(prompts.length);
  const { maxTokens, maxSequences, sampling, seeds } = options;
  const settings = { ...sampling, maxTokens, stopIds: [tokenizer.eosId] };
  const source = { backend, weights: spokenBy(weights, tokenizer) };
  const requests = prompts.map(({ tokens }, i) => ({
    prompt: tokens,
    seeds: [seeds[i]!],
    options: settings,
  }));
  for await (const answer of generateInLanes(source, requests, { maxSequences }, signal)) {
    const { prompt, tokens: promptTokens } = prompts[answer.request]!;
    const isFinished = answer.reason === "stop";
    rollouts[answer.request] = {
      prompt,
      promptTokens,
      answer: isFinished ? Int32Array.of(...answer.tokens, tokenizer.eosId) : answer.tokens,
      text: textOf(tokenizer, promptTokens, answer.tokens),
      isFinished,
    };
  }
  return rollouts;
}

/** Cells of the cache that so many answers at once can fill. */
export function cacheTokens(
  prompts: readonly EncodedPrompt[],
  { maxTokens, maxSequences }: Pick<RolloutOptions, "maxTokens" | "maxSequences">,
): number {
  const longest = prompts.reduce((most, { tokens }) => Math.max(most, tokens.length), 0);
  return Math.min(maxSequences, prompts.length) * (longest + maxTokens);
}

export interface EncodedPrompt {
  readonly prompt: Prompt;
  readonly tokens: Int32Array;
}

/**
 * Prompts as the policy reads them.
 *
 * @param maxTokens prompts longer than this leave no room for an answer, and are left out.
 * @throws {ConfigError} when none is short enough.
 */
export function encodePrompts(
  prompts: readonly Prompt[],
  tokenizer: Tokenizer,
  maxTokens: number,
): EncodedPrompt[] {
  const encoded = prompts.map((prompt) => ({ prompt, tokens: encodePrompt(prompt.dialog, tokenizer) }));
  const short = encoded.filter(({ tokens }) => tokens.length <= maxTokens);
  if (short.length > 0) return short;
  throw new ConfigError(`none of ${prompts.length} prompts has at most ${maxTokens} tokens`, {
    mend: "The prompt and max_tokens of an answer must fit into the model's context: give shorter prompts, or lower max_tokens.",
  });
}

/**
 * The prompts of an iteration: all of them in a new order, again and again.
 *
 * @param iteration from 0
 */
export function promptsOf<T>(prompts: readonly T[], iteration: number, count: number, seed: number): T[] {
  let order: { readonly epoch: number; readonly prompts: readonly T[] } | undefined;
  return Array.from({ length: count }, (_, i) => {
    const place = iteration * count + i;
    const epoch = Math.floor(place / prompts.length);
    if (order?.epoch !== epoch) {
      order = { epoch, prompts: shuffle(prompts, createRandom(seedOf(seed, "prompts", epoch))) };
    }
    return order.prompts[place % prompts.length]!;
  });
}

/** A seed for each use and place, so that no two share a sequence of random numbers. */
export function seedOf(
  seed: number,
  use: "prompts" | "answers" | "held out" | "layout",
  place: number,
): number {
  const uses = { prompts: 0, answers: 1, "held out": 2, layout: 3 };
  const own = createRandom(seed).int(2 ** 50);
  return createRandom(own + uses[use]).int(2 ** 50) + place;
}

// --- internal ---

function textOf(tokenizer: Tokenizer, prompt: Int32Array, answer: Int32Array): string {
  const before = tokenizer.decode(prompt);
  return strip(tokenizer.decode([...prompt, ...answer]).slice(before.length));
}
