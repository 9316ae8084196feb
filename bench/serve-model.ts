/** A model of the benches' own: random weights, byte tokens, about as much work as llama2.c's 15M model. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBackend } from "../src/tensor/backend.ts";
import { saveCheckpoint } from "../src/train/checkpoint.ts";
import { tinyTokenizer } from "../tests/dialog/tiny-tokenizer.ts";
import { tinyWeights } from "../tests/tiny-model.ts";

export interface ModelSize {
  readonly dim: number;
  readonly nLayers: number;
}

/** The caller disposes it. */
export function benchModel({ dim, nLayers }: ModelSize): Disposable & { readonly path: string } {
  const folder = mkdtempSync(join(tmpdir(), "cria-bench-"));
  const tokenizer = tinyTokenizer();
  const nHeads = dim / 32;
  const config = {
    dim,
    nLayers,
    nHeads,
    nKvHeads: nHeads,
    headDim: 32,
    hiddenDim: 2 * dim + 128,
    vocabSize: tokenizer.vocabSize,
    maxSeqLen: 1024,
    normEps: 1e-5,
    ropeTheta: 10_000,
    isTied: false,
  };
  using backend = openBackend({ device: "cpu", threads: 1 });
  using weights = tinyWeights(backend, config);
  const path = join(folder, "model");
  saveCheckpoint(path, { weights, tokenizer, run: { step: 1 } });
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
