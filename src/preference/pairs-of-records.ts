/**
 * Records of the formats that preference data sets are published in, as pairs of whole conversations. The format is
 * told by a record's keys; a record that does not keep to it is an error, unlike a pair that says nothing.
 */

import { dialogOfTranscript } from "../dialog/hh-rlhf.ts";
import { isFields, optionalText, recordsField, textField, type Fields } from "../dialog/json-records.ts";
import type { Dialog } from "../dialog/message.ts";
import { dialogsOfMessages } from "../dialog/messages.ts";
import { dialogsOfShareGpt } from "../dialog/sharegpt.ts";
import { ConfigError, FormatError } from "../errors/errors.ts";
import type { Quality } from "./comparison.ts";
import { safetyLabels, strengths } from "./comparison.ts";
import type { Exclusion, Pair } from "./pair.ts";

export type PairFormat = "hh-rlhf" | "trl" | "sharegpt" | "alpaca-eval";

/** The first that a record's keys and values match. */
export function pairFormatOf(record: Fields): PairFormat | undefined {
  if ("conversations" in record && "chosen" in record && "rejected" in record) return "sharegpt";
  if ("instruction" in record && "output_1" in record && "output_2" in record) return "alpaca-eval";
  if (!("chosen" in record && "rejected" in record)) return undefined;
  if (!("prompt" in record) && typeof record["chosen"] === "string") return "hh-rlhf";
  return "trl";
}

/** @throws {FormatError} when a field is not what the format says. */
export function pairOfRecord(record: Fields, format: PairFormat): Pair | Exclusion {
  switch (format) {
    case "hh-rlhf":
      return {
        chosen: dialogOfTranscript(textField(record, "chosen")),
        rejected: dialogOfTranscript(textField(record, "rejected")),
        judge: "people (hh-rlhf)",
      };
    case "trl":
      return pairOfTrl(record);
    case "sharegpt":
      return pairOfShareGpt(record);
    case "alpaca-eval":
      return pairOfAlpacaEval(record);
  }
}

// --- internal ---

/**
 * TRL's preference format: `prompt`, `chosen` and `rejected` are texts or lists of messages; without a prompt the two
 * are whole conversations. Beside them what Cria itself writes: margin, strength, safety, quality, judge.
 */
function pairOfTrl(record: Fields): Pair {
  const prompt = "prompt" in record ? dialogOfField(record, "prompt", "user") : [];
  const margin = record["margin"] ?? undefined;
  if (margin !== undefined && (typeof margin !== "number" || !Number.isFinite(margin))) {
    throw new FormatError(`"margin" is ${JSON.stringify(margin)}, not a number`, {
      mend: 'Give "margin" as a number, larger the clearer the preference, or leave it out.',
    });
  }
  const strength = choice(record, "strength", strengths);
  const safety = choice(record, "safety", [...safetyLabels, "chosen-unsafe"] as const);
  const quality = choice(record, "quality", ["helpfulness", "safety"] satisfies readonly Quality[]);
  const judge = optionalText(record, "judge");
  return {
    chosen: [...prompt, ...dialogOfField(record, "chosen", "assistant")],
    rejected: [...prompt, ...dialogOfField(record, "rejected", "assistant")],
    ...(margin === undefined ? {} : { margin }),
    ...(strength === undefined ? {} : { strength }),
    ...(safety === undefined ? {} : { safety }),
    ...(quality === undefined ? {} : { quality }),
    ...(judge === "" ? {} : { judge }),
  };
}

function pairOfShareGpt(record: Fields): Pair {
  const prompt = conversation(record, recordsField(record, "conversations"));
  const side = (key: "chosen" | "rejected"): Dialog => {
    const value = record[key];
    if (isFields(value)) return [...prompt, ...conversation({}, [value])];
    return [...prompt, { role: "assistant", content: textField(record, key) }];
  };
  return { chosen: side("chosen"), rejected: side("rejected") };
}

/** AlpacaEval's annotations: 1 and 2 name the better output, 0 a tie; 1.5 is written too. */
function pairOfAlpacaEval(record: Fields): Pair | Exclusion {
  const preference = Number(record["preference"] ?? Number.NaN);
  if (![0, 1, 1.5, 2].includes(preference)) {
    throw new FormatError(`"preference" is ${JSON.stringify(record["preference"])}, not 0, 1, 1.5 or 2`, {
      mend: "Give 1 or 2 for the output that is better, 0 for neither.",
    });
  }
  const prompt = { role: "user", content: textField(record, "instruction") } as const;
  const outputs = (["output_1", "output_2"] as const).map((key): Dialog => [
    prompt,
    { role: "assistant", content: textField(record, key) },
  ]);
  if (preference === 0 || preference === 1.5) return "neither answer is preferred";
  const annotator = optionalText(record, "annotator");
  return {
    chosen: outputs[preference - 1]!,
    rejected: outputs[2 - preference]!,
    ...(annotator === "" ? {} : { judge: annotator }),
  };
}

function dialogOfField(record: Fields, key: string, role: "user" | "assistant"): Dialog {
  const value = record[key];
  if (Array.isArray(value)) return dialogsOfMessages({ messages: value })[0]!;
  return [{ role, content: textField(record, key) }];
}

function conversation(system: Fields, turns: readonly Fields[]): Dialog {
  return dialogsOfShareGpt({ ...system, conversations: turns })[0]!;
}

function choice<const T extends string>(record: Fields, key: string, allowed: readonly T[]): T | undefined {
  const text = optionalText(record, key);
  if (text === "") return undefined;
  const found = allowed.find((name) => name === text);
  if (found !== undefined) return found;
  throw new ConfigError(`"${key}" is ${JSON.stringify(text)}, not one of ${allowed.join(", ")}`, {
    mend: `Give one of ${allowed.join(", ")}, or leave "${key}" out.`,
  });
}
