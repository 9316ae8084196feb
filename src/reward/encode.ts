/** Answers as the reward model reads them: the conversation in Llama 2's chat format, the answer and EOS at its end. */

import { encodePrompt } from "../dialog/llama2-chat.ts";
import { strip, type Dialog } from "../dialog/message.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/**
 * Tokens of a conversation and an answer to it, as `encodeDialog` gives them, with EOS last, where the score is read.
 * The answer may be anything a model writes, nothing too. What is longer than `longest` loses its beginning but for BOS:
 * the answer and the end of the question stay.
 *
 * @throws {ConfigError} if the prompt does not end with the user, or breaks the chat format's rules.
 */
export function encodeAnswer(
  prompt: Dialog,
  answer: string,
  tokenizer: Tokenizer,
  longest: number,
): Int32Array {
  const asked = encodePrompt(prompt, tokenizer);
  const space = tokenizer.model.normalizer.addDummyPrefix ? "" : " ";
  const said = tokenizer.encode(`${space}${strip(answer)} `);
  const tokens = new Int32Array(asked.length + said.length + 1);
  tokens.set(asked);
  tokens.set(said, asked.length);
  tokens[tokens.length - 1] = tokenizer.eosId;
  if (tokens.length <= longest) return tokens;
  const kept = tokens.slice(tokens.length - longest);
  kept[0] = tokenizer.bosId;
  return kept;
}

/**
 * The length that rows of `tokens` tokens are filled up to, at most `longest`. Each length has a graph of its own, so
 * there are few: multiples of 32, as the products like them, each about a quarter longer than the one before.
 */
export function paddedLength(tokens: number, longest: number): number {
  let length = 32;
  while (length < tokens) length = Math.ceil((length * 1.25) / 32) * 32;
  return Math.min(length, longest);
}
