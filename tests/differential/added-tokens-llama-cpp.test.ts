/** Added tokens of a GGUF file, in llama.cpp and here. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ggufTokenizerValues } from "../../src/model/gguf-tokenizer.ts";
import { writeGgufModel } from "../../src/model/save.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { openTokenizer, tokenizerOfModel } from "../../src/tokenizer/open.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fixture } from "../tokenizer/fable.ts";
import { binding } from "./llama-cpp.ts";

const rows = 512;
let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-added-"));
  path = join(folder, "model.gguf");
  writeFileSync(join(folder, "tokenizer.model"), fixture("fable.model"));
  const added = {
    480: { content: "<|note|>", special: false, normalized: false },
    481: { content: "<|end|>", special: true },
    483: { content: "two words", special: false, normalized: false },
  };
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ added_tokens_decoder: added }));
  const tokenizer = openTokenizer(folder);
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, { ...tinyConfig, vocabSize: rows });
  writeGgufModel(path, weights, ggufTokenizerValues(tokenizer, rows));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.skipIf(typeof binding === "string")("llama.cpp", () => {
  test("finds the added tokens of a padded GGUF file where Cria does", async () => {
    const ours = tokenizerOfModel(path, rows);
    expect(ours).toMatchObject({ vocabSize: 484, rows });
    if (typeof binding === "string") return;
    const model = await binding.loadModel({ modelPath: path, gpuLayers: 0 });
    const texts = [
      "the<|note|> llama",
      "<|note|><|note|>a",
      "a two words b",
      "<|end|> the <|note|>",
      "[PAD0] [PAD482] the",
    ];
    for (const text of texts) expect([...ours.encode(text)], text).toEqual([...model.tokenize(text, false)]);
    await model.dispose();
  });
});
