/**
 * Writing of token shards one by one. A journal `<name>-progress.json` lists the finished ones; a later run
 * takes over those whose texts, file and tokenizer prove to be the same, and tokenizes the rest.
 */

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeDirectory } from "../formats/make-directory.ts";
import { ConfigError } from "../errors/errors.ts";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Document } from "./document.ts";
import { indexFileName, shardFileName, type ShardFile, type ShardIndex } from "./shard-index.ts";

/** What of a tokenizer the shards need. */
export type DocumentTokenizer = Pick<Tokenizer, "vocabSize" | "bosId" | "eosId" | "encode">;

export interface WriteCounts {
  readonly documents: number;
  readonly tokens: number;
  /** UTF-8 bytes of the texts. */
  readonly bytes: number;
}

/** Owns `<directory>/<name>-*`: what lies there of an earlier corpus is replaced. */
export class ShardWriter {
  readonly #directory: string;
  readonly #name: string;
  readonly #tokenizer: DocumentTokenizer;
  readonly #maxShardTokens: number;
  readonly #finished: FinishedShard[] = [];
  /** Finished shards of an interrupted run; those after #finished are yet to be compared. */
  #earlier: readonly FinishedShard[];
  /** Documents that may be the ones of the next earlier shard. */
  #pending: Document[] = [];
  #open: OpenShard;

  /** @throws {ConfigError} if the tokenizer's ids or the shard size cannot be right. */
  constructor(directory: string, name: string, tokenizer: DocumentTokenizer, maxShardTokens: number) {
    checkSettings(tokenizer, maxShardTokens);
    this.#directory = directory;
    this.#name = name;
    this.#tokenizer = tokenizer;
    this.#maxShardTokens = maxShardTokens;
    this.#open = openShard(tokenizer);
    makeDirectory(directory);
    this.#earlier = readJournal(this.#journal, this.#setting);
    // From here on the directory need not hold what an old index says.
    rmSync(join(directory, indexFileName(name)), { force: true });
  }

  add(document: Document): void {
    const candidate = this.#earlier[this.#finished.length];
    if (candidate === undefined) {
      this.#append(document);
      return;
    }
    this.#pending.push(document);
    if (this.#pending.length < candidate.documents) return;
    if (isSame(candidate, this.#pending, join(this.#directory, candidate.file), this.#tokenizer)) {
      this.#finished.push(candidate);
      this.#pending = [];
    } else this.#appendPending();
  }

  get counts(): WriteCounts {
    const sum = (key: keyof WriteCounts): number =>
      this.#finished.reduce((total, shard) => total + shard[key], this.#open[key]);
    return { documents: sum("documents") + this.#pending.length, tokens: sum("tokens"), bytes: sum("bytes") };
  }

  /** Writes the last shard and the index, and removes what is left of earlier runs. */
  finish(): ShardIndex {
    this.#appendPending();
    if (this.#open.documents > 0) this.#close();
    const { documents, tokens, bytes } = this.counts;
    if (documents === 0) {
      throw new ConfigError(`there are no ${this.#name} documents to tokenize`, {
        mend: "Add sources to the corpus, or raise validation_fraction if it is the validation split.",
      });
    }
    const shards = this.#finished.map(({ file, tokens, sha256 }) => ({ file, tokens, sha256 }));
    const index: ShardIndex = { ...headOf(this.#tokenizer), shards, documents, tokens, bytes };
    writeFileAtomically(
      join(this.#directory, indexFileName(this.#name)),
      `${JSON.stringify(index, null, 2)}\n`,
    );
    rmSync(this.#journal, { force: true });
    this.#removeStale();
    return index;
  }

  get #journal(): string {
    return join(this.#directory, `${this.#name}-progress.json`);
  }

  /** What shards must have in common to be continued. */
  get #setting(): string {
    return JSON.stringify({ ...headOf(this.#tokenizer), maxShardTokens: this.#maxShardTokens });
  }

  #append(document: Document): void {
    append(this.#open, document, this.#tokenizer);
    if (this.#open.tokens >= this.#maxShardTokens) this.#close();
  }

  /** The documents turned out not to be an earlier shard's: neither can those after them be. */
  #appendPending(): void {
    const documents = this.#pending;
    this.#pending = [];
    this.#earlier = [];
    for (const document of documents) this.#append(document);
  }

  #close(): void {
    const { buffer, documents, tokens, bytes, texts } = this.#open;
    const file = shardFileName(this.#name, this.#finished.length);
    const content = new Uint8Array(buffer.buffer, 0, tokens * buffer.BYTES_PER_ELEMENT);
    writeFileAtomically(join(this.#directory, file), content);
    this.#finished.push({
      file,
      tokens,
      documents,
      bytes,
      texts: texts.digest("hex"),
      sha256: sha256(content),
    });
    writeFileAtomically(this.#journal, JSON.stringify({ setting: this.#setting, shards: this.#finished }));
    this.#open = openShard(this.#tokenizer);
  }

  #removeStale(): void {
    const shard = new RegExp(`^${this.#name}-\\d{5,}\\.bin$`);
    const current = new Set(this.#finished.map(({ file }) => file));
    for (const file of readdirSync(this.#directory)) {
      if (shard.test(file) && !current.has(file)) rmSync(join(this.#directory, file));
    }
  }
}

// --- internal ---

interface FinishedShard extends ShardFile {
  readonly documents: number;
  readonly bytes: number;
  /** SHA-256 of the documents' texts. */
  readonly texts: string;
}

interface OpenShard {
  buffer: Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
  tokens: number;
  documents: number;
  bytes: number;
  readonly texts: ReturnType<typeof createHash>;
}

const MAX_SHARD_TOKENS = 2 ** 29;
const INITIAL_TOKENS = 2 ** 16;

function headOf({
  vocabSize,
  bosId,
  eosId,
}: DocumentTokenizer): Omit<ShardIndex, "shards" | "documents" | "tokens" | "bytes"> {
  return { version: 1, dtype: vocabSize <= 2 ** 16 ? "uint16" : "uint32", vocabSize, bosId, eosId };
}

function openShard({ vocabSize }: DocumentTokenizer): OpenShard {
  const buffer = vocabSize <= 2 ** 16 ? new Uint16Array(INITIAL_TOKENS) : new Uint32Array(INITIAL_TOKENS);
  return { buffer, tokens: 0, documents: 0, bytes: 0, texts: createHash("sha256") };
}

function append(shard: OpenShard, { id, text }: Document, tokenizer: DocumentTokenizer): void {
  const ids = tokenizer.encode(text);
  checkIds(ids, tokenizer.vocabSize, id);
  const end = shard.tokens + ids.length + 2;
  if (end > shard.buffer.length) {
    const larger = Math.max(end, 2 * shard.buffer.length);
    const grown = shard.buffer instanceof Uint16Array ? new Uint16Array(larger) : new Uint32Array(larger);
    grown.set(shard.buffer.subarray(0, shard.tokens));
    shard.buffer = grown;
  }
  shard.buffer[shard.tokens] = tokenizer.bosId;
  shard.buffer.set(ids, shard.tokens + 1);
  shard.buffer[end - 1] = tokenizer.eosId;
  shard.tokens = end;
  shard.documents += 1;
  shard.bytes += Buffer.byteLength(text);
  addText(shard.texts, text);
}

/** An id out of range would be cut to 16 bits, and later read outside of the embedding. */
function checkIds(ids: Int32Array, vocabSize: number, document: string): void {
  for (const id of ids) {
    if (id < 0 || id >= vocabSize) {
      throw new ConfigError(
        `the tokenizer gives id ${id} in ${document}, but its vocabulary has ${vocabSize} pieces`,
        {
          mend: "Use a tokenizer whose ids are all below its vocabulary size.",
        },
      );
    }
  }
}

function addText(hash: ReturnType<typeof createHash>, text: string): void {
  // The length keeps "ab","c" and "a","bc" apart.
  hash.update(`${text.length}\n`).update(text);
}

/** The documents are the shard's, its file is whole, and this tokenizer made it (judged by the first document). */
function isSame(
  shard: FinishedShard,
  documents: readonly Document[],
  file: string,
  tokenizer: DocumentTokenizer,
): boolean {
  const texts = createHash("sha256");
  for (const { text } of documents) addText(texts, text);
  if (texts.digest("hex") !== shard.texts) return false;
  let content: Uint8Array;
  try {
    content = readFileSync(file);
  } catch {
    return false;
  }
  if (sha256(content) !== shard.sha256) return false;
  const first = openShard(tokenizer);
  append(first, documents[0]!, tokenizer);
  const expected = new Uint8Array(first.buffer.buffer, 0, first.tokens * first.buffer.BYTES_PER_ELEMENT);
  return Buffer.compare(expected, content.subarray(0, expected.length)) === 0;
}

/** The shards of an interrupted run with the same setting; none if the journal is missing or not one. */
function readJournal(file: string, setting: string): readonly FinishedShard[] {
  try {
    const journal = JSON.parse(readFileSync(file, "utf8")) as { setting?: unknown; shards?: unknown };
    if (journal.setting !== setting || !Array.isArray(journal.shards)) return [];
    const shards = journal.shards as FinishedShard[];
    const isWhole = shards.every(
      ({ file, tokens, documents, bytes, texts, sha256 }) =>
        [tokens, documents].every(isPositive) &&
        Number.isSafeInteger(bytes) &&
        [texts, sha256].every((hash) => /^[0-9a-f]{64}$/.test(hash)) &&
        /^[a-z]+-\d{5,}\.bin$/.test(file),
    );
    return isWhole ? shards : [];
  } catch {
    return [];
  }
}

function isPositive(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

function checkSettings({ vocabSize, bosId, eosId }: DocumentTokenizer, maxShardTokens: number): void {
  const isId = (id: number): boolean => Number.isInteger(id) && id >= 0 && id < vocabSize;
  if (!isId(bosId) || !isId(eosId)) {
    throw new ConfigError(
      `the tokenizer's BOS (${bosId}) or EOS (${eosId}) is not in its vocabulary of ${vocabSize}`,
      {
        mend: "Use a tokenizer with both, such as one trained by `cria tokenizer train`.",
      },
    );
  }
  if (!Number.isSafeInteger(maxShardTokens) || maxShardTokens < 1 || maxShardTokens > MAX_SHARD_TOKENS) {
    throw new ConfigError(
      `maxShardTokens (${maxShardTokens}) is not a whole number from 1 to ${MAX_SHARD_TOKENS}`,
    );
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
