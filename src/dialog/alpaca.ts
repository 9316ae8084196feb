/**
 * `{"instruction", "input", "output"}`: Stanford Alpaca's format, with LLaMA-Factory's `system` and
 * `history` ([question, answer] pairs of the turns before).
 */

import { FormatError } from "../errors/errors.ts";
import { optionalText, textField } from "./json-records.ts";
import type { Fields } from "./json-records.ts";
import type { Dialog, Message } from "./message.ts";
import { strip } from "./message.ts";

export function dialogsOfAlpaca(fields: Fields): Dialog[] {
  const system = optionalText(fields, "system");
  const opening: Message[] = strip(system) === "" ? [] : [{ role: "system", content: system }];
  return [
    [
      ...opening,
      ...historyOf(fields),
      { role: "user", content: instructionText(fields, fields) },
      { role: "assistant", content: textField(fields, "output") },
    ],
  ];
}

/** The instruction and, if there is one, a blank line and what it is to be carried out on. */
export function instructionText(task: Fields, instance: Fields): string {
  const instruction = textField(task, "instruction");
  const input = optionalText(instance, "input");
  return strip(input) === "" ? instruction : `${instruction}\n\n${input}`;
}

// --- internal ---

function historyOf(fields: Fields): Message[] {
  const history = fields["history"] ?? [];
  if (!Array.isArray(history) || !history.every(isPair)) {
    throw new FormatError('"history" is not an array of [question, answer]', {
      mend: 'Give the turns before as [["question", "answer"], ...], or leave "history" out.',
    });
  }
  return history.flatMap(([question, answer]): Message[] => [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ]);
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === "string");
}
