/**
 * Speculative decoding (Leviathan et al. 2023): what probably comes next is read together with the last token, and
 * stands as far as it is what the sampler draws.
 *
 * A token is drawn from the model's distribution at every place, as without proposals and from the same random
 * numbers, and a proposal only says whether the place after it was read already. So not the distribution alone but
 * the text itself is unchanged, with every setting of the sampler. (Leviathan's rule accepts a draft's *sample* q
 * with probability min(1, p/q); for a proposal that is certain the two accept alike.) Several rows of logits are
 * computed by other kernels than one, though, and where two tokens are equal but for rounding, either may be drawn.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Decoder } from "../model/decoder.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Sampler } from "./sampling.ts";
import { argmax } from "./sampling/argmax.ts";

export interface TokenProposer {
  /**
   * Guesses how a text goes on.
   *
   * @param text all tokens so far.
   * @param most how many tokens can be made use of, at least one.
   */
  propose(text: readonly number[], most: number, signal?: AbortSignal): Promise<readonly number[]>;
}

/** Proposes what followed the last few tokens when they stood in the text before (Saxena 2023, prompt lookup). */
export function promptLookup(count: number): TokenProposer {
  requireCount(count);
  return {
    propose: async (text, most) => continuation(text, Math.min(count, most)),
  };
}

/** Proposes what a smaller model of the same vocabulary would say at temperature 0. The decoder stays the caller's. */
export function draftModel(decoder: Decoder, count: number): TokenProposer {
  requireCount(count);
  let read: number[] = [];
  return {
    async propose(text, most, signal) {
      if (text.length > decoder.contextTokens) return [];
      const wanted = Math.min(count, most, decoder.contextTokens - text.length + 1);
      const common = commonLength(read, text);
      decoder.truncate(common);
      let logits = await decoder.read(text.slice(common), signal);
      const proposed = [argmax(logits)];
      while (proposed.length < wanted) {
        logits = await decoder.read(proposed.slice(-1), signal);
        proposed.push(argmax(logits));
      }
      read = [...text, ...proposed].slice(0, decoder.length);
      return proposed;
    },
  };
}

/** @throws {ConfigError} unless every id means the same to both. */
export function requireSameVocabulary(model: Tokenizer, draft: Tokenizer): void {
  const [ours, theirs] = [model.model.pieces, draft.model.pieces];
  const differs = ours.findIndex(({ piece }, id) => theirs[id]?.piece !== piece);
  if (ours.length === theirs.length && differs < 0) return;
  throw new ConfigError(
    ours.length === theirs.length
      ? `the draft's token ${differs} is "${theirs[differs]!.piece}", the model's is "${ours[differs]!.piece}"`
      : `the draft has ${theirs.length} tokens, the model ${ours.length}`,
    { mend: "A draft model must have the model's tokenizer." },
  );
}

/** What was read last: a token of the text, then proposals, with the logits after each. */
export interface ReadTokens {
  readonly proposed: readonly number[];
  /** One more than proposals. `[vocab]` each */
  readonly rows: readonly Float32Array[];
}

/** Reads the last token of the text and what may follow. */
export async function readWith(
  decoder: Decoder,
  last: number,
  proposed: readonly number[],
  signal?: AbortSignal,
): Promise<ReadTokens> {
  if (proposed.length === 0) return { proposed, rows: [await decoder.read([last], signal)] };
  const logits = await decoder.readAll([last, ...proposed], signal);
  const { vocabSize } = decoder.weights.config;
  const rows = [last, ...proposed].map((_, i) => logits.subarray(i * vocabSize, (i + 1) * vocabSize));
  return { proposed, rows };
}

export interface Drawn {
  /** What the text goes on with. */
  readonly tokens: readonly number[];
  /** How many of the proposals are among them, and stay read. */
  readonly kept: number;
  /** Whether a stop token was drawn after them. */
  readonly isStopped: boolean;
}

/** Draws tokens for as long as what was read is what is drawn. */
export function drawFrom(
  { proposed, rows }: ReadTokens,
  sampler: Sampler,
  { maxTokens, stopIds }: { readonly maxTokens: number; readonly stopIds: readonly number[] },
): Drawn {
  const tokens: number[] = [];
  while (tokens.length < Math.min(maxTokens, rows.length)) {
    const at = tokens.length;
    const token = sampler.sample(rows[at]!);
    if (stopIds.includes(token)) return { tokens, kept: at, isStopped: true };
    sampler.accept(token);
    tokens.push(token);
    if (token !== proposed[at]) return { tokens, kept: at, isStopped: false };
  }
  return { tokens, kept: Math.min(tokens.length, proposed.length), isStopped: false };
}

// --- internal ---

/** So many tokens at the end of the text are looked for, more first: longer ones are followed more surely. */
const [longestSuffix, shortestSuffix] = [4, 2];

function requireCount(count: number): void {
  if (Number.isInteger(count) && count >= 1) return;
  throw new ConfigError(`${count} proposed tokens are not a whole number from 1 up`);
}

function continuation(text: readonly number[], count: number): readonly number[] {
  for (let size = longestSuffix; size >= shortestSuffix; size -= 1) {
    // The latest place is the likeliest.
    for (let end = text.length - 1; end >= size; end -= 1) {
      if (isSuffixAt(text, end, size)) return text.slice(end, end + count);
    }
  }
  return [];
}

/** Whether the `size` tokens before `end` are the last of the text. */
function isSuffixAt(text: readonly number[], end: number, size: number): boolean {
  for (let i = 1; i <= size; i += 1) if (text[end - i] !== text[text.length - i]) return false;
  return true;
}

/** Of what was read and the text, but for its last token, whose logits are wanted. */
function commonLength(read: readonly number[], text: readonly number[]): number {
  const most = Math.min(read.length, text.length - 1);
  let common = 0;
  while (common < most && read[common] === text[common]) common += 1;
  return common;
}
