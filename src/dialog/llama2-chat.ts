/**
 * Dialogs as Llama 2 reads them: `<s>[INST] user [/INST] assistant </s>`, one such turn after another,
 * the system message within the first user message between `<<SYS>>` and `<</SYS>>`.
 *
 * The ids are those of `chat_completion` in Meta's reference (`llama/generation.py`): each turn is encoded
 * as one string, the space after the answer included, with BOS before and EOS after; `<s>` and `</s>` are
 * ids, never text. The loss sees answers only (Llama 2 §3.1: "we zero-out the loss on tokens from the
 * user prompt"); an answer is its text, the space after it and EOS.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkDialog, strip } from "./message.ts";
import type { Dialog } from "./message.ts";

export interface Example {
  readonly tokens: Int32Array;
  /** 1 where the token is trained on (the assistant's answer and its EOS), else 0. Length of `tokens`. */
  readonly lossMask: Uint8Array;
}

/**
 * Tokens of a whole dialog, and which of them are the assistant's.
 *
 * @throws {ConfigError} if the dialog breaks {@link checkDialog}'s rules or does not end with an answer.
 */
export function encodeDialog(dialog: Dialog, tokenizer: Tokenizer): Example {
  checkDialog(dialog, "dialog");
  if (dialog.at(-1)!.role !== "assistant") {
    throw new ConfigError(
      `dialog: message ${dialog.length}, the last, is from the user: nothing answers it`,
      {
        mend: "Train on dialogs that end with the assistant's message.",
      },
    );
  }
  return concatenate(turnsOf(dialog).map((turn) => encodeTurn(turn, tokenizer)));
}

/**
 * Tokens after which the model writes its next answer: the turns so far, and the user's without EOS.
 *
 * @throws {ConfigError} if the dialog breaks {@link checkDialog}'s rules or does not end with the user.
 */
export function encodePrompt(dialog: Dialog, tokenizer: Tokenizer): Int32Array {
  checkDialog(dialog, "dialog");
  if (dialog.at(-1)!.role !== "user") {
    throw new ConfigError(`dialog: message ${dialog.length}, the last, is already an answer`, {
      mend: "Prompt with a dialog that ends with the user's message.",
    });
  }
  return concatenate(turnsOf(dialog).map((turn) => encodeTurn(turn, tokenizer))).tokens;
}

/**
 * The same text as a Jinja template, for `chat_template` in Hugging Face's `tokenizer_config.json`.
 * It wants `bos_token`, `eos_token` and `raise_exception`, which that library provides.
 */
export const chatTemplate = [
  String.raw`{%- set opening = '' -%}`,
  String.raw`{%- set turns = messages -%}`,
  String.raw`{%- if messages[0]['role'] == 'system' -%}`,
  String.raw`{%- set opening = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' -%}`,
  String.raw`{%- set turns = messages[1:] -%}`,
  String.raw`{%- endif -%}`,
  String.raw`{%- for turn in turns -%}`,
  String.raw`{%- set expected = 'user' if loop.index0 % 2 == 0 else 'assistant' -%}`,
  String.raw`{%- if turn['role'] != expected -%}`,
  String.raw`{{- raise_exception('user and assistant must alternate, user first') -}}`,
  String.raw`{%- endif -%}`,
  String.raw`{%- if turn['role'] == 'user' -%}`,
  String.raw`{%- set text = (opening if loop.first else '') + turn['content'] -%}`,
  String.raw`{{- bos_token + '[INST] ' + (text | trim) + ' [/INST]' -}}`,
  String.raw`{%- else -%}`,
  String.raw`{{- ' ' + (turn['content'] | trim) + ' ' + eos_token -}}`,
  String.raw`{%- endif -%}`,
  String.raw`{%- endfor -%}`,
].join("\n");

// --- internal ---

interface Turn {
  /** `[INST] … [/INST]` */
  readonly prompt: string;
  /** ` answer `, or undefined where the model is to write it. */
  readonly answer: string | undefined;
}

function turnsOf(dialog: Dialog): Turn[] {
  const [opening, ...rest] = dialog;
  const hasSystem = opening!.role === "system";
  const messages = hasSystem ? rest : dialog;
  const system = hasSystem ? `<<SYS>>\n${opening!.content}\n<</SYS>>\n\n` : "";
  const turns: Turn[] = [];
  for (let i = 0; i < messages.length; i += 2) {
    const user = strip((i === 0 ? system : "") + messages[i]!.content);
    const answer = messages[i + 1]?.content;
    turns.push({
      prompt: `[INST] ${user} [/INST]`,
      answer: answer === undefined ? undefined : ` ${strip(answer)} `,
    });
  }
  return turns;
}

function encodeTurn({ prompt, answer }: Turn, tokenizer: Tokenizer): Example {
  if (tokenizer.bosId < 0 || tokenizer.eosId < 0) {
    throw new ConfigError("the tokenizer has no BOS or no EOS token, which Llama 2's chat format needs", {
      mend: "Use a tokenizer with <s> and </s>, as Llama's.",
    });
  }
  const text = tokenizer.encode(prompt + (answer ?? ""));
  const tokens = new Int32Array(text.length + (answer === undefined ? 1 : 2));
  tokens[0] = tokenizer.bosId;
  tokens.set(text, 1);
  const lossMask = new Uint8Array(tokens.length);
  if (answer !== undefined) {
    tokens[tokens.length - 1] = tokenizer.eosId;
    lossMask.fill(1, 1 + promptLength(text, prompt, answer, tokenizer));
  }
  return { tokens, lossMask };
}

/**
 * How many of `text`, the ids of prompt + answer, are the prompt's.
 *
 * The answer begins with a space. SentencePiece splits at spaces before it learns merges, so no piece
 * reaches across one and the ids of the prompt alone begin `text`. Should a foreign vocabulary have such
 * a piece, only the ids that the answer alone also ends with count as the answer's, so that nothing of
 * the prompt is ever trained on.
 */
function promptLength(text: Int32Array, prompt: string, answer: string, tokenizer: Tokenizer): number {
  const alone = tokenizer.encode(prompt);
  if (alone.length < text.length && alone.every((id, i) => text[i] === id)) return alone.length;
  const ending = tokenizer.encode(answer.slice(1));
  let shared = 0;
  while (shared < ending.length && text.at(-1 - shared) === ending.at(-1 - shared)) shared += 1;
  return text.length - shared;
}

function concatenate(parts: readonly Example[]): Example {
  const length = parts.reduce((sum, part) => sum + part.tokens.length, 0);
  const tokens = new Int32Array(length);
  const lossMask = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    tokens.set(part.tokens, at);
    lossMask.set(part.lossMask, at);
    at += part.tokens.length;
  }
  return { tokens, lossMask };
}
