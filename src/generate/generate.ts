/** Tokens after a prompt, one at a time. */

import type { Decoder } from "../model/decoder.ts";
import { checkSampling, sample, type SamplingOptions } from "./sampling.ts";

export interface GenerateOptions extends SamplingOptions {
  /** At most so many tokens. */
  readonly maxTokens: number;
  /** Ends the text; not yielded. */
  readonly stopIds: readonly number[];
  /** Uniform in [0, 1): a fixed sequence gives the same text again. */
  readonly next: () => number;
}

/** Why a text ended. */
export type StopReason = "stop" | "length" | "context";

/**
 * Reads the prompt and yields tokens until a stop token, the limit, or the end of the context.
 *
 * @param prompt tokens that the decoder has not read yet, at least one.
 * @yields each token's id.
 * @throws the signal's reason when it is aborted; what the decoder has read by then stays read.
 */
export async function* generateTokens(
  decoder: Decoder,
  prompt: ArrayLike<number>,
  options: GenerateOptions,
  signal?: AbortSignal,
): AsyncGenerator<number, StopReason> {
  checkSampling(options);
  let logits = await decoder.read(prompt, signal);
  for (let count = 0; count < options.maxTokens; count += 1) {
    const token = sample(logits, options, options.next);
    if (options.stopIds.includes(token)) return "stop";
    yield token;
    if (count + 1 === options.maxTokens) break;
    if (decoder.length >= decoder.contextTokens) return "context";
    logits = await decoder.read([token], signal);
  }
  return "length";
}
