/** Models in PyTorch's files, Meta's and Hugging Face's, give what the same model gives from safetensors. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openFile } from "../../src/formats/file-source.ts";
import { readSafetensorsDirectory } from "../../src/formats/safetensors.ts";
import { readTensorAsF32 } from "../../src/formats/tensor-info.ts";
import { convertModel } from "../../src/model/convert.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { loadMasterWeights, openWeights, readModelFiles } from "../../src/model/load.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { openTokenizer } from "../../src/tokenizer/open.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { op, pickleBytes, tensorOps, torchBytes } from "../formats/torch-writer.ts";
import { messageOf, openWorkspace } from "../formats/workspace.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";

interface Values {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

const tokenizer = fable();
const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };
let workspace: ReturnType<typeof openWorkspace>;
/** The same weights as safetensors. */
let reference: string;

beforeAll(() => {
  workspace = openWorkspace();
  reference = workspace.file("reference");
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  saveCheckpoint(reference, { weights, tokenizer, run: { step: 0 } });
});
afterAll(() => workspace[Symbol.dispose]());

function stateDict(tensors: Readonly<Record<string, Values>>): Uint8Array {
  const storages: Record<string, Uint8Array> = {};
  const items = Object.entries(tensors).map(([name, { shape, values }], i) => {
    storages[String(i)] = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const tensor = { storage: String(i), type: "Float", elements: values.length, shape };
    return [op.text(name), tensorOps(tensor)] as const;
  });
  return torchBytes(pickleBytes(op.dict(items)), storages);
}

/** The part of a matrix that one of several devices had. */
function part({ shape, values }: Values, axis: 0 | 1, rank: number, ranks: number): Values {
  const [rows, columns] = shape as [number, number];
  if (axis === 0) {
    const count = rows / ranks;
    return {
      shape: [count, columns],
      values: values.slice(rank * count * columns, (rank + 1) * count * columns),
    };
  }
  const width = columns / ranks;
  const cut = new Float32Array(rows * width);
  for (let row = 0; row < rows; row += 1) {
    cut.set(values.subarray(row * columns + rank * width, row * columns + (rank + 1) * width), row * width);
  }
  return { shape: [rows, width], values: cut };
}

const splitByColumns = /attention\.wo|feed_forward\.w2|tok_embeddings/;

/** Meta's directory of the reference's weights. */
function metaDirectory(ranks: number): string {
  const directory = workspace.file(`meta-${ranks}`);
  mkdirSync(directory, { recursive: true });
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  const whole = Object.entries(weights.byName).map(([name, tensor]): [string, Values] => [
    name,
    { shape: tensor.shape, values: tensor.readF32() },
  ]);
  for (let rank = 0; rank < ranks; rank += 1) {
    const own = whole.map(([name, values]): [string, Values] =>
      values.shape.length === 1
        ? [name, values]
        : [name, part(values, splitByColumns.test(name) ? 1 : 0, rank, ranks)],
    );
    writeFileSync(join(directory, `consolidated.0${rank}.pth`), stateDict(Object.fromEntries(own)));
  }
  const params = {
    dim: config.dim,
    n_layers: config.nLayers,
    n_heads: config.nHeads,
    n_kv_heads: config.nKvHeads,
    norm_eps: config.normEps,
    multiple_of: 32,
    vocab_size: -1,
  };
  writeFileSync(join(directory, "params.json"), JSON.stringify(params));
  return directory;
}

async function logitsOf(path: string): Promise<Float32Array> {
  using backend = openBackend({ threads: 1 });
  using weights = openWeights(backend, readModelFiles(path));
  using decoder = new Decoder(backend, weights, { contextTokens: 32 });
  return await decoder.read(randomTokens(20, config.vocabSize, 4));
}

test.each([1, 2])("Meta's directory with %i shards", async (ranks) => {
  const directory = metaDirectory(ranks);
  const { config: read } = readModelFiles(directory);
  expect(read).toEqual({ ...config, maxSeqLen: 4096 });
  expect(await logitsOf(directory)).toEqual(await logitsOf(reference));
  // To train on.
  using backend = openBackend({ threads: 1 });
  using ours = loadMasterWeights(backend, readModelFiles(directory));
  using theirs = loadMasterWeights(backend, readModelFiles(reference));
  for (const [name, tensor] of Object.entries(theirs.byName)) {
    expect(ours.byName[name]!.readF32()).toEqual(tensor.readF32());
  }
});

test("Meta's shards convert to the file that Hugging Face's directory converts to", async () => {
  // A context's length stands in the one and not in the other.
  const configFile = join(reference, "config.json");
  const json = JSON.parse(readFileSync(configFile, "utf8")) as Record<string, unknown>;
  writeFileSync(configFile, JSON.stringify({ ...json, max_position_embeddings: 4096 }));
  const outs = await Promise.all(
    [metaDirectory(2), reference].map(async (path, i) => {
      const out = workspace.file(`converted-${i}.gguf`);
      await convertModel({ files: readModelFiles(path), tokenizer, out, mix: "q8_0" });
      // All but the template, which Meta's has not.
      using source = openFile(out);
      return Buffer.from(source.read(source.size - 40_000, 40_000));
    }),
  );
  expect(outs[0]!.equals(outs[1]!)).toBe(true);
});

test("Meta's tokenizer lies beside the folders of all sizes", () => {
  const directory = metaDirectory(1);
  expect(messageOf(() => openTokenizer(directory))).toMatch(/meta-1 holds no tokenizer\.model$/);
  writeFileSync(workspace.file("tokenizer.model"), readFileSync(join(reference, "tokenizer.model")));
  expect(openTokenizer(directory).vocabSize).toBe(tokenizer.vocabSize);
});

test("pytorch_model.bin beside config.json, in Hugging Face's rotary order", async () => {
  const directory = workspace.file("pickled");
  mkdirSync(directory);
  writeFileSync(join(directory, "config.json"), readFileSync(join(reference, "config.json")));
  const tensors: Record<string, Values> = {};
  for (const [name, info] of readSafetensorsDirectory(reference).tensors) {
    using source = openFile(info.file);
    tensors[name] = { shape: info.shape, values: readTensorAsF32(source, info) };
  }
  writeFileSync(join(directory, "pytorch_model.bin"), stateDict(tensors));
  expect(await logitsOf(directory)).toEqual(await logitsOf(reference));
});
