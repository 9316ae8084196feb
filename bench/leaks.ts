/** A thousand models opened, asked and closed, from a GGUF file and from a folder: the process must not grow. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel } from "../src/generate/loaded-model.ts";
import { convertModel } from "../src/model/convert.ts";
import { readModelFiles } from "../src/model/load.ts";
import { openBackend, type BackendOptions } from "../src/tensor/backend.ts";
import { saveCheckpoint } from "../src/train/checkpoint.ts";
import { tinyConfig, tinyWeights } from "../tests/tiny-model.ts";
import { fable } from "../tests/tokenizer/fable.ts";
import type { BenchResult } from "./result.ts";

const cycles = Number(process.env["LEAK_CYCLES"] ?? 1000);

export async function benchLeaks(options: BackendOptions): Promise<BenchResult> {
  const directory = mkdtempSync(join(tmpdir(), "cria-leaks-"));
  const [folder, gguf] = [join(directory, "model"), join(directory, "model.gguf")];
  const tokenizer = fable();
  try {
    {
      using backend = openBackend(options);
      using weights = tinyWeights(backend, { ...tinyConfig, vocabSize: tokenizer.vocabSize });
      saveCheckpoint(folder, { weights, tokenizer, run: { step: 0 } });
    }
    await convertModel({ files: readModelFiles(folder), tokenizer, out: gguf, mix: "q8_0" });
    const results: ({ path: string } & Growth)[] = [];
    for (const [path, model] of [
      ["GGUF", gguf],
      ["folder", folder],
    ] as const) {
      results.push({ path, ...(await grown(model, options)) });
    }
    return {
      rows: results.map(({ path, early, late }) => [
        path,
        `${mebibytes(early)} after a fifth, ${mebibytes(late)} after ${cycles}: ${mebibytes(late - early)} more`,
      ]),
      json: { cycles, results },
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

// --- internal ---

/** Resident memory once caches are warm, and at the end, in bytes. */
interface Growth {
  readonly early: number;
  readonly late: number;
}

async function grown(path: string, options: BackendOptions): Promise<Growth> {
  let early = 0;
  for (let i = 1; i <= cycles; i += 1) {
    using model = await loadModel(path, options);
    await model.decoder.read([1, 5, 9]);
    if (i === Math.floor(cycles / 5)) early = process.memoryUsage().rss;
  }
  return { early, late: process.memoryUsage().rss };
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
