/** A tiny model in a folder, as a server is given it. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBackend } from "../../src/tensor/backend.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";

export interface TinyFolder extends Disposable {
  /** Of the model. */
  readonly path: string;
}

/** Random weights and byte tokens; the caller disposes it. */
export function tinyFolder(maxSeqLen = 256, seed = 1): TinyFolder {
  const folder = mkdtempSync(join(tmpdir(), "cria-serve-"));
  const tokenizer = tinyTokenizer();
  const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize, maxSeqLen };
  using backend = openBackend({ device: "cpu", threads: 1 });
  using weights = tinyWeights(backend, config, seed);
  const path = join(folder, "tiny");
  saveCheckpoint(path, { weights, tokenizer, run: { step: 1 } });
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
