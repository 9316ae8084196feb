/**
 * A model's file with random weights in any type and of any size, in little memory and time: each matrix repeats the
 * rows of one that is computed once.
 */

import { join } from "node:path";
import { createRandom } from "../src/corpus/random.ts";
import { f32ToBf16, f32ToF16 } from "../src/formats/float16.ts";
import type { GgufWriteValue } from "../src/formats/gguf-write.ts";
import { streamGgufSplit } from "../src/formats/gguf-split.ts";
import { tensorBytes, type TensorToStream } from "../src/formats/tensor-info.ts";
import { ggufConfigMetadata } from "../src/model/config.ts";
import { ggufTokenizerValues } from "../src/model/gguf-tokenizer.ts";
import { normal } from "../src/model/initialise.ts";
import { ggufName } from "../src/model/names.ts";
import { presetConfig } from "../src/model/presets.ts";
import { fileTypeOf, typeInMix, type MixName, type WrittenType } from "../src/model/quantisation-mix.ts";
import { weightShapes } from "../src/model/weights.ts";
import { openBackend, type Backend } from "../src/tensor/backend.ts";
import { isFloat } from "../src/tensor/dtype.ts";
import { quantiseRows } from "../src/tensor/quantise.ts";
import { createTokenizer } from "../src/tokenizer/tokenizer.ts";
import { trainTokenizer } from "../src/tokenizer/train.ts";

export interface RandomGguf {
  readonly preset: string;
  readonly vocabSize: number;
  readonly mix: MixName;
}

/** Whether a model is one of those to measure: CRIA_BENCH_TYPES=q2_k,q4_0 names some types. */
export function isMeasured({ mix }: RandomGguf): boolean {
  return process.env["CRIA_BENCH_TYPES"]?.split(",").includes(mix) ?? true;
}

/** @returns the file's path; the caller removes it. */
export async function writeRandomGguf(
  folder: string,
  { preset, vocabSize, mix }: RandomGguf,
): Promise<string> {
  const config = presetConfig(preset, vocabSize);
  // Few pieces, padded to the vocabulary: nobody reads text here, but llama.cpp wants a tokenizer.
  const tokenizer = createTokenizer(trainTokenizer(["a llama and its cria"], { vocabSize: 270 }));
  const metadata = new Map<string, GgufWriteValue>();
  for (const [key, kind, value] of ggufConfigMetadata(config))
    metadata.set(key, kind === "string" ? { type: kind, value } : { type: kind, value });
  metadata.set("general.file_type", { type: "uint32", value: fileTypeOf(mix) });
  metadata.set("general.quantization_version", { type: "uint32", value: 2 });
  for (const [key, value] of ggufTokenizerValues(tokenizer, vocabSize)) metadata.set(key, value);
  using backend = openBackend({ device: "cpu" });
  const rows = new Rows(backend);
  const tensors = Object.entries(weightShapes(config)).map(([name, shape]): TensorToStream => {
    const type = typeInMix(mix, name, shape, config);
    return { name: ggufName(name), type, shape, pieces: () => rows.repeated(type, shape) };
  });
  const file = join(folder, `${preset}-${mix}.gguf`);
  await streamGgufSplit(file, { metadata, tensors }, Number.POSITIVE_INFINITY);
  return file;
}

// --- internal ---

/** Values of the rows that are repeated: 8 MiB in f32. */
const values = 2 ** 21;
/** Standard deviation, as fresh weights have it. */
const deviation = 0.02;

class Rows {
  readonly #backend: Backend;
  readonly #known = new Map<string, Uint8Array>();

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  async *repeated(type: WrittenType, shape: readonly number[]): AsyncGenerator<Uint8Array> {
    const columns = shape.at(-1)!;
    if (shape.length === 1) {
      yield new Uint8Array(new Float32Array(columns).fill(1).buffer);
      return;
    }
    const key = `${type} ${columns}`;
    const block = this.#known.get(key) ?? (await this.#encoded(type, columns));
    this.#known.set(key, block);
    for (let left = tensorBytes(type, shape); left > 0; left -= block.length)
      yield left < block.length ? block.subarray(0, left) : block;
  }

  async #encoded(type: WrittenType, columns: number): Promise<Uint8Array> {
    const random = createRandom(columns);
    const floats = normal(Math.ceil(values / columns) * columns, deviation, () => random.next());
    if (!isFloat(type)) return quantiseRows(this.#backend, floats, columns, type);
    const { buffer, byteOffset, byteLength } =
      type === "f32" ? floats : type === "f16" ? f32ToF16(floats) : f32ToBf16(floats);
    return new Uint8Array(buffer, byteOffset, byteLength);
  }
}
