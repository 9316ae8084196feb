/**
 * Reads the head of GGUF files, version 2 and 3: metadata and where each tensor lies.
 *
 * Layout, little-endian: magic, u32 version, u64 tensor count, u64 key count, the keys with their values, the
 * tensors' names, shapes, types and offsets, then at a multiple of `general.alignment` the data. (ggml,
 * docs/gguf.md) A count is believed only as far as that many of the smallest things it counts fit into what is
 * left of the head, and the head is cut off at 64 MiB, so a hostile file costs little before it is refused.
 */

import { FormatError } from "../errors/errors.ts";
import { ByteReader } from "./byte-reader.ts";
import { quoted, type ByteSource } from "./bytes.ts";
import { tensorBytes, typeOfGgml, type TensorInfo } from "./tensor-info.ts";

export type GgufValue =
  | number
  /** A 64-bit number beyond 2^53. */
  | bigint
  | boolean
  | string
  | GgufNumbers
  | readonly GgufValue[];

/** An array of numbers, as the typed array of its element type. */
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

export interface GgufFile {
  readonly version: 2 | 3;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Tensors start at multiples of it, in bytes. */
  readonly alignment: number;
  /** Where the data begins in the file. */
  readonly dataOffset: number;
}

/** enum gguf_type: the number of each value type. Arrays are of one type throughout. */
export const ggufTypeIds = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const;

export const defaultAlignment = 32;

/** @throws {FormatError} with the offset of what breaks the format. */
export function readGguf(source: ByteSource): GgufFile {
  const head: Head = {
    file: source.name,
    reader: new ByteReader(source, maxHeadBytes),
    arrayItems: maxArrayItems,
  };
  const { reader } = head;
  const version = readVersion(head);
  const tensorCount = reader.count("the number of tensors");
  const keyCount = reader.count("the number of keys");
  reader.expect(keyCount, smallestKey, `${keyCount} keys`);
  reader.expect(tensorCount, smallestTensor, `${tensorCount} tensors`);
  const metadata = readMetadata(head, keyCount);
  const alignment = alignmentOf(head, metadata);
  const entries: TensorEntry[] = [];
  for (let i = 0; i < tensorCount; i += 1) entries.push(readTensorEntry(head, alignment));
  const dataOffset = Math.ceil(reader.position / alignment) * alignment;
  const tensors = placeTensors(source, entries, dataOffset);
  return { version, metadata, tensors, alignment, dataOffset };
}

// --- internal ---

/** The largest vocabularies in use take 15 MB. */
const maxHeadBytes = 64 * 2 ** 20;
/** In all of a file's arrays together: each becomes a JavaScript value of some bytes. */
const maxArrayItems = 2 ** 24;
const maxArrayDepth = 4;
/** ggml's GGML_MAX_DIMS. */
const maxDims = 4;

/** Bytes of a key with an empty name and a one-byte value. */
const smallestKey = 8 + 4 + 1;
/** Bytes of a tensor with an empty name and no dims. */
const smallestTensor = 8 + 4 + 4 + 8;

interface Head {
  readonly file: string;
  readonly reader: ByteReader;
  /** How many more may come. */
  arrayItems: number;
}

interface NumberType {
  readonly bytes: number;
  /** @param bytes copied, so aligned. */
  view(bytes: ArrayBuffer): GgufNumbers;
}

/** By number in `ggufTypeIds`. */
const numberTypes: Readonly<Record<number, NumberType>> = {
  [ggufTypeIds.uint8]: { bytes: 1, view: (bytes) => new Uint8Array(bytes) },
  [ggufTypeIds.int8]: { bytes: 1, view: (bytes) => new Int8Array(bytes) },
  [ggufTypeIds.uint16]: { bytes: 2, view: (bytes) => new Uint16Array(bytes) },
  [ggufTypeIds.int16]: { bytes: 2, view: (bytes) => new Int16Array(bytes) },
  [ggufTypeIds.uint32]: { bytes: 4, view: (bytes) => new Uint32Array(bytes) },
  [ggufTypeIds.int32]: { bytes: 4, view: (bytes) => new Int32Array(bytes) },
  [ggufTypeIds.float32]: { bytes: 4, view: (bytes) => new Float32Array(bytes) },
  [ggufTypeIds.uint64]: { bytes: 8, view: (bytes) => new BigUint64Array(bytes) },
  [ggufTypeIds.int64]: { bytes: 8, view: (bytes) => new BigInt64Array(bytes) },
  [ggufTypeIds.float64]: { bytes: 8, view: (bytes) => new Float64Array(bytes) },
};

function readVersion({ file, reader }: Head): 2 | 3 {
  const magic = reader.bytes(4, "the magic number");
  if (String.fromCharCode(...magic) !== "GGUF") {
    throw new FormatError("not a GGUF file: it does not start with GGUF", { file, offset: 0 });
  }
  const version = reader.u32("the version");
  if (version === 2 || version === 3) return version;
  const isBigEndian = (version & 0xffff) === 0;
  throw new FormatError(isBigEndian ? "a big-endian GGUF file" : `GGUF version ${version}, not 2 or 3`, {
    file,
    offset: 4,
    mend: "Convert the model again with a current llama.cpp, for a little-endian machine.",
  });
}

function readMetadata(head: Head, keyCount: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < keyCount; i += 1) {
    const offset = head.reader.position;
    const key = readString(head, "a key");
    if (metadata.has(key)) {
      throw new FormatError(`the key ${quoted(key)} stands twice`, { file: head.file, offset });
    }
    const place = { key: quoted(key), depth: 0 };
    metadata.set(key, readValue(head, head.reader.u32(place.key), place));
  }
  return metadata;
}

/** Where a value stands, for errors; the key is quoted. */
interface Place {
  readonly key: string;
  readonly depth: number;
}

function readValue(head: Head, type: number, place: Place): GgufValue {
  const { file, reader } = head;
  const numbers = numberTypes[type];
  if (numbers !== undefined) {
    const [value] = numbers.view(copied(reader.bytes(numbers.bytes, place.key)));
    return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value!;
  }
  const offset = reader.position;
  if (type === ggufTypeIds.bool) return toBoolean(head, reader.bytes(1, place.key)[0]!, offset);
  if (type === ggufTypeIds.string) return readString(head, place.key);
  if (type === ggufTypeIds.array) return readArray(head, place);
  throw new FormatError(`${place.key}: unknown value type ${type}`, { file, offset: offset - 4 });
}

function readArray(head: Head, { key, depth }: Place): GgufValue {
  const { file, reader } = head;
  const offset = reader.position;
  if (depth === maxArrayDepth) {
    throw new FormatError(`${key}: arrays are nested deeper than ${maxArrayDepth}`, { file, offset });
  }
  const type = reader.u32(key);
  const count = reader.count(key);
  const numbers = numberTypes[type];
  if (numbers !== undefined) {
    reader.expect(count, numbers.bytes, key);
    return numbers.view(copied(reader.bytes(count * numbers.bytes, key)));
  }
  // A text is at least its length, an array its type and length.
  const smallest = new Map<number, number>([
    [ggufTypeIds.bool, 1],
    [ggufTypeIds.string, 8],
    [ggufTypeIds.array, 12],
  ]).get(type);
  if (smallest === undefined) {
    throw new FormatError(`${key}: unknown array type ${type}`, { file, offset });
  }
  reader.expect(count, smallest, key);
  head.arrayItems -= count;
  if (head.arrayItems < 0) {
    throw new FormatError(`${key}: more than ${maxArrayItems} array items in one file`, { file, offset });
  }
  const items: GgufValue[] = [];
  for (let i = 0; i < count; i += 1) items.push(readValue(head, type, { key, depth: depth + 1 }));
  return items;
}

function readString({ reader }: Head, what: string): string {
  return reader.text(reader.count(what), what);
}

function toBoolean({ file }: Head, byte: number, offset: number): boolean {
  if (byte <= 1) return byte === 1;
  throw new FormatError(`a boolean of ${byte}, not 0 or 1`, { file, offset });
}

function copied(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}

function alignmentOf({ file, reader }: Head, metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get("general.alignment") ?? defaultAlignment;
  if (typeof alignment === "number" && alignment >= 1 && Number.isInteger(Math.log2(alignment))) {
    return alignment;
  }
  throw new FormatError(`general.alignment (${String(alignment)}) is not a power of two`, {
    file,
    offset: reader.position,
  });
}

interface TensorEntry extends Omit<TensorInfo, "file" | "offset"> {
  /** From the start of the data. */
  readonly dataOffset: number;
  /** Of the entry itself in the file. */
  readonly at: number;
}

function readTensorEntry(head: Head, alignment: number): TensorEntry {
  const { file, reader } = head;
  const at = reader.position;
  const name = readString(head, "a tensor's name");
  const what = `tensor ${quoted(name)}`;
  const refuse = (problem: string): never => {
    throw new FormatError(`${what}: ${problem}`, { file, offset: at });
  };
  const dims = reader.u32(what);
  if (dims > maxDims) return refuse(`${dims} dims, of which ggml has at most ${maxDims}`);
  // The file has the innermost dim first.
  const shape = Array.from({ length: dims }, () => reader.count(what)).toReversed();
  const id = reader.u32(what);
  const type = typeOfGgml(id);
  if (type === undefined) return refuse(`unknown type ${id}`);
  const bytes = tensorBytes(type, shape, refuse);
  const dataOffset = reader.count(what);
  if (dataOffset % alignment !== 0) {
    return refuse(`its data offset (${dataOffset}) is not a multiple of the alignment (${alignment})`);
  }
  return { name, type, shape, bytes, dataOffset, at };
}

function placeTensors(
  source: ByteSource,
  entries: readonly TensorEntry[],
  start: number,
): Map<string, TensorInfo> {
  const file = source.name;
  const tensors = new Map<string, TensorInfo>();
  for (const { name, type, shape, bytes, dataOffset, at } of entries) {
    if (tensors.has(name)) {
      throw new FormatError(`two tensors have the name ${quoted(name)}`, { file, offset: at });
    }
    if (bytes > source.size - start - dataOffset) {
      const end = start + dataOffset + bytes;
      throw new FormatError(`tensor ${quoted(name)} ends at byte ${end}, the file at ${source.size}`, {
        file,
        offset: at,
        mend: "The file's download was cut short: fetch it again.",
      });
    }
    tensors.set(name, { name, type, shape, file, offset: start + dataOffset, bytes });
  }
  refuseOverlap(file, tensors);
  return tensors;
}

function refuseOverlap(file: string, tensors: ReadonlyMap<string, TensorInfo>): void {
  let end = 0;
  const filled = [...tensors.values()].filter(({ bytes }) => bytes > 0);
  for (const { name, offset, bytes } of filled.sort((a, b) => a.offset - b.offset)) {
    if (offset < end) {
      throw new FormatError(`tensor ${quoted(name)} overlaps another`, { file, offset });
    }
    end = offset + bytes;
  }
}
