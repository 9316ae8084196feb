/**
 * What a run measured, one JSON object on a line of `metrics.jsonl` (https://jsonlines.org).
 *
 * A line is one write to a file opened for appending, so a killed run leaves at most the last line half written.
 * A resumed run cuts off what lies after its checkpoint: the lines tell one story, as if it had never stopped.
 */

import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { ConfigError, FormatError } from "../errors/errors.ts";
import { unwritable } from "../formats/atomic-file.ts";

interface TrainingMetrics {
  /** Updates so far. */
  readonly step: number;
  /** Tokens trained on so far. */
  readonly tokens: number;
  /** Time trained so far, of all sittings. */
  readonly seconds: number;
  /** Mean over the step's tokens, in nats. */
  readonly loss: number;
  readonly lr: number;
  /** ‖g‖₂ before clipping. */
  readonly gradNorm: number;
  readonly tokensPerSecond: number;
}

/** `step`, and what was measured there: a training step's numbers, a validation loss, or another of a stage's own. */
export type MetricsRecord = { readonly step: number } & Partial<TrainingMetrics> &
  Readonly<Record<string, number | string | boolean | undefined>>;

export class MetricsLog implements Disposable {
  #fd: number | undefined;
  readonly #path: string;

  /**
   * Opens the log to append to; the caller disposes it.
   *
   * @param afterStep the checkpoint's step that the run goes on from: later lines are cut off. Without a checkpoint 0, or
   *        -1 where something is measured before the first step.
   * @throws {FormatError} when a line but the last is damaged.
   */
  constructor(path: string, afterStep: number) {
    this.#path = path;
    const keep = existsSync(path) ? bytesUpTo(path, afterStep) : 0;
    this.#fd = openSync(path, "a");
    ftruncateSync(this.#fd, keep);
  }

  /** @throws {ConfigError} when the disk is full. */
  append(record: MetricsRecord): void {
    if (this.#fd === undefined) {
      throw new ConfigError(`${this.#path} is closed: step ${record.step} cannot be added to it`);
    }
    // JSON has no NaN: a loss that is not finite is null on disk and NaN when it is read.
    try {
      writeSync(this.#fd, `${JSON.stringify(record)}\n`);
    } catch (cause) {
      throw unwritable(this.#path, cause) ?? cause;
    }
  }

  /** Closes the file. Safe to call twice. */
  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/**
 * All whole lines; a half-written last one is left out.
 *
 * @throws {FormatError} when another line is no record, with file and offset.
 */
export function readMetrics(path: string): MetricsRecord[] {
  return [...records(path)].map(({ record }) => record);
}

// --- internal ---

const NEWLINE = 10;

function* records(path: string): Generator<{ record: MetricsRecord; end: number }> {
  const bytes = readFileSync(path);
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
    const line = bytes.toString("utf8", start, end);
    const record = parseRecord(line);
    if (record === undefined && end + 1 < bytes.length) {
      throw new FormatError("this line is not a record with a step", {
        file: path,
        offset: start,
        mend: "Delete the line, or start the run afresh under another --name.",
      });
    }
    if (record === undefined) return;
    start = end + 1;
    yield { record, end: start };
  }
}

function parseRecord(line: string): MetricsRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line, (_key, member: unknown) => (member === null ? Number.NaN : member));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !("step" in value)) return undefined;
  return typeof value.step === "number" ? (value as MetricsRecord) : undefined;
}

/** Bytes of the lines up to and with `step`; lines are in the order of their steps. */
function bytesUpTo(path: string, step: number): number {
  let kept = 0;
  for (const { record, end } of records(path)) {
    if (record.step > step) break;
    kept = end;
  }
  return kept;
}
