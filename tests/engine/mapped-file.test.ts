import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { canMapFiles, mapFile } from "../../src/engine/mapped-file.ts";

const mebibyte = 2 ** 20;
const bytes = 16 * mebibyte;

test.skipIf(process.platform !== "linux" || !canMapFiles)(
  "a part that is released leaves the process's memory, and reads as before",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "cria-mapped-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "file");
    writeFileSync(path, new Uint8Array(bytes).fill(7));
    using mapped = mapFile(path);
    expect(mapped.view.every((byte) => byte === 7)).toBe(true);
    const before = residentFileBytes();
    mapped.release(mebibyte + 1, 12 * mebibyte);
    // Pages at its edges stay: 64 KiB at most at each end.
    expect(before - residentFileBytes()).toBeGreaterThan(11 * mebibyte);
    expect(mapped.view[2 * mebibyte]).toBe(7);
    expect(mapped.view[0]).toBe(7);
  },
);

function residentFileBytes(): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return 1024 * Number(/RssFile:\s+(\d+)/.exec(status)![1]);
}
