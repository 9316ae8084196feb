/** Types that Cria reads and does not write, in our graph and in llama.cpp's. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { openLibrary } from "../../src/engine/ffi.ts";
import { engineLibrary } from "../../src/engine/library.ts";
import { writeGguf, type GgufWriteValue } from "../../src/formats/gguf-write.ts";
import { tensorBytes, tensorLayout, type TensorToWrite } from "../../src/formats/tensor-info.ts";
import { ggufConfigMetadata } from "../../src/model/config.ts";
import { ggufTokenizerValues } from "../../src/model/gguf-tokenizer.ts";
import { ggufName } from "../../src/model/names.ts";
import { mixNames, typeInMix } from "../../src/model/quantisation-mix.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { quantisedTypes, type QuantisedType } from "../../src/tensor/dtype.ts";
import { openWorkspace } from "../formats/workspace.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";
import { binding, expectSameLogits, threads } from "./llama-cpp.ts";

afterAll(async () => {
  if (typeof binding !== "string") await binding.dispose();
});

const tokenizer = fable();
/** Rows of 256, which all types fit. */
const config = {
  ...tinyConfig,
  vocabSize: tokenizer.vocabSize,
  dim: 256,
  nHeads: 4,
  nKvHeads: 2,
  headDim: 64,
  hiddenDim: 256,
};

type QuantiseChunk = [
  type: number,
  from: Float32Array,
  to: Uint8Array,
  start: number,
  rows: number,
  columns: number,
  importance: null,
];

/** Rows of 256 as ggml quantises them. */
function quantiser(): (values: Float32Array, type: QuantisedType) => Uint8Array {
  const { directory } = engineLibrary();
  const base = readdirSync(directory).find((file) => /^(lib)?ggml-base\.(so|dylib|dll)$/.test(file))!;
  const chunk = openLibrary(join(directory, base)).bind<QuantiseChunk, number>(
    "size_t ggml_quantize_chunk(int type, const float *from, uint8_t *to, int64_t start, int64_t rows, int64_t columns, const float *importance)",
  );
  return (values, type) => {
    const rows = values.length / 256;
    const bytes = new Uint8Array(tensorBytes(type, [rows, 256]));
    chunk(tensorLayout(type).ggml!, values, bytes, 0, rows, 256, null);
    return bytes;
  };
}

/**
 * The iq types, which ggml takes a minute to quantise: blocks of any bits are weights of theirs. Every other byte is
 * below 32, so that no scale, which is an f16, is above 2⁻⁸.
 */
function anyBlocks(values: Float32Array, type: QuantisedType): Uint8Array {
  const random = createRandom(values.length);
  return new Uint8Array(tensorBytes(type, [values.length / 256, 256])).map(
    (_, i) => Math.floor(random.next() * 256) & (i % 2 === 0 ? 255 : 31),
  );
}

function writeIn(type: QuantisedType, path: string): void {
  const quantise = type.startsWith("iq") ? anyBlocks : quantiser();
  using backend = openBackend({ threads });
  using weights = tinyWeights(backend, config);
  const metadata = new Map<string, GgufWriteValue>(ggufTokenizerValues(tokenizer, config.vocabSize));
  for (const [key, kind, value] of ggufConfigMetadata(config)) {
    metadata.set(key, kind === "string" ? { type: kind, value } : { type: kind, value });
  }
  const tensors = Object.entries(weights.byName).map(([name, tensor]): TensorToWrite => {
    const values = tensor.readF32();
    const isMatrix = tensor.shape.length === 2;
    return {
      name: ggufName(name),
      type: isMatrix ? type : "f32",
      shape: tensor.shape,
      data: () => (isMatrix ? quantise(values, type) : new Uint8Array(values.buffer)),
    };
  });
  writeGguf(path, { metadata, tensors });
}

const writable = new Set<string>(
  mixNames().map((mix) => typeInMix(mix, "layers.0.attention.wq.weight", [256, 256], config)),
);

describe.skipIf(typeof binding === "string")(
  "logits are llama.cpp's (skipped where it does not load)",
  () => {
    test.each(quantisedTypes.filter((type) => !writable.has(type)))("with %s weights", async (type) => {
      using workspace = openWorkspace();
      const path = workspace.file("model.gguf");
      writeIn(type, path);
      const ids = randomTokens(44, config.vocabSize, 5);
      const batches = [ids.slice(0, 40), ...Array.from(ids.slice(40), (id) => Int32Array.of(id))];
      await expectSameLogits(path, { batches, contextTokens: config.maxSeqLen });
    });
  },
);
