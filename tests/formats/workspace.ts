import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { FormatError } from "../../src/errors/errors.ts";
import { bytesSource, type ByteSource } from "../../src/formats/bytes.ts";

/** A directory of its own for a test's files, deleted at the end of the block. */
export function openWorkspace(): {
  file(name: string): string;
  bytes(name: string): Uint8Array;
} & Disposable {
  const directory = mkdtempSync(join(tmpdir(), "cria-formats-"));
  const file = (name: string): string => join(directory, name);
  return {
    file,
    bytes: (name) => new Uint8Array(readFileSync(file(name))),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** Reads every file that differs from `bytes` in one byte (all bits, the lowest, the highest) or in its end. */
export function corrupt(bytes: Uint8Array, read: (source: ByteSource) => unknown): { refused: number } {
  let refused = 0;
  const attempt = (damaged: Uint8Array): void => {
    try {
      read(bytesSource("damaged", damaged));
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
      refused += 1;
    }
  };
  for (let i = 0; i < bytes.length; i += 1) {
    for (const mask of [0xff, 0x01, 0x80]) attempt(bytes.with(i, bytes[i]! ^ mask));
  }
  return { refused };
}

export interface Refusal {
  readonly message: string;
  readonly milliseconds: number;
  /** Of heap and buffers, held at the end. */
  readonly bytes: number;
}

/** What it costs to refuse; of three attempts the least, since other processes take their share of the machine. */
export function refusal(read: () => unknown): Refusal {
  const attempts = [attempt(read), attempt(read), attempt(read)] as const;
  return {
    message: attempts[0].message,
    milliseconds: Math.min(...attempts.map(({ milliseconds }) => milliseconds)),
    bytes: Math.min(...attempts.map(({ bytes }) => bytes)),
  };
}

function attempt(read: () => unknown): Refusal {
  const before = process.memoryUsage();
  const start = performance.now();
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    const milliseconds = performance.now() - start;
    const after = process.memoryUsage();
    const bytes = after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers;
    return { message: (error as Error).message, milliseconds, bytes };
  }
  throw new Error("nothing was refused");
}

export function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  throw new Error("nothing was thrown");
}
