/**
 * Files of answers to score, a JSON object a line: `{"prompt": "…", "answer": "…"}`, the prompt a text or a list of
 * messages, or `{"messages": […]}` ending with the answer. `"safety": true` tags a prompt.
 */

import { isFields, readRecord, readRecords, textField, type Fields } from "../dialog/json-records.ts";
import type { Dialog } from "../dialog/message.ts";
import { dialogsOfMessages } from "../dialog/messages.ts";
import { FormatError } from "../errors/errors.ts";
import type { Answered } from "./reward-function.ts";

/** @throws {FormatError} naming the first line that has no prompt or no answer. */
export function readAnswered(path: string): Answered[] {
  const file = readRecords(path);
  return file.records.map((record, i) =>
    readRecord(path, `line ${file.lineOf(i)}`, () => answeredOf(record)),
  );
}

/** @throws {FormatError} when the record has no prompt or no answer. */
export function answeredOf(record: Fields): Answered {
  const isSafety = record["safety"] === true ? { isSafety: true } : {};
  if (record["messages"] === undefined)
    return { prompt: promptOf(record), answer: textField(record, "answer"), ...isSafety };
  const dialog = dialogsOfMessages(record)[0] ?? [];
  const last = dialog.at(-1);
  if (last?.role === "assistant") return { prompt: dialog.slice(0, -1), answer: last.content, ...isSafety };
  throw new FormatError("the messages do not end with an answer", {
    mend: "End them with the assistant's message.",
  });
}

// --- internal ---

function promptOf(record: Fields): Dialog {
  const prompt = record["prompt"];
  if (!Array.isArray(prompt) || !prompt.every(isFields))
    return [{ role: "user", content: textField(record, "prompt") }];
  return dialogsOfMessages({ messages: prompt })[0] ?? [];
}
