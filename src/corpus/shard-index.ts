/** The index of token shards, and its reading: nothing in it is believed before it is checked. */

import { readFileSync, statSync } from "node:fs";
import { FormatError } from "../errors/errors.ts";

export interface ShardFile {
  /** Name within the directory. */
  readonly file: string;
  readonly tokens: number;
  /** Of the file, in hexadecimal. */
  readonly sha256: string;
}

export interface ShardIndex {
  readonly version: 1;
  readonly dtype: "uint16" | "uint32";
  readonly vocabSize: number;
  readonly bosId: number;
  readonly eosId: number;
  readonly shards: readonly ShardFile[];
  readonly documents: number;
  readonly tokens: number;
  /** UTF-8 bytes of the texts, for bits per byte. */
  readonly bytes: number;
}

export function tokenBytes(dtype: ShardIndex["dtype"]): 2 | 4 {
  return dtype === "uint16" ? 2 : 4;
}

export function indexFileName(name: string): string {
  return `${name}-index.json`;
}

export function shardFileName(name: string, number: number): string {
  return `${name}-${String(number).padStart(5, "0")}.bin`;
}

/** @throws {FormatError} if the file is missing, is not an index, or its numbers contradict each other. */
export function readIndex(file: string, name: string): ShardIndex {
  const index = readIndexJson(file);
  if (index["version"] !== 1) {
    throw wrong(file, `version ${String(index["version"])} of a shard index is not known`);
  }
  const { dtype, shards } = index;
  if (dtype !== "uint16" && dtype !== "uint32")
    throw wrong(file, `dtype ${JSON.stringify(dtype)} is not uint16 or uint32`);
  const vocabSize = count(index, "vocabSize", file);
  if (vocabSize < 1 || vocabSize > 2 ** (8 * tokenBytes(dtype))) {
    throw wrong(file, `a vocabulary of ${vocabSize} does not fit ${dtype}`);
  }
  if (!Array.isArray(shards) || shards.length === 0) throw wrong(file, "the index lists no shards");
  const files = shards.map((shard: unknown, i) => shardFile(shard, shardFileName(name, i), file));
  const tokens = count(index, "tokens", file);
  const sum = files.reduce((total, shard) => total + shard.tokens, 0);
  if (sum !== tokens)
    throw wrong(file, `the shards have ${sum} tokens together, but the index says ${tokens}`);
  return {
    version: 1,
    dtype,
    vocabSize,
    bosId: count(index, "bosId", file),
    eosId: count(index, "eosId", file),
    shards: files,
    documents: count(index, "documents", file),
    tokens,
    bytes: count(index, "bytes", file),
  };
}

// --- internal ---

/** An index line is some 120 bytes: this is half a million shards. */
const MAX_INDEX_BYTES = 64 * 1024 ** 2;

function readIndexJson(file: string): Record<string, unknown> {
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined) {
    throw new FormatError("there is no such index: the corpus was not tokenized, or not to its end", {
      file,
      mend: "Prepare the corpus (again); finished shards are kept.",
    });
  }
  if (size > MAX_INDEX_BYTES) throw wrong(file, `an index of ${size} bytes is not one that Cria wrote`);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw wrong(file, `not JSON (${(cause as Error).message})`, cause);
  }
  if (typeof value !== "object" || value === null) throw wrong(file, "the index is not a JSON object");
  return value as Record<string, unknown>;
}

function shardFile(value: unknown, expected: string, file: string): ShardFile {
  const shard = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  // The name is fixed, so an index cannot point out of its directory.
  if (shard["file"] !== expected) {
    throw wrong(file, `shard ${JSON.stringify(shard["file"])} stands where ${expected} is expected`);
  }
  const { sha256 } = shard;
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256))
    throw wrong(file, `${expected} has no SHA-256`);
  return { file: expected, tokens: count(shard, "tokens", file), sha256 };
}

function count(record: Record<string, unknown>, key: string, file: string): number {
  const value = record[key];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw wrong(file, `${key} (${JSON.stringify(value)}) is not a count`);
}

function wrong(file: string, message: string, cause?: unknown): FormatError {
  return new FormatError(message, { file, cause, mend: "Prepare the corpus again." });
}
