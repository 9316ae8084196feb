import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ConfigError, UseAfterFreeError } from "../../src/errors/errors.ts";
import { bytesSource, type ByteSource } from "../../src/formats/bytes.ts";
import { openFile } from "../../src/formats/file-source.ts";
import { messageOf, openWorkspace } from "./workspace.ts";

const errorOf = (action: () => unknown): ConfigError => {
  try {
    action();
  } catch (error) {
    return error as ConfigError;
  }
  throw new Error("nothing was thrown");
};

function readsItsBytes(source: ByteSource): void {
  expect(source.size).toBe(5);
  expect([...source.read(1, 3)]).toEqual([2, 3, 4]);
  expect([...source.read(5, 0)]).toEqual([]);
  for (const [offset, length] of [
    [3, 3],
    [6, 0],
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [0, 2 ** 60],
    [2 ** 60, 1],
    [Number.NaN, 1],
  ] as const) {
    expect(messageOf(() => source.read(offset, length))).toBe(
      `FormatError: ${source.name}, byte ${offset}: ${length} bytes are wanted here, but the file ends at byte 5`,
    );
  }
}

test("bytes in memory are read by offset, and never past the end", () => {
  readsItsBytes(bytesSource("memory", Uint8Array.of(1, 2, 3, 4, 5)));
});

describe("openFile", () => {
  test("reads by offset, and never past the end", () => {
    using workspace = openWorkspace();
    const path = workspace.file("five");
    writeFileSync(path, Uint8Array.of(1, 2, 3, 4, 5));
    using source = openFile(path);
    readsItsBytes(source);
    expect(source.path).toBe(path);
  });

  test("names the nearest name when there is no such file", () => {
    using workspace = openWorkspace();
    writeFileSync(workspace.file("model.gguf"), "");
    const error = errorOf(() => openFile(workspace.file("modle.gguf")));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toBe(`${workspace.file("modle.gguf")} does not exist`);
    expect(error.mend).toBe("Did you mean model.gguf?");
    expect(errorOf(() => openFile(workspace.file("no/where.gguf"))).mend).toBe(
      `There is no directory ${workspace.file("no")} either: check the path.`,
    );
  });

  test("refuses a directory, and a pipe without waiting for its writer", () => {
    using workspace = openWorkspace();
    mkdirSync(workspace.file("folder"));
    expect(messageOf(() => openFile(workspace.file("folder")))).toBe(
      `ConfigError: ${workspace.file("folder")} is a directory`,
    );
    if (process.platform === "win32") return;
    execFileSync("mkfifo", [workspace.file("pipe")]);
    expect(messageOf(() => openFile(workspace.file("pipe")))).toBe(
      `ConfigError: ${workspace.file("pipe")} is not a regular file`,
    );
  });

  test("says so when the file may not be read", () => {
    // The superuser may read everything.
    if (process.getuid?.() === 0 || process.platform === "win32") return;
    using workspace = openWorkspace();
    writeFileSync(workspace.file("secret"), "");
    chmodSync(workspace.file("secret"), 0);
    expect(messageOf(() => openFile(workspace.file("secret")))).toContain("may not be read");
  });

  test("does not read a file that was closed, whose descriptor may be another's by now", () => {
    using workspace = openWorkspace();
    writeFileSync(workspace.file("one"), "1");
    const source = openFile(workspace.file("one"));
    source[Symbol.dispose]();
    source[Symbol.dispose]();
    expect(() => source.read(0, 1)).toThrow(UseAfterFreeError);
  });

  test("notices a file that became shorter after it was opened", () => {
    using workspace = openWorkspace();
    const path = workspace.file("log");
    writeFileSync(path, "12345");
    using source = openFile(path);
    truncateSync(path, 2);
    expect(messageOf(() => source.read(0, 5))).toBe(
      `FormatError: ${path}, byte 2: the file became shorter while it was read`,
    );
  });
});
