/**
 * Writes safetensors, one tensor in memory at a time.
 *
 * The header is padded so that the data starts at a multiple of 64 bytes in the file. The format forbids gaps
 * between tensors, so they are laid out by falling alignment of their sizes: what is a multiple of 64 bytes long
 * comes first, and each tensor starts at a multiple of 64 or of its own size's largest power of two.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { makeDirectory } from "./make-directory.ts";
import { ConfigError } from "../errors/errors.ts";
import { streamAtomically, writeAtomically, writeBytes, writeFileAtomically } from "./atomic-file.ts";
import { maxHeaderBytes } from "./safetensors.ts";
import {
  streamedData,
  tensorBytes,
  tensorLayout,
  writtenData,
  type TensorToStream,
  type TensorToWrite,
} from "./tensor-info.ts";

export type { TensorToWrite } from "./tensor-info.ts";

/**
 * @param metadata texts only; `format: "pt"` is what transformers asks for before it opens a file.
 * @throws {ConfigError} for a type that safetensors does not have, a name twice, or data of the wrong length.
 */
export function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): void {
  const ordered = layOut(tensors);
  const header = encodeHeader(ordered, metadata);
  writeAtomically(path, (fd) => {
    writeBytes(fd, header);
    for (const { tensor } of ordered) writeBytes(fd, writtenData(tensor));
  });
}

/** The same, for tensors that come in pieces. */
export async function streamSafetensors(
  path: string,
  tensors: readonly TensorToStream[],
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): Promise<void> {
  const ordered = layOut(tensors);
  const header = encodeHeader(ordered, metadata);
  await streamAtomically(path, async (fd) => {
    writeBytes(fd, header);
    for (const { tensor } of ordered) await streamedData(tensor, (piece) => writeBytes(fd, piece));
  });
}

/**
 * Writes `model-00001-of-0000N.safetensors` and so on, then `model.safetensors.index.json`.
 *
 * @param maxShardBytes of data; a tensor that is larger gets a shard of its own.
 * @throws {ConfigError} when the directory has weights that readers would take instead of these.
 */
export function writeSafetensorsSharded(
  directory: string,
  tensors: readonly TensorToWrite[],
  maxShardBytes: number,
): void {
  if (!(maxShardBytes > 0)) throw new ConfigError(`maxShardBytes (${maxShardBytes}) is not positive`);
  if (existsSync(join(directory, "model.safetensors"))) {
    throw new ConfigError(`${directory} already holds model.safetensors, which readers prefer to shards`, {
      mend: "Write into an empty directory.",
    });
  }
  requireDistinctNames(tensors);
  makeDirectory(directory);
  const shards = intoShards(tensors, maxShardBytes);
  for (const [i, shard] of shards.entries()) writeSafetensors(join(directory, shardName(i, shards)), shard);
  writeIndex(directory, shards);
}

/**
 * The same for tensors that come in pieces, into an empty directory; what fits into one file becomes
 * `model.safetensors`.
 */
export async function streamSafetensorsSharded(
  directory: string,
  tensors: readonly TensorToStream[],
  maxShardBytes: number,
): Promise<void> {
  if (!(maxShardBytes > 0)) throw new ConfigError(`maxShardBytes (${maxShardBytes}) is not positive`);
  requireDistinctNames(tensors);
  const shards = intoShards(tensors, maxShardBytes);
  if (shards.length === 1) {
    await streamSafetensors(join(directory, "model.safetensors"), tensors);
    return;
  }
  for (const [i, shard] of shards.entries()) {
    await streamSafetensors(join(directory, shardName(i, shards)), shard);
  }
  writeIndex(directory, shards);
}

// --- internal ---

const alignment = 64;

function shardName(i: number, { length }: readonly unknown[]): string {
  return `model-${fiveDigits(i + 1)}-of-${fiveDigits(length)}.safetensors`;
}

/** Written last, so that an index never names a shard that is not there yet. */
function writeIndex(directory: string, shards: readonly (readonly TensorHead[])[]): void {
  const tensors = shards.flat();
  const totalSize = tensors.reduce((sum, { type, shape }) => sum + tensorBytes(type, shape), 0);
  const weightMap = shards.flatMap((shard, i) => shard.map(({ name }) => [name, shardName(i, shards)]));
  const index = {
    metadata: { total_size: totalSize },
    weight_map: Object.fromEntries(weightMap) as Record<string, string>,
  };
  writeFileAtomically(join(directory, "model.safetensors.index.json"), `${JSON.stringify(index, null, 2)}\n`);
}

type TensorHead = Pick<TensorToWrite, "name" | "type" | "shape">;

interface Placed<Tensor extends TensorHead = TensorHead> {
  readonly tensor: Tensor;
  readonly bytes: number;
}

function layOut<Tensor extends TensorHead>(tensors: readonly Tensor[]): readonly Placed<Tensor>[] {
  requireDistinctNames(tensors);
  return tensors
    .map((tensor) => ({ tensor, bytes: tensorBytes(tensor.type, tensor.shape) }))
    .toSorted((a, b) => alignmentOf(b.bytes) - alignmentOf(a.bytes));
}

/** The largest power of two, up to 64, that divides the size. */
function alignmentOf(bytes: number): number {
  const rest = bytes % alignment;
  return rest === 0 ? alignment : rest & -rest;
}

function encodeHeader(placed: readonly Placed[], metadata: Readonly<Record<string, string>>): Uint8Array {
  let end = 0;
  const entries = placed.map(({ tensor, bytes }) => {
    const dtype = tensorLayout(tensor.type).safetensors;
    if (dtype === undefined) {
      throw new ConfigError(`tensor ${tensor.name} is ${tensor.type}, which safetensors does not have`, {
        mend: "Write it to a .gguf file, or as f32, f16 or bf16.",
      });
    }
    const begin = end;
    end += bytes;
    const entry = { dtype, shape: tensor.shape, data_offsets: [begin, end] };
    return `${JSON.stringify(tensor.name)}:${JSON.stringify(entry)}`;
  });
  const head = Object.keys(metadata).length === 0 ? [] : [`"__metadata__":${JSON.stringify(metadata)}`];
  const text = Buffer.from(`{${[...head, ...entries].join(",")}}`, "utf8");
  const length = Math.ceil((8 + text.length) / alignment) * alignment - 8;
  if (length > maxHeaderBytes) {
    throw new ConfigError(`the header would take ${length} bytes, over the limit of ${maxHeaderBytes}`, {
      mend: "Write fewer tensors to one file.",
    });
  }
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, 8);
  return header;
}

function requireDistinctNames(tensors: readonly TensorHead[]): void {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (names.has(name)) throw new ConfigError(`two tensors have the name ${name}`);
    if (name === "__metadata__") throw new ConfigError("no tensor may have the name __metadata__");
    names.add(name);
  }
}

function intoShards<Tensor extends TensorHead>(
  tensors: readonly Tensor[],
  maxShardBytes: number,
): Tensor[][] {
  const shards: Tensor[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor.type, tensor.shape);
    if (filled > 0 && filled + bytes > maxShardBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += bytes;
  }
  return shards;
}

function fiveDigits(n: number): string {
  return String(n).padStart(5, "0");
}
