/**
 * The first token of a model of Llama 2 7B's shape in q4_0 (random weights), in a process that has just started: what
 * lies in the file cache is warm, the process's own caches and memory are not. A prompt of 32 tokens, a context of 512.
 * Ours with the weights packed for products, and as they lie in the file; theirs is node-llama-cpp. In turns.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { presetConfig } from "../src/model/presets.ts";
import { openBackend, type BackendOptions } from "../src/tensor/backend.ts";
import { writeRandomGguf } from "./random-gguf.ts";
import { median, rounded, type BenchResult } from "./result.ts";

export async function benchColdStart(options: BackendOptions): Promise<BenchResult> {
  const threads = threadsOf(options);
  const folder = mkdtempSync(join(tmpdir(), "cria-bench-"));
  try {
    const file = await writeRandomGguf(folder, { preset, vocabSize, mix: "q4_0" });
    // It has just been written, so the file cache is warm.
    const starts = new Map<Side, Start[]>(sides.map((side) => [side, []]));
    for (let round = 0; round < rounds; round += 1)
      for (const side of round % 2 === 0 ? sides : sides.toReversed())
        starts.get(side)!.push(startOf(side, file, threads));
    const bytes = statSync(file).size + cacheBytes();
    return {
      rows: sides.map((side) => [side, textOf(starts.get(side)!, bytes)]),
      json: {
        threads,
        preset,
        fileAndCacheBytes: bytes,
        starts: Object.fromEntries(sides.map((side) => [side, mediansOf(starts.get(side)!)])),
      },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// --- internal ---

const [preset, vocabSize, contextTokens] = ["llama-2-7b", 32_000, 512];
const rounds = 3;
const sides = ["packed", "as stored", "node-llama-cpp"] as const;
type Side = (typeof sides)[number];

const measures = ["openSeconds", "firstTokenSeconds", "residentBytes", "mostBytes", "fileBytes"] as const;
type Start = Readonly<Record<(typeof measures)[number] | "token", number>>;

function threadsOf(options: BackendOptions): number {
  using backend = openBackend(options);
  return backend.threads;
}

/** Keys and values of the whole context, in f16. */
function cacheBytes(): number {
  const { nLayers, nKvHeads, headDim } = presetConfig(preset, vocabSize);
  return 2 * 2 * nLayers * nKvHeads * headDim * contextTokens;
}

function startOf(side: Side, file: string, threads: number): Start {
  const child = fileURLToPath(new URL("cold-start-child.ts", import.meta.url));
  const words = [...process.execArgv, child, side, file, String(threads)];
  const { stdout, status } = spawnSync(process.execPath, words, { stdio: ["ignore", "pipe", "inherit"] });
  if (status !== 0) throw new Error(`the start of ${side} ended with ${status}`);
  return JSON.parse(stdout.toString().trim().split("\n").at(-1)!) as Start;
}

function mediansOf(starts: readonly Start[]): Record<(typeof measures)[number], number> {
  const entries = measures.map((name) => [name, rounded(median(starts.map((start) => start[name])))]);
  return Object.fromEntries(entries) as Record<(typeof measures)[number], number>;
}

function textOf(starts: readonly Start[], bytes: number): string {
  const { openSeconds, firstTokenSeconds, residentBytes, mostBytes } = mediansOf(starts);
  const gigabytes = (count: number): string => `${(count / 1e9).toFixed(2)} GB`;
  return (
    `open ${openSeconds.toFixed(1)} s, first token ${firstTokenSeconds.toFixed(1)} s, resident ${gigabytes(residentBytes)} ` +
    `(most ${gigabytes(mostBytes)}), ${(residentBytes / bytes).toFixed(2)} of file and cache`
  );
}
