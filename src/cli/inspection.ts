/**
 * What a file or folder holds, as plain data: a few facts, metadata and tensors. Only heads are read, never weights.
 */

import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { openShards, type SplitName } from "../corpus/shards.ts";
import { ConfigError } from "../errors/errors.ts";
import type { ByteSource } from "../formats/bytes.ts";
import { openFile } from "../formats/file-source.ts";
import { modelPath } from "../formats/model-cache.ts";
import { readGguf } from "../formats/gguf.ts";
import { readJsonFile } from "../formats/json.ts";
import { readLlama2c, readLlama2cTokenizer } from "../formats/llama2c.ts";
import { isMetaDirectory, readMetaDirectory } from "../formats/meta-shards.ts";
import { readSafetensors, readSafetensorsDirectory } from "../formats/safetensors.ts";
import { readSentencePiece, type SentencePieceModel } from "../formats/sentencepiece.ts";
import type { TensorInfo } from "../formats/tensor-info.ts";
import { hasOnlyTorchWeights, readTorchDirectory, readTorchFile } from "../formats/torch-file.ts";
import { readTokenizerJson } from "../formats/tokenizer-json.ts";
import { configFromHuggingFace, parameterCount } from "../model/config.ts";
import { configFromMeta } from "../model/meta-params.ts";
import { readMetrics } from "../train/metrics.ts";
import { fileKind } from "../formats/file-kind.ts";
import { countLlama2cPieces, wholeFile } from "../tokenizer/open.ts";

/** A name and what it is; numbers stay numbers for --json. */
export type Fact = readonly [name: string, value: unknown];

export interface Inspection {
  /** Such as "GGUF v3". */
  readonly kind: string;
  readonly facts: readonly Fact[];
  /** Keys and values that the file itself has. */
  readonly metadata: readonly Fact[];
  readonly tensors: readonly TensorInfo[];
}

/** @throws {ConfigError} for what is nothing Cria knows. @throws {FormatError} for bytes that are damaged. */
export function inspectPath(named: string): Inspection {
  const path = modelPath(named);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return inspectFolder(path);
  using source = openFile(path);
  const kind = fileKind(source);
  switch (kind) {
    case "gguf":
      return ggufFile(source);
    case "safetensors": {
      const { tensors, metadata } = readSafetensors(source);
      return {
        kind: "safetensors",
        facts: [],
        metadata: Object.entries(metadata),
        tensors: [...tensors.values()],
      };
    }
    case "torch": {
      const tensors = [...readTorchFile(source).values()];
      return { kind: "PyTorch checkpoint", facts: [], metadata: [], tensors };
    }
    case "llama2c": {
      const { config, tensors } = readLlama2c(source);
      const metadata = Object.entries(config);
      return { kind: "llama2.c model", facts: [], metadata, tensors: [...tensors.values()] };
    }
    case "llama2c-tokenizer":
      return llama2cTokenizer(source);
    case "sentencepiece":
      return tokenizerModel("SentencePiece model", readSentencePiece(source.name, wholeFile(source)));
    case "tokenizer-json": {
      const model = readTokenizerJson(source.name, new TextDecoder().decode(wholeFile(source)));
      return tokenizerModel("Hugging Face tokenizer", model);
    }
    case "json":
    case "unknown": {
      const split = splitOfIndex(path);
      if (split !== undefined) return shardFolder(dirname(path), [split]);
      throw unknownKind(path);
    }
  }
}

// --- internal ---

const splits: readonly SplitName[] = ["train", "validation"];

function unknownKind(path: string): ConfigError {
  return new ConfigError(`${path} is nothing that Cria knows`, {
    mend:
      "Give a .safetensors, .gguf, .pth, .bin or .model file, a model's folder, a checkpoint, a run's folder, or a folder " +
      "of token shards.",
  });
}

function inspectFolder(path: string): Inspection {
  if (existsSync(join(path, "config.json"))) return modelFolder(path);
  if (isMetaDirectory(path)) return metaFolder(path);
  const found = splits.filter((split) => existsSync(indexOf(path, split)));
  if (found.length > 0) return shardFolder(path, found);
  if (existsSync(join(path, "recipe.yaml"))) return runFolder(path);
  throw unknownKind(path);
}

function ggufFile(source: ByteSource): Inspection {
  const { version, metadata, tensors, alignment } = readGguf(source);
  return {
    kind: `GGUF v${version}`,
    facts: [["alignment", alignment]],
    metadata: [...metadata],
    tensors: [...tensors.values()],
  };
}

function modelFolder(path: string): Inspection {
  const file = join(path, "config.json");
  const json = readJsonFile(file);
  const config = configFromHuggingFace(json, file);
  const state = join(path, "run.json");
  const run = existsSync(state) ? (readJsonFile(state) as Record<string, unknown>) : undefined;
  const { tensors, metadata } = hasOnlyTorchWeights(path)
    ? { tensors: readTorchDirectory(path), metadata: {} }
    : readSafetensorsDirectory(path);
  const names = ["tokenizer.model", "tokenizer.json"].filter((name) => existsSync(join(path, name)));
  return {
    kind: run === undefined ? "Hugging Face model" : "checkpoint",
    facts: [
      ["parameters", parameterCount(config)],
      ...(run === undefined ? [] : [["stage", run["stage"]] as const, ["step", run["step"]] as const]),
      ["tokenizer", names.length === 0 ? "none" : names.join(", ")],
    ],
    metadata: [...Object.entries(config), ...Object.entries(metadata)],
    tensors: [...tensors.values()],
  };
}

function metaFolder(path: string): Inspection {
  const { params, tensors } = readMetaDirectory(path);
  const config = configFromMeta(params, tensors, join(path, "params.json"));
  const all = [...tensors.values()];
  return {
    kind: "Meta model",
    facts: [
      ["parameters", parameterCount(config)],
      ["shards", Math.max(...all.map(({ parts }) => parts.length))],
    ],
    metadata: Object.entries(config),
    tensors: all.flatMap(({ parts }) => parts),
  };
}

function llama2cTokenizer(source: ByteSource): Inspection {
  const count = countLlama2cPieces(source);
  const { pieces } = readLlama2cTokenizer(source, count);
  const longest = pieces.reduce((most, { length }) => Math.max(most, length), 0);
  return {
    kind: "llama2.c tokenizer",
    facts: [
      ["pieces", count],
      ["longest piece", `${longest} bytes`],
    ],
    metadata: [],
    tensors: [],
  };
}

function tokenizerModel(kind: string, { pieces, trainer, normalizer }: SentencePieceModel): Inspection {
  const counts = new Map<string, number>();
  for (const { type } of pieces) counts.set(type, (counts.get(type) ?? 0) + 1);
  return {
    kind: `${kind}, ${trainer.modelType}`,
    facts: [
      ["pieces", pieces.length],
      ...[...counts].map(([type, count]): Fact => [`  ${type.replace("_", "-")}`, count]),
      ["first pieces", pieces.slice(0, 3).map(({ piece }) => piece)],
      ["last pieces", pieces.slice(-8).map(({ piece }) => piece)],
    ],
    metadata: [
      ...Object.entries(trainer).map(([key, value]): Fact => [`trainer.${key}`, value]),
      ...Object.entries(normalizer).map(([key, value]): Fact => [`normalizer.${key}`, value]),
    ],
    tensors: [],
  };
}

function shardFolder(path: string, found: readonly SplitName[]): Inspection {
  const facts = found.flatMap((split): Fact[] => {
    using shards = openShards(path, split);
    const { index } = shards;
    return [
      [`${split} documents`, index.documents],
      [`${split} tokens`, index.tokens],
      [`${split} text bytes`, index.bytes],
      [`${split} shards`, index.shards.map(({ file }) => file)],
    ];
  });
  using first = openShards(path, found[0]!);
  const { dtype, vocabSize, bosId, eosId } = first.index;
  const metadata = Object.entries({ dtype, vocabSize, bosId, eosId });
  return { kind: "token shards", facts, metadata, tensors: [] };
}

function runFolder(path: string): Inspection {
  // A run of several stages has a folder for each.
  const stages = readdirSync(path).filter((name) => existsSync(join(path, name, "metrics.jsonl")));
  const facts =
    stages.length === 0
      ? stageFacts(path, "")
      : stages.toSorted().flatMap((stage) => stageFacts(path, stage));
  return { kind: "run", facts, metadata: [], tensors: [] };
}

/** @param stage empty when the run is one stage. */
function stageFacts(path: string, stage: string): Fact[] {
  const metrics = join(path, stage, "metrics.jsonl");
  const records = existsSync(metrics) ? readMetrics(metrics) : [];
  const last = records.findLast(({ loss }) => loss !== undefined);
  const folder = join(path, "checkpoints", stage);
  const checkpoints = existsSync(folder) ? readdirSync(folder).filter((name) => /^step-\d+$/.test(name)) : [];
  const prefix = stage === "" ? "" : `${stage} `;
  return [
    [`${prefix}step`, last?.step ?? 0],
    [`${prefix}loss`, last?.loss ?? "none yet"],
    [`${prefix}checkpoints`, checkpoints.length === 0 ? "none yet" : checkpoints.toSorted()],
  ];
}

function indexOf(folder: string, split: SplitName): string {
  return join(folder, `${split}-index.json`);
}

function splitOfIndex(path: string): SplitName | undefined {
  return splits.find((split) => basename(path) === basename(indexOf("", split)));
}
