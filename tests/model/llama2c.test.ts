import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { convertModel } from "../../src/model/convert.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { loadMasterWeights, openWeights, readModelFiles } from "../../src/model/load.ts";
import { weightShapes } from "../../src/model/weights.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { openWorkspace } from "../formats/workspace.ts";
import { relativeDifference, tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";

const tokenizer = fable();
const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };
const group = 16;

/** The same weights as llama2.c writes them in i8, and what they then are in f32. */
function exported(): { file: Uint8Array; rounded: Map<string, Float32Array> } {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  const { dim, hiddenDim, nLayers, nHeads, nKvHeads, vocabSize, maxSeqLen } = config;
  const header = new Uint8Array(256);
  const sizes = [dim, hiddenDim, nLayers, nHeads, nKvHeads, vocabSize, maxSeqLen];
  header.set(new Uint8Array(Int32Array.of(0x616b3432, 2, ...sizes).buffer));
  header.set(new Uint8Array(Int32Array.of(group).buffer), 37);
  const layers = (part: string): string[] =>
    Array.from({ length: nLayers }, (_, i) => `layers.${i}.${part}.weight`);
  const norms = [...layers("attention_norm"), ...layers("ffn_norm"), "norm.weight"];
  const matrices = [
    "tok_embeddings.weight",
    ...["wq", "wk", "wv", "wo"].flatMap((name) => layers(`attention.${name}`)),
    ...["w1", "w2", "w3"].flatMap((name) => layers(`feed_forward.${name}`)),
    "output.weight",
  ];
  const rounded = new Map<string, Float32Array>();
  const parts: Uint8Array[] = [header];
  for (const name of norms) {
    const values = weights.byName[name]!.readF32();
    rounded.set(name, values);
    parts.push(new Uint8Array(values.buffer));
  }
  for (const name of matrices) {
    const values = weights.byName[name]!.readF32();
    const scales = Float32Array.from(
      { length: values.length / group },
      (_, g) => Math.max(...values.subarray(g * group, (g + 1) * group).map(Math.abs)) / 127,
    );
    const codes = Int8Array.from(values, (value, i) => Math.round(value / scales[Math.floor(i / group)]!));
    rounded.set(
      name,
      Float32Array.from(codes, (code, i) => code * scales[Math.floor(i / group)]!),
    );
    parts.push(new Uint8Array(codes.buffer), new Uint8Array(scales.buffer));
  }
  return { file: Buffer.concat(parts), rounded };
}

test("a llama2.c file of i8 gives the logits of its rounded weights, for use, for training, and as GGUF", async () => {
  using workspace = openWorkspace();
  const path = workspace.file("model.bin");
  const { file, rounded } = exported();
  writeFileSync(path, file);
  const files = readModelFiles(path);
  const ids = [1, 5, 9, 300, 2, 77];
  using backend = openBackend({ threads: 1 });
  using expected = tinyWeights(backend, config);
  for (const [name, values] of rounded) expected.byName[name]!.write(values);
  expect(rounded.size).toBe(Object.keys(weightShapes(config)).length);
  using reference = new Decoder(backend, expected);
  const logits = await reference.read(ids);
  using opened = openWeights(backend, files);
  using decoder = new Decoder(backend, opened);
  expect(await decoder.read(ids)).toEqual(logits);
  using master = loadMasterWeights(backend, files);
  for (const [name, values] of rounded) expect(master.byName[name]!.readF32()).toEqual(values);
  const gguf = workspace.file("model.gguf");
  await convertModel({ files, tokenizer, out: gguf, mix: "f32" });
  using converted = openWeights(backend, readModelFiles(gguf));
  using again = new Decoder(backend, converted);
  expect(relativeDifference(await again.read(ids), logits)).toBeLessThan(2 ** -18);
});
