/** `cria convert` against llama.cpp's own quantiser, from the same prebuilt package: types and bytes of every tensor. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openLibrary, type NativeFunction } from "../../src/engine/ffi.ts";
import { engineLibrary } from "../../src/engine/library.ts";
import { openFile } from "../../src/formats/file-source.ts";
import { readGguf } from "../../src/formats/gguf.ts";
import type { LlamaConfig } from "../../src/model/config.ts";
import { convertModel } from "../../src/model/convert.ts";
import { ggufTokenizerValues } from "../../src/model/gguf-tokenizer.ts";
import { readModelFiles } from "../../src/model/load.ts";
import { fileTypeOf, mixNames, type MixName } from "../../src/model/quantisation-mix.ts";
import { writeGgufModel } from "../../src/model/save.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { openWorkspace } from "../formats/workspace.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";

type Quantise = NativeFunction<[string, string, Uint8Array], number>;

let quantise: Quantise;
let workspace: ReturnType<typeof openWorkspace>;
const tokenizer = fable();

beforeAll(() => {
  workspace = openWorkspace();
  const { directory } = engineLibrary();
  const file = readdirSync(directory).find((name) => /^(lib)?llama(\.v[\d.]+)?\.(so|dylib|dll)$/.test(name))!;
  quantise = openLibrary(join(directory, file)).bind(
    "uint32_t llama_model_quantize(const char *in, const char *out, const uint8_t *params)",
  );
});
afterAll(() => workspace[Symbol.dispose]());

/** struct llama_model_quantize_params of the pinned release. */
function parameters(mix: MixName): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 1, true); // nthread
  view.setInt32(4, fileTypeOf(mix), true); // ftype
  view.setInt32(8, typeCount, true); // output_tensor_type: by the rules
  view.setInt32(12, typeCount, true); // token_embedding_type: by the rules
  view.setUint8(17, 1); // quantize_output_tensor
  return bytes;
}

/** GGML_TYPE_COUNT */
const typeCount = 43;

/** Rows of 256, so that the K types fit; enough layers for every rule; four query heads a key-value head. */
const grouped: LlamaConfig = {
  ...tinyConfig,
  dim: 256,
  nLayers: 16,
  nHeads: 8,
  nKvHeads: 2,
  headDim: 32,
  hiddenDim: 256,
};
/** Rows of 96, which fall back to blocks of 32; the head is the embedding. */
const fallback: LlamaConfig = {
  ...tinyConfig,
  dim: 96,
  nLayers: 3,
  nHeads: 3,
  nKvHeads: 3,
  headDim: 32,
  hiddenDim: 160,
  isTied: true,
};

interface Stored {
  readonly types: Readonly<Record<string, string>>;
  readonly bytes: ReadonlyMap<string, Uint8Array>;
  readonly fileType: unknown;
}

function stored(path: string): Stored {
  using source = openFile(path);
  const { tensors, metadata } = readGguf(source);
  const all = [...tensors.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    types: Object.fromEntries(all.map(({ name, type }) => [name, type])),
    bytes: new Map(all.map(({ name, offset, bytes }) => [name, source.read(offset, bytes)])),
    fileType: metadata.get("general.file_type"),
  };
}

describe.each([
  ["rows of whole blocks", grouped],
  ["rows that need smaller blocks", fallback],
])("%s", (name, shape) => {
  const config = { ...shape, vocabSize: tokenizer.vocabSize };
  let source: string;
  beforeAll(() => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, config);
    source = workspace.file(`${name}.gguf`);
    writeGgufModel(source, weights, ggufTokenizerValues(tokenizer, config.vocabSize));
  });

  test.each(mixNames().filter((mix) => !["f32", "f16", "bf16"].includes(mix)))(
    "%s is llama.cpp's",
    async (mix) => {
      const [ours, theirs] = [workspace.file("ours.gguf"), workspace.file("theirs.gguf")];
      await convertModel({ files: readModelFiles(source), tokenizer, out: ours, mix, threads: 2 });
      expect(quantise(source, theirs, parameters(mix))).toBe(0);
      const [a, b] = [stored(ours), stored(theirs)];
      expect(a.types).toEqual(b.types);
      expect(a.fileType).toBe(b.fileType);
      for (const [tensor, bytes] of a.bytes) {
        expect(Buffer.compare(bytes, b.bytes.get(tensor)!), tensor).toBe(0);
      }
    },
  );
});
