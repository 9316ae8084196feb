/** `{"prompt": {"text", "role", "replies": [...]}}`: OpenAssistant's message trees (Köpf et al. 2023). */

import { FormatError } from "../errors/errors.ts";
import { isFields, recordsField, textField } from "./json-records.ts";
import type { Fields } from "./json-records.ts";
import type { Dialog, Message } from "./message.ts";

/**
 * The path along the best-ranked reply (rank 0; the first where people ranked none), up to its last answer.
 * No dialog where nobody answered.
 */
export function dialogsOfOpenAssistant(fields: Fields): Dialog[] {
  const path: Message[] = [];
  let message: Fields | undefined = isFields(fields["prompt"]) ? fields["prompt"] : undefined;
  while (message !== undefined) {
    path.push({ role: roleOf(message), content: textField(message, "text") });
    message = bestReply(message);
  }
  if (path.at(-1)?.role === "user") path.pop();
  return path.length === 0 ? [] : [path];
}

// --- internal ---

function roleOf(message: Fields): Message["role"] {
  const role = textField(message, "role");
  if (role === "prompter") return "user";
  if (role === "assistant") return "assistant";
  throw new FormatError(`role "${role}" is not one of OpenAssistant's`, {
    mend: "Use prompter or assistant.",
  });
}

function bestReply(message: Fields): Fields | undefined {
  if (message["replies"] === undefined || message["replies"] === null) return undefined;
  const replies = recordsField(message, "replies").filter((reply) => reply["deleted"] !== true);
  return replies.reduce<Fields | undefined>(
    (best, reply) => (best === undefined || rankOf(reply) < rankOf(best) ? reply : best),
    undefined,
  );
}

function rankOf({ rank }: Fields): number {
  return typeof rank === "number" ? rank : Infinity;
}
