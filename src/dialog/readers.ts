/**
 * Files of conversations, in the formats that data sets for instruction tuning are published in. The format
 * is told by the keys of the first record, and all records must have the same; one file per format.
 */

import { ConfigError, FormatError } from "../errors/errors.ts";
import { dialogsOfAlpaca } from "./alpaca.ts";
import { dialogsOfHhRlhf } from "./hh-rlhf.ts";
import { isFields, readRecord, readRecords } from "./json-records.ts";
import type { Fields } from "./json-records.ts";
import type { Dialog } from "./message.ts";
import { checkDialog } from "./message.ts";
import { dialogsOfMessages } from "./messages.ts";
import { dialogsOfOpenAssistant } from "./openassistant.ts";
import { dialogsOfPrompt, dialogsOfPromptResponse } from "./prompt-response.ts";
import { dialogsOfSelfInstruct } from "./self-instruct.ts";
import { dialogsOfShareGpt } from "./sharegpt.ts";

export type DialogFormat =
  | "messages"
  | "sharegpt"
  | "alpaca"
  | "self-instruct"
  | "openassistant"
  | "prompt-response"
  | "prompt"
  | "hh-rlhf";

export interface DialogFile {
  /** Valid by {@link checkDialog}, in the order of the file. Those of format `prompt` end with the user. */
  readonly dialogs: readonly Dialog[];
  readonly format: DialogFormat;
}

/**
 * Reads every dialog of a `.jsonl` or `.json` file.
 *
 * @throws {ConfigError} if the file is missing, empty or not of these kinds.
 * @throws {FormatError} naming the file and the line of the first record that is not as its format says.
 */
export function readDialogs(path: string): DialogFile {
  const file = readRecords(path);
  const first = file.records[0]!;
  const format = formatOf(first);
  if (format === undefined) throw unknownFormat(first, path, file.lineOf(0));
  const dialogs: Dialog[] = [];
  for (const [i, record] of file.records.entries()) {
    for (const dialog of readRecord(path, `line ${file.lineOf(i)}`, () => dialogsOfRecord(record, format)))
      dialogs.push(dialog);
  }
  if (dialogs.length === 0) {
    throw new ConfigError(`${path}: no record has an answer`, { mend: "Give at least one answered prompt." });
  }
  return { dialogs, format };
}

// --- internal ---

interface Reader {
  /** The keys that tell the format. */
  readonly keys: string;
  matches(record: Fields): boolean;
  dialogs(record: Fields): Dialog[];
}

/** In the order they are tried: a record may have the keys of two. */
const READERS: Readonly<Record<DialogFormat, Reader>> = {
  messages: { keys: "messages", matches: has("messages"), dialogs: dialogsOfMessages },
  sharegpt: { keys: "conversations", matches: has("conversations"), dialogs: dialogsOfShareGpt },
  "self-instruct": {
    keys: "instruction, instances",
    matches: has("instruction", "instances"),
    dialogs: dialogsOfSelfInstruct,
  },
  alpaca: { keys: "instruction, output", matches: has("instruction", "output"), dialogs: dialogsOfAlpaca },
  openassistant: {
    keys: "prompt.replies",
    matches: ({ prompt }) => isFields(prompt) && "replies" in prompt,
    dialogs: dialogsOfOpenAssistant,
  },
  "prompt-response": {
    keys: "prompt, response (or completion)",
    matches: (record) => "prompt" in record && ("response" in record || "completion" in record),
    dialogs: dialogsOfPromptResponse,
  },
  prompt: { keys: "prompt", matches: has("prompt"), dialogs: dialogsOfPrompt },
  "hh-rlhf": { keys: "chosen, rejected", matches: has("chosen", "rejected"), dialogs: dialogsOfHhRlhf },
};

const FORMATS = Object.keys(READERS) as readonly DialogFormat[];

function has(...keys: readonly string[]): (record: Fields) => boolean {
  return (record) => keys.every((key) => Object.hasOwn(record, key));
}

function formatOf(record: Fields): DialogFormat | undefined {
  return FORMATS.find((format) => READERS[format].matches(record));
}

function dialogsOfRecord(record: Fields, format: DialogFormat): Dialog[] {
  const own = formatOf(record);
  if (own !== format) {
    throw new FormatError(
      `keys (${keysOf(record)}) are not those of format ${format}, as in the first record`,
      {
        mend: `Give every record the keys ${READERS[format].keys}, or put other formats in files of their own.`,
      },
    );
  }
  const dialogs = READERS[format].dialogs(record);
  for (const dialog of dialogs) checkDialog(dialog, "dialog");
  return dialogs;
}

function unknownFormat(record: Fields, path: string, line: number): FormatError {
  const known = Object.values(READERS).map(({ keys }) => `(${keys})`);
  return new FormatError(`line ${line}: keys (${keysOf(record)}) are of no known format`, {
    file: path,
    mend: `Give every record the keys ${known.join(" or ")}.`,
  });
}

/** Enough of the keys to recognise the record by. */
function keysOf(record: Fields): string {
  const keys = Object.keys(record);
  const shown = keys.slice(0, 8).map((key) => key.slice(0, 40));
  return keys.length > shown.length
    ? `${shown.join(", ")}, and ${keys.length - shown.length} more`
    : shown.join(", ");
}
