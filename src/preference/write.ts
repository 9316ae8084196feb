/**
 * Preferences as files that other tools read: TRL's conversational format, as JSON Lines or Parquet, or hh-rlhf's
 * transcripts. The first two keep all that Cria knows; `readComparisons` reads each of them back.
 */

import type { Dialog } from "../dialog/message.ts";
import { ConfigError } from "../errors/errors.ts";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import { parquetBytes } from "../formats/parquet.ts";
import type { Comparison } from "./comparison.ts";
import { strengths } from "./comparison.ts";

/** TRL's row, and what Cria adds. A key is absent where nothing is known. */
export interface TrlRow {
  readonly prompt: Dialog;
  readonly chosen: Dialog;
  readonly rejected: Dialog;
  /** The paper's small margin (Llama 2 Table 27): 1, 2/3, 1/3, 0. */
  readonly margin?: number;
  readonly strength?: string;
  readonly safety?: string;
  readonly quality: string;
  readonly judge: string;
}

export function trlRow({ prompt, chosen, rejected, ...about }: Comparison): TrlRow {
  return {
    prompt,
    chosen: [{ role: "assistant", content: chosen }],
    rejected: [{ role: "assistant", content: rejected }],
    ...(about.strength === undefined ? {} : { margin: (3 - strengths.indexOf(about.strength)) / 3 }),
    ...about,
  };
}

/**
 * Writes `.jsonl` or `.parquet`, by the name, or the transcripts of hh-rlhf.
 *
 * @throws {ConfigError} for another ending, or a system message, which transcripts cannot say.
 */
export function writeComparisons(
  path: string,
  comparisons: readonly Comparison[],
  format: "trl" | "hh-rlhf" = "trl",
): void {
  if (path.endsWith(".parquet") && format === "trl") writeFileAtomically(path, parquetOf(comparisons));
  else if (path.endsWith(".jsonl")) {
    const rows = format === "trl" ? comparisons.map(trlRow) : comparisons.map(transcripts);
    writeFileAtomically(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  } else {
    throw new ConfigError(`${path}: ${format} is not written to a file of this kind`, {
      mend: format === "trl" ? "Name a .jsonl or a .parquet file." : "Name a .jsonl file.",
    });
  }
}

// --- internal ---

function parquetOf(comparisons: readonly Comparison[]): Uint8Array {
  const rows = comparisons.map(trlRow);
  const column = (name: keyof TrlRow, type: "text" | "number" | "messages") => ({
    name,
    type,
    values: rows.map((row) => row[name] ?? null),
  });
  return parquetBytes([
    column("prompt", "messages"),
    column("chosen", "messages"),
    column("rejected", "messages"),
    column("margin", "number"),
    column("strength", "text"),
    column("safety", "text"),
    column("quality", "text"),
    column("judge", "text"),
  ]);
}

function transcripts({ prompt, chosen, rejected }: Comparison): Record<"chosen" | "rejected", string> {
  const turns = prompt.map(({ role, content }) => {
    if (role !== "system") return `\n\n${role === "user" ? "Human" : "Assistant"}: ${content}`;
    throw new ConfigError("hh-rlhf's transcripts have no place for a system message", {
      mend: "Write these comparisons in TRL's format.",
    });
  });
  const asked = `${turns.join("")}\n\nAssistant: `;
  return { chosen: asked + chosen, rejected: asked + rejected };
}
