/** `{"conversations": [{"from", "value"}]}`: the format of ShareGPT and of FastChat's Vicuna. */

import { FormatError } from "../errors/errors.ts";
import { optionalText, recordsField, textField } from "./json-records.ts";
import type { Fields } from "./json-records.ts";
import type { Dialog, Message } from "./message.ts";
import { strip } from "./message.ts";

export function dialogsOfShareGpt(fields: Fields): Dialog[] {
  const system = optionalText(fields, "system");
  const opening: Message[] = strip(system) === "" ? [] : [{ role: "system", content: system }];
  const messages = recordsField(fields, "conversations").map((turn) => ({
    role: speakerRole(textField(turn, "from")),
    content: textField(turn, "value"),
  }));
  return [[...opening, ...messages]];
}

// --- internal ---

const SPEAKERS: ReadonlyMap<string, Message["role"]> = new Map([
  ["system", "system"],
  ["human", "user"],
  ["user", "user"],
  ["gpt", "assistant"],
  ["chatgpt", "assistant"],
  ["assistant", "assistant"],
]);

function speakerRole(speaker: string): Message["role"] {
  const role = SPEAKERS.get(speaker);
  if (role !== undefined) return role;
  throw new FormatError(`"from" is "${speaker}", a speaker that Llama 2's format has no role for`, {
    mend: `Use one of ${[...SPEAKERS.keys()].join(", ")}.`,
  });
}
