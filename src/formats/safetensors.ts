/**
 * Reads safetensors: u64 length of a JSON header, the header, the tensors' data without gaps.
 *
 * Follows the format's description and the checks that its reference reader makes: a header of at most 100 MB
 * that starts with `{`, no name twice, data that begins where the header ends, ends where the file ends and
 * belongs to exactly one tensor at every byte. (huggingface.co/docs/safetensors, "Format")
 */

import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError, FormatError } from "../errors/errors.ts";
import { decodeUtf8, quoted, type ByteSource } from "./bytes.ts";
import { openFile } from "./file-source.ts";
import { isJsonObject, parseJson, type JsonObject, type JsonValue } from "./json.ts";
import { tensorBytes, typeOfSafetensors, type TensorInfo } from "./tensor-info.ts";
import { readShards } from "./weight-index.ts";

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The reference reader's limit. */
export const maxHeaderBytes = 100_000_000;

/** Reads the header only. @throws {FormatError} when any rule of the format is broken. */
export function readSafetensors(source: ByteSource): SafetensorsFile {
  const file = source.name;
  const headerBytes = readHeaderLength(source);
  const text = decodeUtf8(source.read(8, headerBytes), file, 8);
  if (!text.startsWith("{")) throw new FormatError("the header does not start with {", { file, offset: 8 });
  const { __metadata__: metadata = {}, ...entries } = parseJson(text, file, 8) as JsonObject;
  const dataStart = 8 + headerBytes;
  const tensors = Object.entries(entries).map(([name, entry]) =>
    tensorInfo(source, { name, entry }, dataStart),
  );
  requireWholeCover(source, dataStart, tensors);
  return {
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    metadata: textRecord(metadata, file),
  };
}

/**
 * The tensors of a Hugging Face directory: `model.safetensors`, or `model.safetensors.index.json` and the
 * shards it names. Every tensor's `file` is an absolute path.
 *
 * @throws {ConfigError} when neither is there. @throws {FormatError} when index and shards disagree.
 */
export function readSafetensorsDirectory(directory: string): SafetensorsFile {
  const root = resolve(directory);
  const single = join(root, "model.safetensors");
  if (existsSync(single)) return readSafetensorsFile(single);
  const index = join(root, "model.safetensors.index.json");
  if (existsSync(index)) return readAllShards(root, index);
  throw noWeights(directory);
}

// --- internal ---

function readSafetensorsFile(path: string): SafetensorsFile {
  using source = openFile(path);
  return readSafetensors(source);
}

function readHeaderLength(source: ByteSource): number {
  const file = source.name;
  if (source.size < 8) {
    throw new FormatError(`${source.size} bytes are too few for a safetensors file`, { file });
  }
  const prefix = source.read(0, 8);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    throw new FormatError(`a header of ${length} bytes, over the limit of ${maxHeaderBytes}`, {
      file,
      offset: 0,
      mend: "This is not a safetensors file, or its start is damaged.",
    });
  }
  if (length > BigInt(source.size - 8)) {
    throw new FormatError(`a header of ${length} bytes, of which ${source.size - 8} are there`, {
      file,
      offset: 0,
      mend: "The file's download was cut short: fetch it again.",
    });
  }
  return Number(length);
}

function tensorInfo(
  source: ByteSource,
  { name, entry }: { readonly name: string; readonly entry: JsonValue },
  dataStart: number,
): TensorInfo {
  const refuse = (problem: string): never => {
    throw new FormatError(`tensor ${quoted(name)}: ${problem}`, { file: source.name, offset: 8 });
  };
  if (!isJsonObject(entry)) return refuse("its entry is not an object");
  const { dtype, shape, data_offsets: offsets, ...others } = entry;
  const other = Object.keys(others)[0];
  if (other !== undefined) return refuse(`unknown key ${quoted(other)}`);
  const type = typeof dtype === "string" ? typeOfSafetensors(dtype) : undefined;
  if (type === undefined) return refuse(`unknown dtype ${quoted(dtype)}`);
  if (!isCounts(shape)) return refuse("its shape is not a list of whole numbers");
  if (!isCounts(offsets) || offsets.length !== 2) return refuse("its data_offsets are not two whole numbers");
  const [begin, end] = offsets as readonly [number, number];
  const bytes = tensorBytes(type, shape, refuse);
  if (end - begin !== bytes) {
    return refuse(
      `data_offsets hold ${end - begin} bytes, ${dtype as string} [${shape.join(", ")}] is ${bytes}`,
    );
  }
  if (end > source.size - dataStart) {
    return refuse(`its data ends at byte ${dataStart + end}, the file at ${source.size}`);
  }
  return { name, type, shape, file: source.name, offset: dataStart + begin, bytes };
}

function isCounts(value: JsonValue | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && (item as number) >= 0);
}

function requireWholeCover(source: ByteSource, dataStart: number, tensors: readonly TensorInfo[]): void {
  const file = source.name;
  let end = dataStart;
  for (const { name, offset, bytes } of tensors.toSorted(
    (a, b) => a.offset - b.offset || a.bytes - b.bytes,
  )) {
    if (offset < end) throw new FormatError(`tensor ${quoted(name)} overlaps another`, { file, offset });
    if (offset > end) {
      throw new FormatError(`${offset - end} bytes belong to no tensor`, { file, offset: end });
    }
    end = offset + bytes;
  }
  if (end !== source.size) {
    throw new FormatError(`${source.size - end} bytes after the last tensor`, { file, offset: end });
  }
}

function textRecord(value: JsonValue, file: string): Readonly<Record<string, string>> {
  if (isJsonObject(value) && Object.values(value).every((item) => typeof item === "string")) {
    return value as Readonly<Record<string, string>>;
  }
  throw new FormatError("__metadata__ is not an object of texts", { file, offset: 8 });
}

function readAllShards(root: string, index: string): SafetensorsFile {
  const metadata: [string, string][] = [];
  const tensors = readShards({ root, index, extension: ".safetensors" }, (path) => {
    const shard = readSafetensorsFile(path);
    metadata.push(...Object.entries(shard.metadata));
    return shard.tensors;
  });
  return { tensors, metadata: Object.fromEntries(metadata) };
}

function noWeights(directory: string): ConfigError {
  if (!existsSync(directory)) {
    return new ConfigError(`${directory} does not exist`, { mend: "Check the path." });
  }
  const pickled = readdirSync(directory).find((name) => /\.(bin|pth|pt)$/.test(name));
  return new ConfigError(`${directory} has neither model.safetensors nor model.safetensors.index.json`, {
    mend:
      pickled === undefined
        ? "Give the directory of a model in Hugging Face's layout."
        : `Convert ${pickled} to safetensors first.`,
  });
}
