/**
 * A conversation as plain data, and the rules it must keep to be written in Llama 2's chat format
 * (Meta's reference `chat_completion`; Llama 2 §3.3 for the system message).
 */

import { ConfigError } from "../errors/errors.ts";

export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export type Dialog = readonly Message[];

/**
 * Checks that an optional system message is followed by user and assistant in turn, user first, that no
 * message is blank, and that none contains a tag of the chat format: text could then pose as a turn.
 *
 * @param where what the error calls the dialog, such as `request` or `dialog`.
 * @throws {ConfigError} naming the first message at fault, counted from 1.
 */
export function checkDialog(dialog: Dialog, where: string): void {
  const turns = dialog[0]?.role === "system" ? dialog.slice(1) : dialog;
  if (turns.length === 0) {
    throw new ConfigError(`${where}: no user message`, { mend: "A dialog starts with a user's message." });
  }
  const before = dialog.length - turns.length;
  for (const [i, { role }] of turns.entries()) {
    const expected = i % 2 === 0 ? "user" : "assistant";
    if (role === expected) continue;
    throw new ConfigError(`${where}: message ${before + i + 1} is from "${role}", not from "${expected}"`, {
      mend: "Messages alternate between user and assistant, user first, after at most one system message.",
    });
  }
  for (const [i, message] of dialog.entries()) checkContent(message, `${where}: message ${i + 1}`);
}

/** Whether a text that a model wrote can stand as a turn: neither blank nor with a tag of the chat format. */
export function isAnswer(text: string): boolean {
  return strip(text) !== "" && !TAG.test(text);
}

/**
 * The text without white space at its ends, by Python's `str.strip`, which Meta's reference applies.
 * It differs from `trim`: U+FEFF stays, U+001C to U+001F and U+0085 go.
 */
export function strip(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text.charCodeAt(start))) start += 1;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

// --- internal ---

const TAG = /\[\/?INST\]|<<\/?SYS>>/;

function checkContent({ role, content }: Message, where: string): void {
  if (strip(content) === "") {
    throw new ConfigError(`${where} (${role}) is empty`, { mend: "Drop the message, or the whole dialog." });
  }
  const tag = TAG.exec(content);
  if (tag !== null) {
    throw new ConfigError(`${where} (${role}) contains ${tag[0]}, a tag of the chat format`, {
      mend: "Remove the tag from the text; Cria adds the tags itself.",
    });
  }
}

/** White space of the Unicode database: bidirectional types WS, B and S, or category Zs. */
function isSpace(code: number): boolean {
  if (code <= 0x20) return code === 0x20 || (code >= 0x09 && code <= 0x0d) || code >= 0x1c;
  if (code < 0x1680) return code === 0x85 || code === 0xa0;
  return (
    (code >= 0x2000 && code <= 0x200a) || [0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000].includes(code)
  );
}
