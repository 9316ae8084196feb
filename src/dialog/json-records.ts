/**
 * Files of JSON records, one object per line (JSON Lines) or in one array (RFC 8259), and the line each
 * record begins at, so that whoever reads its fields can say where a bad one is.
 */

import { readFileSync, statSync } from "node:fs";
import { extname } from "node:path";
import { gunzipSync } from "node:zlib";
import { ConfigError, CriaError, FormatError } from "../errors/errors.ts";

/** A JSON object whose fields nobody has checked yet. */
export type Fields = Readonly<Record<string, unknown>>;

export interface RecordFile {
  readonly records: readonly Fields[];
  /** Line that record `index` begins at, counted from 1. */
  lineOf(index: number): number;
}

/**
 * Reads a `.jsonl` or `.json` file, or one of them compressed (`.gz`). Blank lines and a byte order mark are skipped; a `.json` file may hold
 * an array, a single object, or lines, since data sets are published as each of them.
 *
 * @throws {ConfigError} if the file is missing, empty, too large, or of another kind.
 * @throws {FormatError} naming the line, if it is not UTF-8 text of JSON objects.
 */
export function readRecords(path: string): RecordFile {
  const text = readText(path);
  if (firstCharacter(text) === "[") return recordsOfArray(text, path);
  if (kindOfPath(path) === ".json") {
    const single = parsed(text);
    if ("value" in single) return { records: [asFields(single.value, path, 1)], lineOf: () => 1 };
  }
  return recordsOfLines(text, path);
}

/** What a record is read as. @param place of the record, such as "line 3": an error says it, and the file. */
export function readRecord<T>(path: string, place: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof CriaError)) throw cause;
    const { message, mend } = cause;
    throw new FormatError(`${place}: ${message}`, { file: path, mend, cause });
  }
}

/** A field that must be text. @throws {FormatError} otherwise. */
export function textField(fields: Fields, key: string): string {
  const value = fields[key];
  if (typeof value === "string") return value;
  throw new FormatError(`"${key}" is ${kindOf(value)}, not text`, {
    mend: `Give "${key}" as a JSON string.`,
  });
}

/** A field that may be absent, null or blank, which all read as "". @throws {FormatError} if it is not text. */
export function optionalText(fields: Fields, key: string): string {
  return fields[key] === undefined || fields[key] === null ? "" : textField(fields, key);
}

/** A field that must be an array of objects. @throws {FormatError} otherwise. */
export function recordsField(fields: Fields, key: string): readonly Fields[] {
  const value = fields[key];
  if (!Array.isArray(value)) {
    throw new FormatError(`"${key}" is ${kindOf(value)}, not an array`, {
      mend: `Give "${key}" as an array of objects.`,
    });
  }
  const wrong = value.findIndex((item) => !isFields(item));
  if (wrong >= 0) {
    throw new FormatError(`"${key}" has ${kindOf(value[wrong])} at place ${wrong + 1}, not an object`, {
      mend: `Give "${key}" as an array of objects.`,
    });
  }
  return value;
}

/** Whether a JSON value is an object (and not null or an array). */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// --- internal ---

/** V8's strings end near 2^29 characters. */
const MAX_BYTES = 2 ** 29 - 2 ** 10;

/** The ending that tells what the text is, without that of the compression. */
function kindOfPath(path: string): string {
  return extname(path.replace(/\.gz$/i, "")).toLowerCase();
}

function readText(path: string): string {
  if (![".jsonl", ".json"].includes(kindOfPath(path))) {
    throw new ConfigError(`${path}: not a .jsonl or .json file`, {
      mend: "Convert it to JSON Lines: one JSON object per line.",
    });
  }
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile()) {
    throw new ConfigError(`${path}: ${stat === undefined ? "no such file" : "not a file"}`, {
      mend: "Check the path.",
    });
  }
  if (stat.size > MAX_BYTES) {
    throw new ConfigError(
      `${path}: ${stat.size} bytes are more than the ${MAX_BYTES} that fit in memory as text`,
      {
        mend: "Split the file into parts.",
      },
    );
  }
  const bytes = readBytes(path);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError("not UTF-8 text", { file: path, mend: "Save the file as UTF-8.", cause });
  }
  if (firstCharacter(text) === undefined) {
    throw new ConfigError(`${path}: the file is empty`, { mend: "Write at least one JSON object into it." });
  }
  return text;
}

function readBytes(path: string): Uint8Array {
  const bytes = readFileSync(path);
  if (!/\.gz$/i.test(path)) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_BYTES });
  } catch (cause) {
    throw new FormatError(`not gzip, or more than ${MAX_BYTES} bytes of it`, { file: path, cause });
  }
}

function recordsOfLines(text: string, path: string): RecordFile {
  const records: Fields[] = [];
  const lines: number[] = [];
  let line = 0;
  for (let start = 0; start < text.length;) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    const source = text.slice(start, end);
    line += 1;
    start = end + 1;
    if (firstCharacter(source) === undefined) continue;
    const result = parsed(source);
    if (!("value" in result)) throw notJson(result.problem, path, line);
    records.push(asFields(result.value, path, line));
    lines.push(line);
  }
  return { records, lineOf: (index) => lines[index]! };
}

function recordsOfArray(text: string, path: string): RecordFile {
  const result = parsed(text);
  if (!("value" in result)) throw notJson(result.problem, path, lineOfProblem(text, result.problem));
  // The lines cost a scan of the text, which only an error needs.
  const lineOf = (index: number): number => lineAt(text, elementStarts(text)[index]!);
  const values = result.value as readonly unknown[];
  const wrong = values.findIndex((value) => !isFields(value));
  if (wrong >= 0) asFields(values[wrong], path, lineOf(wrong));
  if (values.length === 0) {
    throw new ConfigError(`${path}: the array is empty`, { mend: "Write at least one JSON object into it." });
  }
  return { records: values as readonly Fields[], lineOf };
}

function parsed(source: string): { readonly value: unknown } | { readonly problem: SyntaxError } {
  try {
    return { value: JSON.parse(source) as unknown };
  } catch (problem) {
    return { problem: problem as SyntaxError };
  }
}

function asFields(value: unknown, path: string, line: number): Fields {
  if (isFields(value)) return value;
  throw new FormatError(`line ${line}: ${kindOf(value)} where an object is expected`, {
    file: path,
    mend: "Give one JSON object per record.",
  });
}

function notJson(cause: SyntaxError, path: string, line: number): FormatError {
  return new FormatError(`line ${line}: not valid JSON`, {
    file: path,
    mend: `The parser says: ${cause.message.slice(0, 200)}`,
    cause,
  });
}

/** V8 gives the position of some problems only; else it is in the first element that does not parse alone. */
function lineOfProblem(text: string, problem: SyntaxError): number {
  const position = /at position (\d+)/.exec(problem.message)?.[1];
  if (position !== undefined) return lineAt(text, Number(position));
  const starts = elementStarts(text);
  const wrong = starts.findIndex((start, i) => !("value" in parsed(elementAt(text, start, starts[i + 1]))));
  return lineAt(text, starts[wrong] ?? text.length);
}

/** The element from `start` on, without the comma or the bracket after it. */
function elementAt(text: string, start: number, next = text.length): string {
  let end = next;
  while (end > start && " \t\r\n,]".includes(text[end - 1]!)) end -= 1;
  return text.slice(start, end);
}

/** Where each element of the array that is `text` begins. Malformed text yields what can be told. */
function elementStarts(text: string): number[] {
  const starts: number[] = [];
  let depth = 0;
  let isExpected = false;
  for (let i = 0; i < text.length; i += 1) {
    const character = text[i]!;
    if (isExpected && !" \t\r\n,]".includes(character)) {
      starts.push(i);
      isExpected = false;
    }
    if (character === '"') i = stringEnd(text, i);
    else if (character === "[" || character === "{") depth += 1;
    else if (character === "]" || character === "}") depth -= 1;
    if (depth === 1 && (character === "," || (character === "[" && starts.length === 0))) isExpected = true;
  }
  return starts;
}

/** Index of the quotation mark that closes the string opened at `start`. */
function stringEnd(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i;
}

function lineAt(text: string, position: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i >= 0 && i < position; i = text.indexOf("\n", i + 1)) line += 1;
  return line;
}

/** The first character that is not JSON's white space. */
function firstCharacter(text: string): string | undefined {
  return /[^ \t\r\n]/.exec(text)?.[0];
}

function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
