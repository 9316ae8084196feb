import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { convertModel } from "../../src/model/convert.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { ggufTokenizerValues } from "../../src/model/gguf-tokenizer.ts";
import { openWeights, readModelFiles } from "../../src/model/load.ts";
import { writeGgufModel } from "../../src/model/save.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { canPack } from "../../src/tensor/file-storage.ts";
import { openWorkspace } from "../formats/workspace.ts";
import { randomTokens, relativeDifference, tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";

describe("a head that is tied to the embedding", () => {
  const tokenizer = fable();
  // Rows of 256 in eights, which the packed layouts take.
  const config = {
    ...tinyConfig,
    dim: 256,
    nHeads: 4,
    nKvHeads: 2,
    headDim: 64,
    hiddenDim: 256,
    isTied: true,
  };
  const vocabSize = 8 * Math.ceil(tokenizer.vocabSize / 8);
  let workspace: ReturnType<typeof openWorkspace>;
  let file: string;

  beforeAll(async () => {
    workspace = openWorkspace();
    const from = workspace.file("tied.gguf");
    file = workspace.file("tied-q4_0.gguf");
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, { ...config, vocabSize });
    writeGgufModel(from, weights, ggufTokenizerValues(tokenizer, vocabSize));
    await convertModel({ files: readModelFiles(from), tokenizer, out: file, mix: "q4_0" });
  });
  afterAll(() => workspace[Symbol.dispose]());

  test("is packed beside it where the device packs its type, and gives the logits of the embedding's rows", async () => {
    using backend = openBackend({ threads: 1 });
    const files = readModelFiles(file);
    const { type, shape } = files.tensors.get("tok_embeddings.weight")!;
    using packed = openWeights(backend, files);
    using plain = openWeights(backend, files, { repack: false });
    expect(plain.head).toBe(plain.embedding);
    expect(packed.embedding.isPacked).toBe(false);
    const spec = { shape, dtype: type as "q4_0", isPackable: true };
    expect(packed.head.isPacked).toBe(canPack(backend, spec));
    const ids = randomTokens(40, vocabSize, 5);
    const logits: Float32Array[] = [];
    for (const weights of [packed, plain]) {
      using decoder = new Decoder(backend, weights, { contextTokens: 64 });
      logits.push(await decoder.read(ids));
    }
    expect(relativeDifference(logits[0]!, logits[1]!)).toBeLessThan(0.05);
  });
});
