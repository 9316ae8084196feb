/** `{"instruction", "instances": [{"input", "output"}]}`: tasks of Self-Instruct (Wang et al. 2023). */

import { instructionText } from "./alpaca.ts";
import { recordsField, textField } from "./json-records.ts";
import type { Fields } from "./json-records.ts";
import type { Dialog } from "./message.ts";

/** One dialog per instance. */
export function dialogsOfSelfInstruct(fields: Fields): Dialog[] {
  return recordsField(fields, "instances").map((instance) => [
    { role: "user", content: instructionText(fields, instance) },
    { role: "assistant", content: textField(instance, "output") },
  ]);
}
