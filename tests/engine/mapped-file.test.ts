import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { liveArenas } from "../../src/engine/library.ts";
import { canMapFiles, mapFile } from "../../src/engine/mapped-file.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { openFileStorage } from "../../src/tensor/file-storage.ts";

const mebibyte = 2 ** 20;
const bytes = 16 * mebibyte;

const isHere = process.platform === "linux" && canMapFiles;

test.runIf(isHere)("weights that are copied out of a mapped file are not in memory twice", () => {
  const folder = mkdtempSync(join(tmpdir(), "cria-mapped-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "file");
  writeFileSync(file, new Uint8Array(bytes));
  using backend = openBackend({ threads: 1 });
  const before = residentFileBytes();
  const convert = (data: Uint8Array): Uint8Array => data;
  const spec = { shape: [1024, bytes / 4096], file, offset: 0, bytes, convert };
  using weights = openFileStorage("copied", backend, { w: spec });
  expect(weights.bytes).toBe(bytes);
  expect(residentFileBytes() - before).toBeLessThan(4 * mebibyte);
});

test.runIf(isHere)("a part that is released leaves the process's memory, and reads as before", () => {
  const folder = mkdtempSync(join(tmpdir(), "cria-mapped-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "file");
  writeFileSync(path, new Uint8Array(bytes).fill(7));
  using mapped = mapFile(path);
  expect(mapped.view(0, bytes).every((byte) => byte === 7)).toBe(true);
  const before = residentFileBytes();
  mapped.release(mebibyte + 1, 12 * mebibyte);
  // Pages at its edges stay: 64 KiB at most at each end.
  expect(before - residentFileBytes()).toBeGreaterThan(11 * mebibyte);
  expect(mapped.view(2 * mebibyte, 1)[0]).toBe(7);
  expect(mapped.view(0, 1)[0]).toBe(7);
});

test.runIf(isHere)("a file of more than 4 GiB, as a 7B model in q8_0 is, is read to its last byte", () => {
  const folder = mkdtempSync(join(tmpdir(), "cria-mapped-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "file");
  // Nearly all of it is a hole, which takes no space.
  const last = 5 * 2 ** 30;
  const fd = openSync(path, "w");
  writeSync(fd, Uint8Array.of(1, 2, 3, 4), 0, 4, last - 4);
  closeSync(fd);
  using mapped = mapFile(path);
  expect([...mapped.view(last - 4, 4)]).toEqual([1, 2, 3, 4]);
  expect(mapped.view(0, 1)[0]).toBe(0);
  expect(() => mapped.view(last - 4, 5)).toThrow("5 bytes from 5368709116 on cannot be viewed at once of");
  expect(() => mapped.view(0, last)).toThrow("cannot be viewed at once");
});

test.runIf(isHere)("a file counts as native memory in use until it is disposed", () => {
  const folder = mkdtempSync(join(tmpdir(), "cria-mapped-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "file");
  writeFileSync(path, "x");
  const mapped = mapFile(path);
  expect(liveArenas()).toEqual([`map of ${path}`]);
  mapped[Symbol.dispose]();
  mapped[Symbol.dispose]();
  expect(liveArenas()).toEqual([]);
});

function residentFileBytes(): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return 1024 * Number(/RssFile:\s+(\d+)/.exec(status)![1]);
}
