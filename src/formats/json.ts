/**
 * JSON out of files that others wrote. JSON.parse, plus what it lets pass: a key that stands twice in one
 * object (RFC 8259 §4 leaves the meaning open, so two readers may disagree about it) and sizes without bound.
 */

import { FormatError } from "../errors/errors.ts";
import { decodeUtf8, quoted } from "./bytes.ts";
import { openFile } from "./file-source.ts";

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/**
 * @param file   names the text in errors.
 * @param offset where in the file the text begins, in bytes.
 * @throws {FormatError} when it is not JSON or repeats a key.
 */
export function parseJson(text: string, file: string, offset = 0): JsonValue {
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new FormatError(`not JSON: ${(cause as Error).message}`, { file, offset, cause });
  }
  const repeated = repeatedKey(text);
  if (repeated !== undefined) {
    throw new FormatError(`the key ${quoted(repeated)} stands twice in one object`, { file, offset });
  }
  return value;
}

/**
 * @param maxBytes refuses larger files before they are read.
 * @throws {ConfigError} when the file cannot be opened.
 * @throws {FormatError} when it is not JSON.
 */
export function readJsonFile(path: string, maxBytes: number = 100 * 2 ** 20): JsonValue {
  using source = openFile(path);
  if (source.size > maxBytes) {
    throw new FormatError(`${source.size} bytes of JSON, of which at most ${maxBytes} are read`, {
      file: path,
    });
  }
  return parseJson(decodeUtf8(source.read(0, source.size), path, 0), path);
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// --- internal ---

const quote = 0x22;
const backslash = 0x5c;

/** The first key that an object of this valid JSON text repeats. No recursion: nesting may be deep. */
function repeatedKey(text: string): string | undefined {
  const keysOf: (Set<string> | undefined)[] = [];
  let lastString = "";
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charCodeAt(i);
    if (char === quote) {
      const end = endOfString(text, i);
      lastString = text.slice(i, end + 1);
      i = end;
    } else if (char === 0x7b) {
      keysOf.push(new Set());
    } else if (char === 0x5b) {
      keysOf.push(undefined);
    } else if (char === 0x7d || char === 0x5d) {
      keysOf.pop();
    } else if (char === 0x3a) {
      const key = unquoted(lastString);
      const keys = keysOf.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (text.charCodeAt(i) !== quote) i += text.charCodeAt(i) === backslash ? 2 : 1;
  return i;
}

function unquoted(literal: string): string {
  return literal.includes("\\") ? (JSON.parse(literal) as string) : literal.slice(1, -1);
}
