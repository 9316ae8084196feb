/** `{"messages": [{"role", "content"}]}`: the chat format of OpenAI's API and of Hugging Face's TRL. */

import { FormatError } from "../errors/errors.ts";
import { recordsField, textField } from "./json-records.ts";
import type { Fields } from "./json-records.ts";
import type { Dialog, Message } from "./message.ts";

export function dialogsOfMessages(fields: Fields): Dialog[] {
  return [
    recordsField(fields, "messages").map((message) => ({
      role: asRole(textField(message, "role")),
      content: textField(message, "content"),
    })),
  ];
}

// --- internal ---

function asRole(name: string): Message["role"] {
  if (name === "system" || name === "user" || name === "assistant") return name;
  throw new FormatError(`role "${name}" is not one of Llama 2's`, { mend: "Use system, user or assistant." });
}
