/**
 * Reads Meta's own directories: `params.json` and `consolidated.00.pth`, `consolidated.01.pth`, ..., one file for
 * each rank of the tensor-parallel group that the model was trained on: 1 for 7B, 2 for 13B, 8 for 70B.
 *
 * A linear layer that divides its outputs over the ranks has dim 0 of its weight split, one that divides its inputs
 * dim 1. The embedding is split along the features, that is dim 1, in Llama 1 and 2 (along the vocabulary in
 * Llama 3, which the shape then gives away). Norms are whole on every rank. (Llama 2's reference code,
 * llama/model.py: ColumnParallelLinear, RowParallelLinear, ParallelEmbedding; Shoeybi et al. 2019, §3)
 */

import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError, FormatError } from "../errors/errors.ts";
import { quoted } from "./bytes.ts";
import { openFile } from "./file-source.ts";
import { isJsonObject, readJsonFile, type JsonObject } from "./json.ts";
import { tensorBytes, type TensorInfo, type TensorType } from "./tensor-info.ts";
import { readTorchFile } from "./torch-file.ts";

/** A tensor in pieces, which lie side by side along one axis. */
export interface ShardedTensor {
  readonly name: string;
  /** Of the whole, outermost first. */
  readonly shape: readonly number[];
  readonly type: TensorType;
  readonly axis: 0 | 1;
  /** In order. A single one is the whole tensor. */
  readonly parts: readonly TensorInfo[];
}

/** Whether a directory is laid out as Meta ships its models; of two layouts in one, Hugging Face's is taken. */
export function isMetaDirectory(path: string): boolean {
  const has = (name: string): boolean => existsSync(join(path, name));
  return !has("config.json") && (has("params.json") || has(shardName(0)));
}

/**
 * Reads the heads of the files. Every part's `file` is an absolute path.
 *
 * @returns params.json as it is, and the tensors by Meta's names; the table `rope.freqs` follows from the
 *   configuration and is left out.
 * @throws {ConfigError} when a file is missing. @throws {FormatError} when the files are not of one model.
 */
export function readMetaDirectory(path: string): {
  params: Record<string, unknown>;
  tensors: ReadonlyMap<string, ShardedTensor>;
} {
  const root = resolve(path);
  if (!existsSync(root)) throw new ConfigError(`${path} does not exist`, { mend: "Check the path." });
  const shards = shardPaths(root, path).map(readShard);
  const paramsFile = join(root, "params.json");
  const params = readJsonFile(paramsFile);
  if (!isJsonObject(params)) throw new FormatError("not an object", { file: paramsFile });
  const dim = readDim(params, paramsFile);
  requireSameNames(shards);
  const tensors = new Map<string, ShardedTensor>();
  for (const [name, first] of shards[0]!.tensors) {
    if (name === ropeTable) continue;
    const parts = [first, ...shards.slice(1).map((shard) => shard.tensors.get(name)!)];
    tensors.set(name, joined(name, parts, dim));
  }
  return { params, tensors };
}

/**
 * The whole tensor's data: its parts one after the other (axis 0), or their rows by turns (axis 1).
 *
 * @param read gives a part's bytes; called once for each part, in order. The only part's are returned as they are.
 * @throws {FormatError} when `read` gives more or fewer bytes than the part has.
 */
export function joinParts(tensor: ShardedTensor, read: (info: TensorInfo) => Uint8Array): Uint8Array {
  const { parts, axis, shape } = tensor;
  if (parts.length === 1) return readPart(parts[0]!, read);
  const whole = new Uint8Array(parts.reduce((sum, { bytes }) => sum + bytes, 0));
  const rows = axis === 0 ? 1 : shape[0]!;
  const rowBytes = whole.length / rows;
  let start = 0;
  for (const part of parts) {
    const data = readPart(part, read);
    const partBytes = data.length / rows;
    for (let row = 0; row < rows; row += 1) {
      whole.set(data.subarray(row * partBytes, (row + 1) * partBytes), row * rowBytes + start);
    }
    start += partBytes;
  }
  return whole;
}

// --- internal ---

const ropeTable = "rope.freqs";

/** How many ranks Meta's models were trained on. */
const shardCounts = [1, 2, 4, 8];

interface Layout {
  /** The dim of which each rank has a part; undefined for what every rank has whole. */
  readonly split: 0 | 1 | undefined;
  /** Which dim of the whole tensor is the model's. */
  readonly model: 0 | 1;
}

const layouts: readonly (readonly [RegExp, Layout])[] = [
  [/^layers\.\d+\.attention\.w[qkv]\.weight$/, { split: 0, model: 1 }],
  [/^layers\.\d+\.attention\.wo\.weight$/, { split: 1, model: 0 }],
  [/^layers\.\d+\.feed_forward\.w[13]\.weight$/, { split: 0, model: 1 }],
  [/^layers\.\d+\.feed_forward\.w2\.weight$/, { split: 1, model: 0 }],
  [/^layers\.\d+\.(attention|ffn)_norm\.weight$/, { split: undefined, model: 0 }],
  [/^norm\.weight$/, { split: undefined, model: 0 }],
  [/^output\.weight$/, { split: 0, model: 1 }],
  [/^tok_embeddings\.weight$/, { split: 1, model: 1 }],
];

interface Shard {
  readonly file: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

function shardPaths(root: string, path: string): readonly string[] {
  const names = readdirSync(root).filter((name) => /^consolidated\.\d\d\.pth$/.test(name));
  if (names.length === 0) {
    throw new ConfigError(`${path} has no consolidated.00.pth`, {
      mend: "Give the directory of a model as Meta ships it.",
    });
  }
  const numbers = names.map((name) => Number(name.slice(13, 15)));
  const last = Math.max(...numbers);
  for (let number = 0; number <= last; number += 1) {
    if (numbers.includes(number)) continue;
    throw new ConfigError(`${path} has ${shardName(last)}, but no ${shardName(number)}`, {
      mend: "A shard is missing: fetch it too.",
    });
  }
  if (!shardCounts.includes(names.length)) {
    throw new ConfigError(`${path} has ${names.length} shards; Meta's models have 1, 2, 4 or 8`, {
      mend: `Shards after ${shardName(last)} are missing: fetch them too.`,
    });
  }
  return numbers.sort((a, b) => a - b).map((number) => join(root, shardName(number)));
}

function shardName(number: number): string {
  return `consolidated.${String(number).padStart(2, "0")}.pth`;
}

function readShard(file: string): Shard {
  using source = openFile(file);
  return { file, tensors: readTorchFile(source) };
}

/** The one number that every tensor's shape shows, whatever the number of shards. */
function readDim(params: JsonObject, file: string): number {
  const dim = params["dim"];
  if (typeof dim === "number" && Number.isSafeInteger(dim) && dim > 0) return dim;
  throw new FormatError(`dim is ${quoted(dim)}, not a positive whole number`, {
    file,
    mend: "This is not the params.json of a Llama model: fetch it again.",
  });
}

function requireSameNames(shards: readonly Shard[]): void {
  const all = new Set(shards.flatMap(({ tensors }) => [...tensors.keys()]));
  all.delete(ropeTable);
  for (const name of all) {
    const without = shards.find(({ tensors }) => !tensors.has(name));
    if (without === undefined) continue;
    const having = shards.find(({ tensors }) => tensors.has(name))!;
    throw new FormatError(`tensor ${quoted(name)} is missing, which ${having.file} has`, {
      file: without.file,
      mend: "The shards are of different models: fetch them again together.",
    });
  }
}

function joined(name: string, parts: readonly TensorInfo[], dim: number): ShardedTensor {
  const first = parts[0]!;
  const layout = layouts.find(([pattern]) => pattern.test(name))?.[1];
  if (layout === undefined) {
    throw new FormatError(`tensor ${quoted(name)} is none of Llama's`, {
      file: first.file,
      offset: first.offset,
      mend: "Give a model of the Llama 1 or 2 family, as Meta ships it.",
    });
  }
  requireAlike(name, parts);
  const { split, model } = layout;
  const shape = first.shape.map((size, axis) => (axis === split ? size * parts.length : size));
  if (shape[model] !== dim || shape.length !== (split === undefined ? 1 : 2)) {
    const place = parts.length === 1 ? "has shape" : `in ${parts.length} shards has the shape`;
    throw new FormatError(`tensor ${name} ${place} [${shape.join(", ")}]: dim is ${dim} in params.json`, {
      file: first.file,
      offset: first.offset,
      mend: "The shards and params.json are of different models, or not all shards are there: fetch them again.",
    });
  }
  // Also refuses a whole of more than 2^53 bytes.
  tensorBytes(first.type, shape);
  const whole = split === undefined ? [first] : parts;
  return { name, shape, type: first.type, axis: split ?? 0, parts: whole };
}

function requireAlike(name: string, parts: readonly TensorInfo[]): void {
  const first = shownPart(parts[0]!);
  const other = parts.find((part) => shownPart(part) !== first);
  if (other === undefined) return;
  throw new FormatError(
    `tensor ${quoted(name)} is ${shownPart(other)}, in ${parts[0]!.file} it is ${first}`,
    {
      file: other.file,
      offset: other.offset,
      mend: "The shards are of different models: fetch them again together.",
    },
  );
}

function shownPart({ type, shape }: TensorInfo): string {
  return `${type} [${shape.join(", ")}]`;
}

function readPart(part: TensorInfo, read: (info: TensorInfo) => Uint8Array): Uint8Array {
  const data = read(part);
  if (data.length === part.bytes) return data;
  throw new FormatError(
    `${data.length} bytes were read of tensor ${quoted(part.name)}, which has ${part.bytes}`,
    {
      file: part.file,
      offset: part.offset,
    },
  );
}
