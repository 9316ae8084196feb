/**
 * `{"chosen", "rejected"}`: Anthropic's preference pairs (Bai et al. 2022), each side a transcript in which
 * a blank line and `Human:` or `Assistant:` open a turn.
 */

import { FormatError } from "../errors/errors.ts";
import { textField } from "./json-records.ts";
import type { Fields } from "./json-records.ts";
import type { Dialog, Message } from "./message.ts";
import { strip } from "./message.ts";

/** The preferred side only: the other is for a reward model. */
export function dialogsOfHhRlhf(fields: Fields): Dialog[] {
  return [dialogOfTranscript(textField(fields, "chosen"))];
}

/**
 * The turns of a transcript, stripped. Where a speaker has two turns running, as happens in the data, they
 * are one message of two paragraphs.
 *
 * @throws {FormatError} if it does not open with a speaker.
 */
export function dialogOfTranscript(transcript: string): Dialog {
  const [before, ...parts] = transcript.split(/(?:^|\n\n)(Human|Assistant):/);
  if (before === undefined || strip(before) !== "" || parts.length === 0) {
    throw new FormatError('the transcript does not begin with "\\n\\nHuman:"', {
      mend: 'Open every turn with a blank line and "Human:" or "Assistant:".',
    });
  }
  const messages: Message[] = [];
  for (let i = 0; i < parts.length; i += 2) {
    const role = parts[i] === "Human" ? "user" : "assistant";
    const content = strip(parts[i + 1]!);
    const last = messages.at(-1);
    if (last?.role === role)
      messages[messages.length - 1] = { role, content: `${last.content}\n\n${content}` };
    else messages.push({ role, content });
  }
  return messages;
}
