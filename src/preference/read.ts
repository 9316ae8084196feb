/** Files of preferences, JSON Lines, JSON (both also as `.gz`) or Parquet, of any of the known formats. */

import { readRecord, readRecords, type Fields, type RecordFile } from "../dialog/json-records.ts";
import { ConfigError, FormatError } from "../errors/errors.ts";
import { readParquet } from "../formats/parquet.ts";
import type { Comparison, Quality } from "./comparison.ts";
import { comparisonOfPair, type Exclusion, type Pair } from "./pair.ts";
import { pairFormatOf, pairOfRecord, type PairFormat } from "./pairs-of-records.ts";

export interface ComparisonFile {
  /** In the order of the file. */
  readonly comparisons: readonly Comparison[];
  readonly format: PairFormat;
  /** How many pairs of the file are no comparisons, by reason. */
  readonly excluded: ReadonlyMap<Exclusion, number>;
}

/** The judge of pairs that name none. */
export const unstatedJudge = "not stated";

export interface ReadComparisonsOptions {
  /** Of pairs that do not say so themselves: safety where the path speaks of "harmless", else helpfulness. */
  readonly quality?: Quality;
  /** Who preferred, where the pairs do not say so themselves. */
  readonly judge?: string;
}

/**
 * @throws {ConfigError} when the file is missing, empty or of another kind, or holds no comparison.
 * @throws {FormatError} naming the first record that is not as the format of the first record says.
 */
export async function readComparisons(
  path: string,
  options: ReadComparisonsOptions = {},
): Promise<ComparisonFile> {
  const file = await openRecords(path);
  const format = pairFormatOf(file.records[0]!);
  if (format === undefined) throw unknownFormat(file.records[0]!, path);
  const pairs = file.records.map((record, i) =>
    readRecord(path, `${file.unit} ${file.lineOf(i)}`, () => pairOf(record, format)),
  );
  const { comparisons, excluded } = comparisonsOfPairs(pairs, path, options);
  if (comparisons.length > 0) return { comparisons, format, excluded };
  const reasons = [...excluded].map(([reason, count]) => `${count}: ${reason}`).join("; ");
  throw new ConfigError(`${path} has no pair that is a comparison (${reasons})`, {
    mend: "Give conversations that differ in their last answer.",
  });
}

// --- internal ---

interface Records extends RecordFile {
  /** What `lineOf` counts. */
  readonly unit: "line" | "row";
}

async function openRecords(path: string): Promise<Records> {
  if (!path.toLowerCase().endsWith(".parquet")) return { ...readRecords(path), unit: "line" };
  const rows = await readParquet(path);
  if (rows.length === 0) throw new ConfigError(`${path} has no rows`, { mend: "Give one with data." });
  return { records: rows, lineOf: (index) => index + 1, unit: "row" };
}

function pairOf(record: Fields, format: PairFormat): Pair | Exclusion {
  const own = pairFormatOf(record);
  if (own === format) return pairOfRecord(record, format);
  throw new FormatError(`its keys are those of ${own ?? "no known format"}, not of ${format}`, {
    mend: "Put other formats in files of their own.",
  });
}

function comparisonsOfPairs(
  pairs: readonly (Pair | Exclusion)[],
  path: string,
  options: ReadComparisonsOptions,
): { comparisons: Comparison[]; excluded: Map<Exclusion, number> } {
  const defaults = {
    quality: options.quality ?? (/harmless/i.test(path) ? "safety" : "helpfulness"),
    judge: options.judge ?? unstatedJudge,
    largestMargin: pairs.reduce((most, pair) => Math.max(most, marginOf(pair)), 0),
  };
  const comparisons: Comparison[] = [];
  const excluded = new Map<Exclusion, number>();
  for (const pair of pairs) {
    const read = typeof pair === "string" ? pair : comparisonOfPair(pair, defaults);
    if (typeof read === "string") excluded.set(read, (excluded.get(read) ?? 0) + 1);
    else comparisons.push(read);
  }
  return { comparisons, excluded };
}

function marginOf(pair: Pair | Exclusion): number {
  return typeof pair === "string" ? 0 : (pair.margin ?? 0);
}

function unknownFormat(record: Fields, path: string): FormatError {
  const keys = Object.keys(record).slice(0, 8).join(", ");
  return new FormatError(`the first record's keys (${keys}) are of no known format of preferences`, {
    file: path,
    mend: "Give every record the keys (chosen, rejected), (prompt, chosen, rejected), (conversations, chosen, rejected) or (instruction, output_1, output_2, preference).",
  });
}
