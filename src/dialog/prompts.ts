/**
 * Prompts for a policy to answer, some of them tagged as able to provoke unsafe answers (Llama 2 §3.2.3, is_safety).
 *
 * The file is one of dialogs: `{"prompt": "…", "safety": true}` a line, or `{"messages": […], "safety": true}`. Of a
 * dialog that ends with an answer, the part up to the last question is the prompt.
 */

import { FormatError } from "../errors/errors.ts";
import { readRecords } from "./json-records.ts";
import type { Dialog } from "./message.ts";
import { readDialogs } from "./readers.ts";

export interface Prompt {
  /** Ends with the user's message. */
  readonly dialog: Dialog;
  /** Whether it is tagged as able to provoke an unsafe answer. */
  readonly isSafety: boolean;
  /** The category of its risk, such as "advice", where the file says. */
  readonly risk?: string | undefined;
}

/** @throws {ConfigError} or {FormatError} when the file is not one of dialogs, or a tag is neither true nor false. */
export function readPrompts(path: string): Prompt[] {
  const { dialogs } = readDialogs(path);
  const file = readRecords(path);
  // Some formats have several dialogs in a record, and none of them tags.
  const isOneToOne = file.records.length === dialogs.length;
  return dialogs.map((dialog, i) => {
    const tag = isOneToOne ? file.records[i]!["safety"] : undefined;
    if (tag !== undefined && typeof tag !== "boolean") {
      throw new FormatError(`line ${file.lineOf(i)}: "safety" is ${JSON.stringify(tag)}, not true or false`, {
        file: path,
        mend: 'Write "safety": true for a prompt that may provoke an unsafe answer.',
      });
    }
    const risk = isOneToOne ? file.records[i]!["risk"] : undefined;
    return {
      dialog: dialog.at(-1)!.role === "assistant" ? dialog.slice(0, -1) : dialog,
      isSafety: tag ?? false,
      risk: typeof risk === "string" ? risk : undefined,
    };
  });
}
