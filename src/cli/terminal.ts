/**
 * Text for a terminal: colours where they are wanted, tables aligned by display width, and sizes, times and counts
 * as a person reads them.
 *
 * Colour follows https://no-color.org: none when NO_COLOR is set and not empty, or the stream is no terminal.
 */

/** What is written to, such as process.stderr. */
export interface TextStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly cyan: (text: string) => string;
}

export function styleFor(
  stream: Pick<TextStream, "isTTY">,
  environment: Readonly<Record<string, string | undefined>>,
): Style {
  const isPlain =
    (environment["NO_COLOR"] ?? "") !== "" || environment["TERM"] === "dumb" || stream.isTTY !== true;
  const sgr =
    (on: number, off: number) =>
    (text: string): string =>
      isPlain ? text : `\u001B[${on}m${text}\u001B[${off}m`;
  return { bold: sgr(1, 22), dim: sgr(2, 22), red: sgr(31, 39), green: sgr(32, 39), cyan: sgr(36, 39) };
}

export interface TableOptions {
  /** Columns that are aligned to the right, by index. */
  readonly right?: readonly number[];
  /** Before each row. */
  readonly indent?: string;
}

/** Rows of equal columns, two spaces apart, without trailing spaces; each ends with a newline. */
export function table(rows: readonly (readonly string[])[], options: TableOptions = {}): string {
  const { right = [], indent = "" } = options;
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, displayWidth(cell));
  }
  const lines = rows.map((row) => {
    const cells = row.map((cell, i) => {
      const padding = " ".repeat(widths[i]! - displayWidth(cell));
      return right.includes(i) ? padding + cell : cell + padding;
    });
    return `${indent}${cells.join("  ").trimEnd()}\n`;
  });
  return lines.join("");
}

/**
 * Columns that a terminal gives a text: wide East Asian characters and emoji two, combining marks and colours none
 * (Unicode Standard Annex #11).
 */
export function displayWidth(text: string): number {
  let width = 0;
  for (const { segment } of graphemes.segment(text.replace(ESCAPES, ""))) {
    const code = segment.codePointAt(0)!;
    if (code < 0x20 || (code >= 0x7f && code < 0xa0) || /^[\p{Mark}\p{Cf}]/u.test(segment)) continue;
    width += isWide(code) || segment.includes("\uFE0F") ? 2 : 1;
  }
  return width;
}

/** As much of a text as fits into a width, with "…" where something is missing. */
export function fit(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let fitted = "";
  let used = 0;
  for (const { segment } of graphemes.segment(text.replace(ESCAPES, ""))) {
    used += displayWidth(segment);
    if (used > width - 1) break;
    fitted += segment;
  }
  return width < 1 ? "" : `${fitted}…`;
}

/** A foreign text on one line, control characters shown as U+FFFD: a file's metadata cannot drive the terminal. */
export function printable(text: string): string {
  return text.replaceAll("\n", "⏎").replace(/[\p{Cc}\p{Bidi_Control}]/gu, "\uFFFD");
}

/** 999 B, 4.2 kB, 13.5 GB: powers of 1000. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, [" B", " kB", " MB", " GB", " TB", " PB"]);
}

/** 9999, 15.0 K, 6.74 B: powers of 1000, as parameters and tokens are counted; exact below ten thousand. */
export function formatCount(count: number): string {
  if (Number.isInteger(count) && Math.abs(count) < 10_000) return String(count);
  return scaled(count, ["", " K", " M", " B", " T"]);
}

/** "1 document", "12.5 K documents". */
export function formatNumberOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** 850 ms, 4.2 s, 3 min 05 s, 2 h 10 min, 3 d 04 h. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

// --- internal ---

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** SGR sequences, which is all that this file writes (ECMA-48, 8.3.117). */
// oxlint-disable-next-line no-control-regex -- ESC is what it looks for
const ESCAPES = /\u001B\[[\d;]*m/g;

/** First and last code points of East_Asian_Width W and F and of emoji shown as pictures (Unicode 15.1). */
const WIDE = [
  [0x1100, 0x115f],
  [0x231a, 0x231b],
  [0x23e9, 0x23f3],
  [0x2614, 0x2615],
  [0x2705, 0x2705],
  [0x2e80, 0x303e],
  [0x3041, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1f9ff],
  [0x1fa70, 0x1faff],
  [0x20000, 0x3fffd],
] as const;

function isWide(code: number): boolean {
  return code >= 0x1100 && WIDE.some(([first, last]) => code >= first && code <= last);
}

function scaled(value: number, units: readonly string[]): string {
  let scale = value;
  let unit = 0;
  // 999.5 would be shown as 1000.
  while (Math.abs(scale) >= 999.5 && unit + 1 < units.length) {
    scale /= 1000;
    unit += 1;
  }
  if (unit === 0) return `${Number.isInteger(value) ? value : value.toFixed(1)}${units[0]}`;
  const digits = Math.abs(scale) < 9.995 ? 2 : Math.abs(scale) < 99.95 ? 1 : 0;
  return `${scale.toFixed(digits)}${units[unit]}`;
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}
