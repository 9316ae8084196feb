/** `{"prompt", "response"}` (MosaicML, Dolly), `{"prompt", "completion"}` (TRL), or a prompt alone. */

import { textField } from "./json-records.ts";
import type { Fields } from "./json-records.ts";
import type { Dialog } from "./message.ts";

export function dialogsOfPromptResponse(fields: Fields): Dialog[] {
  const answer = "response" in fields ? "response" : "completion";
  return [
    [
      { role: "user", content: textField(fields, "prompt") },
      { role: "assistant", content: textField(fields, answer) },
    ],
  ];
}

/** A dialog of one user message, for the model to answer. */
export function dialogsOfPrompt(fields: Fields): Dialog[] {
  return [[{ role: "user", content: textField(fields, "prompt") }]];
}
