/**
 * Damaged files for every parser: valid small ones with bits flipped, numbers replaced by extreme ones, runs cut out,
 * doubled and mixed, JSON with other values at its leaves, and noise. A parser must read them or refuse them.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRandom, type Random } from "../../src/corpus/random.ts";
import { CriaError } from "../../src/errors/errors.ts";
import { bytesSource, type ByteSource } from "../../src/formats/bytes.ts";
import { readGguf } from "../../src/formats/gguf.ts";
import { writeGguf } from "../../src/formats/gguf-write.ts";
import { isJsonObject, parseJson } from "../../src/formats/json.ts";
import { readLlama2c, readLlama2cTokenizer } from "../../src/formats/llama2c.ts";
import { readPickle } from "../../src/formats/pickle.ts";
import { readSafetensors } from "../../src/formats/safetensors.ts";
import { writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { readSentencePiece, writeSentencePiece } from "../../src/formats/sentencepiece.ts";
import { readTokenizerJson, writeTokenizerJson } from "../../src/formats/tokenizer-json.ts";
import { readTorchFile } from "../../src/formats/torch-file.ts";
import { readShards } from "../../src/formats/weight-index.ts";
import { readZipEntries } from "../../src/formats/zip-entries.ts";
import {
  configFromGguf,
  configFromHuggingFace,
  configToHuggingFace,
  ggufConfigMetadata,
} from "../../src/model/config.ts";
import type { GgufWriteValue } from "../../src/formats/gguf-write.ts";
import { ggufTokenizerValues } from "../../src/model/gguf-tokenizer.ts";
import { configFromMeta } from "../../src/model/meta-params.ts";
import { wholeWeight } from "../../src/model/stored-weight.ts";
import { tokenizerFromGguf, tokenizerFromLlama2c } from "../../src/tokenizer/load.ts";
import { countLlama2cPieces } from "../../src/tokenizer/open.ts";
import { createTokenizer } from "../../src/tokenizer/tokenizer.ts";
import { tinyConfig } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";

export interface FuzzTarget {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  readonly read: (source: ByteSource) => unknown;
}

export interface FuzzResult {
  readonly read: number;
  readonly refused: number;
  /** Errors that are not Cria's, with the input's number. */
  readonly crashes: readonly string[];
  readonly slowestMs: number;
  /** Largest growth of the process over the run, in bytes. */
  readonly grownBytes: number;
}

/** @param count how many inputs; the same seed makes the same ones. */
export function fuzz(target: FuzzTarget, count: number, seed: number): FuzzResult {
  const random = createRandom(seed);
  const crashes: string[] = [];
  let [read, refused, slowestMs, grownBytes] = [0, 0, 0, 0];
  const before = process.memoryUsage().rss;
  for (let i = 0; i < count; i += 1) {
    const bytes = damaged(target.seeds, random);
    const start = performance.now();
    try {
      target.read(bytesSource("fuzzed", bytes));
      read += 1;
    } catch (error) {
      if (error instanceof CriaError) refused += 1;
      else crashes.push(`input ${i} of seed ${seed}: ${String(error)}`);
    }
    slowestMs = Math.max(slowestMs, performance.now() - start);
    if (i % 256 === 0) grownBytes = Math.max(grownBytes, process.memoryUsage().rss - before);
  }
  return { read, refused, crashes, slowestMs, grownBytes };
}

/** All parsers of files; the caller disposes it. */
export function openFuzzTargets(): { readonly targets: readonly FuzzTarget[] } & Disposable {
  const directory = mkdtempSync(join(tmpdir(), "cria-fuzz-"));
  const file = (name: string): string => join(directory, name);
  const written = (name: string): Uint8Array => new Uint8Array(readFileSync(file(name)));
  const tokenizer = fable();
  const data = (): Uint8Array => new Uint8Array(64);
  const tensors = ["a.weight", "b.weight"].map((name) => ({
    name,
    type: "f32" as const,
    shape: [4, 4],
    data,
  }));
  writeSafetensors(file("model.safetensors"), tensors, { format: "pt" });
  const metadata = new Map<string, GgufWriteValue>(ggufTokenizerValues(tokenizer, tokenizer.vocabSize));
  for (const [key, type, value] of ggufConfigMetadata({ ...tinyConfig, vocabSize: tokenizer.vocabSize })) {
    metadata.set(key, type === "string" ? { type, value } : { type, value });
  }
  writeGguf(file("model.gguf"), { metadata, tensors });
  writeGguf(file("small.gguf"), {
    metadata: new Map([...metadata].filter(([key]) => !key.includes("ggml"))),
    tensors,
  });
  return {
    targets: [...weightTargets(written, directory), ...tokenizerTargets(), ...configTargets()],
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

// --- internal ---

const fixtures = fileURLToPath(new URL("../fixtures/torch/", import.meta.url));
const text = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const all = (source: ByteSource): Uint8Array => source.read(0, source.size);
const decoded = (source: ByteSource): string => new TextDecoder().decode(all(source));

function weightTargets(written: (name: string) => Uint8Array, directory: string): FuzzTarget[] {
  const torch = ["nested.pth", "types.pth", "views.pth", "zip64.pth", "protocol4.pth"].map(
    (name) => new Uint8Array(readFileSync(join(fixtures, name))),
  );
  const pickles = torch.flatMap((bytes) => {
    const source = bytesSource("seed", bytes);
    const entry = [...readZipEntries(source)].find(([name]) => name.endsWith("data.pkl"))?.[1];
    return entry === undefined ? [] : [source.read(entry.offset, entry.bytes).slice()];
  });
  const index = join(directory, "index.json");
  const shards = { "a.weight": "model.safetensors", "b.weight": "model.safetensors" };
  return [
    {
      name: "GGUF",
      seeds: [written("small.gguf"), written("small.gguf"), written("model.gguf")],
      read(source) {
        const { metadata, tensors } = readGguf(source);
        configFromGguf(metadata, { hasOutput: tensors.has("output.weight") });
        if (metadata.has("tokenizer.ggml.model")) tokenizerFromGguf(metadata);
      },
    },
    { name: "safetensors", seeds: [written("model.safetensors")], read: (source) => readSafetensors(source) },
    {
      name: "safetensors index",
      seeds: [text({ metadata: { total_size: 128 }, weight_map: shards })],
      read(source) {
        writeFileSync(index, all(source));
        return readShards(
          { root: directory, index, extension: ".safetensors" },
          (path) => readSafetensors(bytesSource(path, written("model.safetensors"))).tensors,
        );
      },
    },
    { name: "PyTorch zip", seeds: torch, read: (source) => readTorchFile(source) },
    { name: "pickle", seeds: pickles, read: (source) => readPickle(source) },
    { name: "llama2.c", seeds: [0, 1, 2].map(llama2c), read: (source) => readLlama2c(source) },
  ];
}

function tokenizerTargets(): FuzzTarget[] {
  const { model } = fable();
  const pieces = model.pieces.slice(0, 300);
  const bin = [Buffer.from(Int32Array.of(16).buffer)];
  for (const { piece, score } of pieces) {
    const bytes = Buffer.from(piece);
    bin.push(
      Buffer.from(Float32Array.of(score).buffer),
      Buffer.from(Int32Array.of(bytes.length).buffer),
      bytes,
    );
  }
  return [
    {
      name: "SentencePiece",
      seeds: [writeSentencePiece({ ...model, pieces })],
      read: (source) => createTokenizer(readSentencePiece(source.name, all(source))),
    },
    {
      name: "tokenizer.json",
      seeds: [text(writeTokenizerJson({ ...model, pieces }))],
      read: (source) => createTokenizer(readTokenizerJson(source.name, decoded(source))),
    },
    {
      name: "tokenizer.bin",
      seeds: [new Uint8Array(Buffer.concat(bin))],
      read: (source) => tokenizerFromLlama2c(readLlama2cTokenizer(source, countLlama2cPieces(source))),
    },
  ];
}

function configTargets(): FuzzTarget[] {
  const config = configToHuggingFace(
    { ...tinyConfig, ropeScaling: { type: "linear", factor: 2 } },
    { bosId: 1, eosId: 2 },
  );
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64 };
  const params = { dim: 32, n_layers: 2, n_heads: 4, norm_eps: 1e-5, vocab_size: -1, multiple_of: 32 };
  const weight = (name: string, shape: readonly number[]) =>
    [name, wholeWeight({ name, type: "f32", shape, file: "x", offset: 0, bytes: 0 })] as const;
  const stored = new Map([
    weight("layers.0.feed_forward.w1.weight", [64, 32]),
    weight("tok_embeddings.weight", [48, 32]),
  ]);
  return [
    {
      name: "config.json",
      seeds: [text(config), text({ ...config, rope_scaling: yarn })],
      read: (source) => configFromHuggingFace(parseJson(decoded(source), source.name, 0), source.name),
    },
    {
      name: "params.json",
      seeds: [text(params)],
      read(source) {
        const json = parseJson(decoded(source), source.name, 0);
        return isJsonObject(json) ? configFromMeta(json, stored, source.name) : undefined;
      },
    },
  ];
}

/** A tiny model of a version. */
function llama2c(version: number): Uint8Array {
  const sizes = [4, 4, 1, 2, 1, 4, 4];
  const values = 4 * 4 + 16 + 8 + 8 + 16 + 3 * 16;
  if (version === 0) {
    const bytes = new Uint8Array(28 + 4 * (values + 12 + 2 * 4));
    bytes.set(new Uint8Array(Int32Array.from(sizes).buffer));
    return bytes;
  }
  const bytes = new Uint8Array(256 + 4 * 12 + (version === 1 ? 4 * values : 2 * values));
  bytes.set(new Uint8Array(Int32Array.of(0x616b3432, version, ...sizes).buffer));
  bytes[36] = 1;
  bytes.set([4], 37);
  return bytes;
}

const extremes = [0, 1, -1, 2, 127, 128, 255, 256, 65_535, 2 ** 31 - 1, -(2 ** 31), 2 ** 32 - 1];
const values: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1,
  1e308,
  -1e308,
  2 ** 53,
  1e-320,
  0.5,
  "",
  "x",
  "__proto__",
  "\u0000",
  "\uD800",
  [],
  {},
  [[]],
  "y".repeat(300),
];

function damaged(seeds: readonly Uint8Array[], random: Random): Uint8Array {
  const seed = seeds[random.int(seeds.length)]!;
  if (random.int(32) === 0) return Uint8Array.from({ length: random.int(200) }, () => random.int(256));
  if (seed[0] === 0x7b && random.int(2) === 0) return damagedJson(seed, random);
  let bytes: Uint8Array = seed.slice();
  for (let n = 1 + random.int(4); n > 0 && bytes.length > 0; n -= 1) bytes = damagedOnce(bytes, random);
  return bytes;
}

function damagedOnce(bytes: Uint8Array, random: Random): Uint8Array {
  // Heads are where the numbers are.
  const at = random.int(random.int(2) === 0 ? bytes.length : Math.min(bytes.length, 256));
  const run = Math.min(bytes.length - at, 1 + random.int(random.int(2) === 0 ? 8 : 64));
  switch (random.int(7)) {
    case 0:
      return bytes.with(at, bytes[at]! ^ (1 << random.int(8)));
    case 1:
      return bytes.with(at, random.int(256));
    case 2: {
      const changed = new Uint8Array(bytes.length + 8);
      changed.set(bytes);
      const view = new DataView(changed.buffer);
      view.setInt32(at, extremes[random.int(extremes.length)]!, random.int(8) > 0);
      if (random.int(2) === 0) view.setInt32(at + 4, random.int(2) - 1, true);
      return changed.subarray(0, bytes.length);
    }
    case 3:
      return bytes.slice(0, at);
    case 4:
      return Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + run)]);
    case 5:
      return Uint8Array.from([...bytes.subarray(0, at + run), ...bytes.subarray(at)]);
    default:
      return bytes.map((byte, i) => (i >= at && i < at + run ? bytes[random.int(bytes.length)]! : byte));
  }
}

/** Another value in place of one, a level or more below the top. */
function damagedJson(seed: Uint8Array, random: Random): Uint8Array {
  const root = JSON.parse(new TextDecoder().decode(seed)) as Record<string, unknown>;
  let place: Record<string, unknown> = root;
  for (;;) {
    const keys = Object.keys(place);
    if (keys.length === 0) return text(root);
    const key = keys[random.int(keys.length)]!;
    const inner = place[key];
    if (typeof inner === "object" && inner !== null && random.int(4) > 0) {
      place = inner as Record<string, unknown>;
      continue;
    }
    if (random.int(4) === 0) delete place[key];
    else place[key] = values[random.int(values.length)];
    return text(root);
  }
}
