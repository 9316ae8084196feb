/** `cria convert` of a 7B shape in f16 to q4_k_m, as a process of its own: how long, and its peak memory. */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { BackendOptions } from "../src/tensor/backend.ts";
import { writeRandomGguf } from "./random-gguf.ts";
import { rounded, type BenchResult } from "./result.ts";

export async function benchConvert(_: BackendOptions): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), "cria-bench-"));
  try {
    const from = await writeRandomGguf(folder, { preset, vocabSize: 32_000, mix: "f16" });
    const to = join(folder, `${mix}.gguf`);
    const { seconds, peakBytes } = await convert(from, to);
    const [read, written] = [statSync(from).size, statSync(to).size];
    return {
      rows: [
        [
          `${preset} f16 to ${mix}`,
          `${gigabytes(read)} to ${gigabytes(written)} GB in ${seconds.toFixed(0)} s`,
        ],
        ["peak memory, with mapped pages", `${gigabytes(peakBytes)} GB`],
      ],
      json: { preset, mix, read, written, seconds: rounded(seconds), peakBytes },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// --- internal ---

const [preset, mix] = ["llama-2-7b", "q4_k_m"];

async function convert(from: string, to: string): Promise<{ seconds: number; peakBytes: number }> {
  const bin = fileURLToPath(new URL("../bin/cria.js", import.meta.url));
  const start = performance.now();
  const child = spawn(process.execPath, [bin, "convert", from, to, "--type", mix], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ended = new Promise<number | null>((end) => child.on("exit", end));
  let peakBytes = 0;
  while (child.exitCode === null && child.signalCode === null) {
    peakBytes = Math.max(peakBytes, peakOf(child.pid!));
    await sleep(200);
  }
  const code = await ended;
  if (code !== 0) throw new Error(`cria convert ended with ${code}`);
  return { seconds: (performance.now() - start) / 1000, peakBytes };
}

/** Of a process so far; 0 once it is gone. */
function peakOf(pid: number): number {
  try {
    const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return 1024 * Number(kilobytes ?? 0);
  } catch {
    return 0;
  }
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(2);
}
