/**
 * A log of JSON records, one on a line (https://jsonlines.org), that a killed run goes on with.
 *
 * Lines are appended, so a process that dies leaves at most its last line half written: it is cut off when the log is
 * opened again. The first line says what the log is of; a log of something else is refused.
 */

import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync } from "node:fs";
import { ConfigError } from "../errors/errors.ts";
import { unwritable, writeBytes } from "./atomic-file.ts";
import { parseJson, type JsonObject, type JsonValue } from "./json.ts";

export class JsonLinesLog implements Disposable {
  /** What earlier sittings wrote, in the order of writing. */
  readonly earlier: readonly JsonObject[];
  readonly #path: string;
  #fd: number | undefined;
  #unsynced = 0;

  /**
   * Opens the log to append to, or begins it; the caller disposes it.
   *
   * @param header what the records follow from: settings and inputs.
   * @throws {ConfigError} when the log has another header. @throws {FormatError} when a whole line is not JSON.
   */
  constructor(path: string, header: JsonObject) {
    this.#path = path;
    const { lines, bytes } = existsSync(path) ? wholeLines(path) : { lines: [], bytes: 0 };
    const records = lines.map(({ text, offset }) => parseJson(text, path, offset) as JsonObject);
    if (records.length > 0 && JSON.stringify(records[0]) !== JSON.stringify(header))
      throw otherHeader(path, records[0]!, header);
    this.earlier = records.slice(1);
    this.#fd = openSync(path, "a");
    ftruncateSync(this.#fd, bytes);
    if (records.length === 0) this.append(header);
  }

  /** @throws {ConfigError} when the disk is full. */
  append(record: JsonObject): void {
    if (this.#fd === undefined) throw new ConfigError(`${this.#path} is closed: nothing can be added to it`);
    try {
      writeBytes(this.#fd, Buffer.from(`${JSON.stringify(record)}\n`));
      this.#unsynced += 1;
      if (this.#unsynced < recordsPerSync) return;
      fsyncSync(this.#fd);
      this.#unsynced = 0;
    } catch (cause) {
      throw unwritable(this.#path, cause) ?? cause;
    }
  }

  /** Makes what was written durable and closes the file. Safe to call twice. */
  [Symbol.dispose](): void {
    if (this.#fd === undefined) return;
    fsyncSync(this.#fd);
    closeSync(this.#fd);
    this.#fd = undefined;
  }
}

// --- internal ---

/** A machine that loses its power loses at most so many records. */
const recordsPerSync = 256;

const newline = 10;

function wholeLines(path: string): { lines: { text: string; offset: number }[]; bytes: number } {
  const content = readFileSync(path);
  const lines: { text: string; offset: number }[] = [];
  let offset = 0;
  for (let end = content.indexOf(newline); end >= 0; end = content.indexOf(newline, offset)) {
    lines.push({ text: content.toString("utf8", offset, end), offset });
    offset = end + 1;
  }
  return { lines, bytes: offset };
}

function otherHeader(path: string, before: JsonObject, now: JsonObject): ConfigError {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  const key = keys.find((name) => shown(before[name]) !== shown(now[name]));
  const difference =
    key === undefined
      ? "its settings stand in another order"
      : `${key} was ${shown(before[key])} and is ${shown(now[key])}`;
  return new ConfigError(`${path} was begun otherwise: ${difference}`, {
    mend: `Go on with the old settings, choose another --name, or delete ${path}.`,
  });
}

function shown(value: JsonValue | undefined): string {
  return JSON.stringify(value) ?? "not set";
}
