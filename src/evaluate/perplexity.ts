/** Perplexity of a text: e to the mean loss of its tokens (Jelinek et al. 1977). */

import { ConfigError } from "../errors/errors.ts";
import type { Decoder } from "../model/decoder.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

export interface Perplexity {
  readonly perplexity: number;
  /** In nats a token. */
  readonly loss: number;
  readonly bitsPerByte: number;
  readonly tokens: number;
  /** Of the text in UTF-8. */
  readonly bytes: number;
}

export interface PerplexityOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number, nats: number) => void;
}

/**
 * Windows as long as the decoder's context, each beginning with BOS; every token is predicted once.
 *
 * @throws {ConfigError} when the text is empty.
 */
export async function perplexity(
  decoder: Decoder,
  tokenizer: Tokenizer,
  text: string,
  options: PerplexityOptions = {},
): Promise<Perplexity> {
  const ids = tokenizer.encode(text);
  if (ids.length === 0) throw new ConfigError("the text is empty", { mend: "Give a file with text in it." });
  let nats = 0;
  for (let from = 0; from < ids.length; from += decoder.contextTokens) {
    const targets = ids.slice(from, from + decoder.contextTokens);
    const inputs = Int32Array.of(tokenizer.bosId, ...targets.subarray(0, -1));
    decoder.truncate(0);
    nats += await decoder.score(inputs, targets, options.signal);
    options.onProgress?.(from + targets.length, ids.length, nats);
  }
  const loss = nats / ids.length;
  const bytes = new TextEncoder().encode(text).byteLength;
  return {
    perplexity: Math.exp(loss),
    loss,
    bitsPerByte: nats / Math.LN2 / bytes,
    tokens: ids.length,
    bytes,
  };
}
