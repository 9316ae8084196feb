/** Lines of text from a file or from standard input, without reading it whole. */

import { createReadStream } from "node:fs";
import { ConfigError } from "../errors/errors.ts";
import { openFile } from "../formats/file-source.ts";

/** A line of a hundred million characters is no line of text. */
const MAX_LINE = 100_000_000;

/**
 * Lines end with LF or CRLF, which are not part of them; bytes that are not UTF-8 become U+FFFD. No other character
 * ends a line, whatever Unicode calls it: node:readline splits at U+2028 too.
 *
 * @param path a file; standard input when left out.
 * @yields each line. @throws {ConfigError} when the file cannot be opened, or a line has no end.
 */
export async function* readLines(path: string | undefined): AsyncGenerator<string> {
  // Opened once for its errors: they name what is missing and what is near it.
  if (path !== undefined) openFile(path)[Symbol.dispose]();
  const stream: AsyncIterable<Buffer> =
    path === undefined ? process.stdin : createReadStream(path, { highWaterMark: 2 ** 20 });
  const utf8 = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = utf8.decode(chunk, { stream: true }).split("\n");
    lines[0] = rest + lines[0]!;
    rest = lines.pop()!;
    yield* lines.map(withoutReturn);
    if (rest.length > MAX_LINE) {
      throw new ConfigError(`${path ?? "standard input"} has a line of more than ${MAX_LINE} characters`, {
        mend: "Give a text with line ends.",
      });
    }
  }
  rest += utf8.decode();
  if (rest !== "") yield withoutReturn(rest);
}

/**
 * Lines in the groups that they arrive in.
 *
 * @yields all lines that came while the last group was worked on; at least one.
 */
export async function* arriving(lines: AsyncIterable<string>): AsyncGenerator<string[]> {
  const waiting: string[] = [];
  const reader = { hasEnded: false, wake: (): void => undefined };
  const read = async (): Promise<void> => {
    try {
      for await (const line of lines) {
        waiting.push(line);
        reader.wake();
      }
    } finally {
      reader.hasEnded = true;
      reader.wake();
    }
  };
  const reading = read();
  // Whoever leaves early does not ask how reading ended.
  reading.catch(() => undefined);
  while (waiting.length > 0 || !reader.hasEnded) {
    if (waiting.length > 0) yield waiting.splice(0);
    else await new Promise<void>((come) => (reader.wake = come));
  }
  await reading;
}

// --- internal ---

function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
