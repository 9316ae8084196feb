/**
 * Token shards: a tokenized corpus on disk that is larger than memory and opens at once.
 *
 * A document is `BOS tokens EOS`, in one shard whole. A shard `train-00000.bin` is the bare tokens, little-endian
 * uint16 when the vocabulary allows, else uint32; `train-index.json` says what they are. The index is written
 * last: without it there is no corpus.
 */

import { closeSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, FormatError, UseAfterFreeError } from "../errors/errors.ts";
import type { Document } from "./document.ts";
import { indexFileName, readIndex, type ShardIndex, tokenBytes } from "./shard-index.ts";
import { type DocumentTokenizer, ShardWriter, type WriteCounts } from "./shard-writer.ts";

export type { ShardIndex } from "./shard-index.ts";
export type { DocumentTokenizer, WriteCounts } from "./shard-writer.ts";

export type SplitName = "train" | "validation";

export interface WriteShardsOptions {
  /** A shard ends with the document that reaches this. */
  readonly maxShardTokens?: number;
  readonly onProgress?: (counts: WriteCounts) => void;
  readonly signal?: AbortSignal;
}

export interface TokenShards extends Disposable {
  readonly index: ShardIndex;
  /** Tokens of the split, BOS and EOS included. */
  readonly tokens: number;
  /** UTF-8 bytes of the texts: the divisor of bits per byte. */
  readonly bytes: number;
  /**
   * Copies tokens [start, start + length) of the whole stream into the beginning of `into`.
   *
   * @throws {FormatError} if a token is not in the vocabulary: the file was altered.
   * @throws {UseAfterFreeError} once disposed.
   */
  read(start: number, length: number, into: Int32Array): void;
}

/**
 * Tokenizes the documents into `directory`, replacing what it holds under `name`. If an earlier call with the
 * same documents and tokenizer was interrupted, its finished shards are kept.
 *
 * @throws {ConfigError} if there are no documents, or the tokenizer gives ids outside of its vocabulary.
 * @throws the signal's reason, if it is aborted; what is finished then stays for the next call.
 */
// oxlint-disable-next-line max-params -- two things in, one place out, and the options
export async function writeShards(
  directory: string,
  name: SplitName,
  documents: Iterable<Document>,
  tokenizer: DocumentTokenizer,
  options: WriteShardsOptions = {},
): Promise<ShardIndex> {
  const { maxShardTokens = DEFAULT_SHARD_TOKENS, onProgress, signal } = options;
  const writer = new ShardWriter(directory, name, tokenizer, maxShardTokens);
  let turn = performance.now();
  for (const document of documents) {
    // Tokenizing never waits by itself: let signals and progress bars have their turn.
    if (performance.now() - turn > TURN_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      turn = performance.now();
    }
    signal?.throwIfAborted();
    writer.add(document);
    onProgress?.(writer.counts);
  }
  return writer.finish();
}

/**
 * Opens a tokenized split for reading; caller disposes.
 *
 * @throws {FormatError} if the index is missing or wrong, or a shard's size is not what the index says.
 */
export function openShards(directory: string, name: SplitName): TokenShards {
  const index = readIndex(join(directory, indexFileName(name)), name);
  const width = tokenBytes(index.dtype);
  let tokens = 0;
  const shards = index.shards.map((shard): Shard => {
    const path = join(directory, shard.file);
    checkSize(path, shard.tokens * width);
    const start = tokens;
    tokens += shard.tokens;
    return { path, start, tokens: shard.tokens, width, fd: undefined };
  });
  let isOpen = true;
  return {
    index,
    tokens,
    bytes: index.bytes,
    read(start, length, into) {
      if (!isOpen)
        throw new UseAfterFreeError(`the shards of ${directory} are closed; keep them open with \`using\``);
      checkRange(start, length, tokens, into);
      for (let done = 0; done < length;) {
        const shard = shards[shardAt(shards, start + done)]!;
        const from = start + done - shard.start;
        const count = Math.min(length - done, shard.tokens - from);
        readTokens(shard, from, into.subarray(done, done + count), index.vocabSize);
        done += count;
      }
    },
    [Symbol.dispose]() {
      isOpen = false;
      for (const shard of shards) {
        if (shard.fd !== undefined) closeSync(shard.fd);
        shard.fd = undefined;
      }
    },
  };
}

// --- internal ---

/** 32 MiB of uint16: what an interruption costs, and what is held in memory. */
const DEFAULT_SHARD_TOKENS = 2 ** 24;
const TURN_MS = 50;

interface Shard {
  readonly path: string;
  /** Tokens of the shards before this one. */
  readonly start: number;
  readonly tokens: number;
  readonly width: 2 | 4;
  fd: number | undefined;
}

function checkSize(path: string, expected: number): void {
  const actual = statSync(path, { throwIfNoEntry: false })?.size;
  if (actual === expected) return;
  const found = actual === undefined ? "is missing" : `has ${actual} bytes`;
  throw new FormatError(`the shard ${found}, but its index says ${expected} bytes`, {
    file: path,
    mend: "Prepare the corpus again.",
  });
}

function checkRange(start: number, length: number, tokens: number, into: Int32Array): void {
  if (isCount(start) && isCount(length) && start + length <= tokens && length <= into.length) return;
  throw new ConfigError(
    `cannot read ${length} tokens from ${start} on into ${into.length}: the shards have ${tokens} tokens`,
  );
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** The last shard that starts at or before `token`: the one that holds it, also beside empty shards. */
function shardAt(shards: readonly Shard[], token: number): number {
  let low = 0;
  let high = shards.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (shards[middle]!.start <= token) low = middle;
    else high = middle - 1;
  }
  return low;
}

function readTokens(shard: Shard, from: number, into: Int32Array, vocabSize: number): void {
  const { width, path } = shard;
  shard.fd ??= openSync(path, "r");
  const bytes = new Uint8Array(into.length * width);
  for (let done = 0; done < bytes.length;) {
    const read = readSync(shard.fd, bytes, done, bytes.length - done, from * width + done);
    if (read === 0) {
      throw new FormatError("the shard ends early: it was cut while it was open", {
        file: path,
        offset: from * width + done,
      });
    }
    done += read;
  }
  const tokens = width === 2 ? new Uint16Array(bytes.buffer) : new Uint32Array(bytes.buffer);
  for (let i = 0; i < tokens.length; i += 1) {
    const token = tokens[i]!;
    if (token >= vocabSize) {
      throw new FormatError(`token ${token} is not in the vocabulary of ${vocabSize}`, {
        file: path,
        offset: (from + i) * width,
        mend: "Prepare the corpus again.",
      });
    }
    into[i] = token;
  }
}
