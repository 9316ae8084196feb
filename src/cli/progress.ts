/**
 * How far a long task is: one line that is rewritten on a terminal, a plain line now and then elsewhere.
 */

import { displayWidth, fit, formatCount, formatDuration, type TextStream } from "./terminal.ts";

export interface ProgressOptions {
  readonly label: string;
  /** What `done` counts up to; 0 when nobody knows. */
  readonly total: number;
  /** What is counted, such as "steps". */
  readonly unit: string;
  /** What was done before, by an earlier sitting: the rate counts from there. */
  readonly start?: number;
  readonly stream?: TextStream;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

export interface ProgressState {
  readonly done: number;
  /** Replaces the total that the task began with. */
  readonly total?: number;
  /** In nats. */
  readonly loss?: number;
  readonly tokensPerSecond?: number;
  /** Anything else, in a few words. */
  readonly note?: string;
}

/** Milliseconds between two lines. */
const TERMINAL_INTERVAL = 100;
const PLAIN_INTERVAL = 10_000;

export class Progress implements Disposable {
  readonly #options: ProgressOptions;
  readonly #stream: TextStream;
  readonly #now: () => number;
  readonly #begin: number;
  #state: ProgressState = { done: 0 };
  #shownAt = Number.NEGATIVE_INFINITY;
  #isOpen = true;
  #isLineOpen = false;

  /** The caller disposes it, or calls end(). */
  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#stream = options.stream ?? process.stderr;
    this.#now = options.now ?? (() => performance.now());
    this.#begin = this.#now();
    // A plain log gets its first line after the interval, not a line for every task that takes an instant.
    if (this.#stream.isTTY !== true) this.#shownAt = this.#begin;
  }

  /** Cheap to call often: most calls show nothing. */
  update(state: ProgressState): void {
    if (!this.#isOpen) return;
    this.#state = state;
    const interval = this.#stream.isTTY === true ? TERMINAL_INTERVAL : PLAIN_INTERVAL;
    if (this.#now() - this.#shownAt < interval) return;
    this.#shownAt = this.#now();
    this.#show(this.#line());
  }

  /** Prints a line of text above the bar. */
  log(text: string): void {
    this.#clear();
    this.#stream.write(`${text}\n`);
  }

  /** Removes the bar and says in one line what was done and how long it took. Safe to call twice. */
  end(summary?: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#clear();
    const { label, unit } = this.#options;
    const took = formatDuration((this.#now() - this.#begin) / 1000);
    const what = summary ?? `${formatCount(this.#state.done)} ${unit}`;
    this.#stream.write(`${label}: ${what} in ${took}\n`);
  }

  /** Removes the bar without a word. Safe to call twice, and after end(). */
  [Symbol.dispose](): void {
    this.#isOpen = false;
    this.#clear();
  }

  #show(line: string): void {
    if (this.#stream.isTTY !== true) {
      this.#stream.write(`${line}\n`);
      return;
    }
    this.#stream.write(`\r${line}\u001B[K`);
    this.#isLineOpen = true;
  }

  #clear(): void {
    if (this.#isLineOpen) this.#stream.write("\r\u001B[K");
    this.#isLineOpen = false;
  }

  #line(): string {
    const { label, unit } = this.#options;
    const { done, loss, tokensPerSecond, note } = this.#state;
    const total = this.#state.total ?? this.#options.total;
    const parts = [
      total > 0 ? `${formatCount(done)}/${formatCount(total)} ${unit}` : `${formatCount(done)} ${unit}`,
    ];
    if (loss !== undefined) parts.push(`loss ${loss.toFixed(3)}`);
    if (tokensPerSecond !== undefined) parts.push(`${formatCount(Math.round(tokensPerSecond))} tok/s`);
    const left = this.#secondsLeft(total);
    if (left !== undefined) parts.push(`${formatDuration(left)} left`);
    if (note !== undefined && note !== "") parts.push(note);
    const text = parts.join(" · ");
    if (total <= 0) return this.#fit(`${label}  ${text}`);
    const fraction = Math.min(1, Math.max(0, done / total));
    const percent = `${Math.floor(fraction * 100)}%`.padStart(4);
    if (this.#stream.isTTY !== true) return `${label}${percent.padStart(5)} · ${text}`;
    // The last column stays free: some terminals wrap when it is written.
    const room = this.#columns() - displayWidth(`${label}  ${percent} ${text}`) - 2;
    const bar = room < 6 ? "" : `${drawBar(fraction, Math.min(30, room))} `;
    return this.#fit(`${label} ${bar}${percent} ${text}`);
  }

  #fit(line: string): string {
    return this.#stream.isTTY === true ? fit(line, this.#columns() - 1) : line;
  }

  #columns(): number {
    return Math.max(2, this.#stream.columns ?? 80);
  }

  #secondsLeft(total: number): number | undefined {
    const begun = this.#options.start ?? 0;
    const { done } = this.#state;
    const seconds = (this.#now() - this.#begin) / 1000;
    if (total <= 0 || done <= begun || seconds < 0.5) return undefined;
    return ((total - done) * seconds) / (done - begun);
  }
}

// --- internal ---

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A bar of `width` columns, filled to an eighth of one. */
function drawBar(fraction: number, width: number): string {
  const eighths = Math.round(fraction * width * 8);
  const filled = "█".repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8]!;
  return filled + "·".repeat(width - filled.length);
}
