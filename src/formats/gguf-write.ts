/** Writes GGUF version 3 (ggml, docs/gguf.md), one tensor in memory at a time. */

import { ConfigError } from "../errors/errors.ts";
import { streamAtomically, writeAtomically, writeBytes } from "./atomic-file.ts";
import { defaultAlignment, ggufTypeIds } from "./gguf.ts";
import {
  streamedData,
  tensorBytes,
  tensorLayout,
  writtenData,
  type TensorToStream,
  type TensorToWrite,
} from "./tensor-info.ts";

/** A value with the type it is stored as. `items` is the type of an array's elements. */
export type GgufWriteValue = GgufScalar | GgufArray;

export type GgufScalar =
  | { readonly type: GgufNumberType; readonly value: number }
  | { readonly type: "uint64" | "int64"; readonly value: number | bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string };

export type GgufArray =
  | { readonly type: "array"; readonly items: GgufNumberType; readonly value: ArrayLike<number> }
  | { readonly type: "array"; readonly items: "uint64" | "int64"; readonly value: ArrayLike<number | bigint> }
  | { readonly type: "array"; readonly items: "bool"; readonly value: readonly boolean[] }
  | { readonly type: "array"; readonly items: "string"; readonly value: readonly string[] }
  | { readonly type: "array"; readonly items: "array"; readonly value: readonly GgufArray[] };

export type GgufNumberType = keyof typeof numberTypes;

export interface GgufToWrite<Tensor = TensorToWrite> {
  readonly metadata: ReadonlyMap<string, GgufWriteValue>;
  readonly tensors: readonly Tensor[];
  /** Tensors start at multiples of it, in bytes; a power of two, stored as `general.alignment`. */
  readonly alignment?: number;
}

/**
 * @throws {ConfigError} for a value that its type cannot hold, a tensor that ggml cannot have, a name twice, or
 *         data of the wrong length.
 */
export function writeGguf(path: string, content: GgufToWrite): void {
  const alignment = checkedAlignment(content);
  const placed = placeTensors(content.tensors, alignment);
  const head = encodeHead(content, placed, alignment);
  writeAtomically(path, (fd) => {
    writeBytes(fd, head);
    for (const { tensor } of placed) {
      const data = writtenData(tensor);
      writeBytes(fd, data);
      writeBytes(fd, new Uint8Array(padding(data.length, alignment)));
    }
  });
}

/** The same, for tensors that come in pieces. */
export async function streamGguf(path: string, content: GgufToWrite<TensorToStream>): Promise<void> {
  const alignment = checkedAlignment(content);
  const placed = placeTensors(content.tensors, alignment);
  const head = encodeHead(content, placed, alignment);
  await streamAtomically(path, async (fd) => {
    writeBytes(fd, head);
    for (const { tensor } of placed) {
      await streamedData(tensor, (piece) => writeBytes(fd, piece));
      writeBytes(fd, new Uint8Array(padding(tensorBytes(tensor.type, tensor.shape), alignment)));
    }
  });
}

// --- internal ---

type TensorHead = Pick<TensorToWrite, "name" | "type" | "shape">;

/** ggml's GGML_MAX_NAME, with its closing zero byte. */
const maxNameBytes = 63;
const maxDims = 4;

interface Range {
  readonly bytes: number;
  readonly min: number;
  readonly max: number;
  write(view: DataView, at: number, value: number): void;
}

const numberTypes = {
  uint8: { bytes: 1, min: 0, max: 0xff, write: (view, at, value) => view.setUint8(at, value) },
  int8: { bytes: 1, min: -0x80, max: 0x7f, write: (view, at, value) => view.setInt8(at, value) },
  uint16: { bytes: 2, min: 0, max: 0xffff, write: (view, at, value) => view.setUint16(at, value, true) },
  int16: { bytes: 2, min: -0x8000, max: 0x7fff, write: (view, at, value) => view.setInt16(at, value, true) },
  uint32: { bytes: 4, min: 0, max: 2 ** 32 - 1, write: (view, at, value) => view.setUint32(at, value, true) },
  int32: {
    bytes: 4,
    min: -(2 ** 31),
    max: 2 ** 31 - 1,
    write: (view, at, value) => view.setInt32(at, value, true),
  },
  float32: {
    bytes: 4,
    min: -Infinity,
    max: Infinity,
    write: (view, at, value) => view.setFloat32(at, value, true),
  },
  float64: {
    bytes: 8,
    min: -Infinity,
    max: Infinity,
    write: (view, at, value) => view.setFloat64(at, value, true),
  },
} as const satisfies Record<string, Range>;

interface Placed<Tensor extends TensorHead = TensorHead> {
  readonly tensor: Tensor;
  readonly offset: number;
}

function checkedAlignment({ metadata, alignment = defaultAlignment }: Omit<GgufToWrite, "tensors">): number {
  if (!(alignment >= 1 && alignment < 2 ** 32 && Number.isInteger(Math.log2(alignment)))) {
    throw new ConfigError(`alignment (${alignment}) is not a power of two`, { mend: "Use 32 or 64." });
  }
  if (metadata.has("general.alignment")) {
    throw new ConfigError("general.alignment stands among the metadata", {
      mend: "Give it as `alignment` instead.",
    });
  }
  return alignment;
}

function padding(bytes: number, alignment: number): number {
  return (alignment - (bytes % alignment)) % alignment;
}

function placeTensors<Tensor extends TensorHead>(
  tensors: readonly Tensor[],
  alignment: number,
): readonly Placed<Tensor>[] {
  const names = new Set<string>();
  let end = 0;
  return tensors.map((tensor) => {
    const { name, type, shape } = tensor;
    if (names.has(name)) throw new ConfigError(`two tensors have the name ${name}`);
    names.add(name);
    if (Buffer.byteLength(name) > maxNameBytes || shape.length > maxDims) {
      throw new ConfigError(
        `tensor ${name} has ${Buffer.byteLength(name)} bytes of name and ${shape.length} dims, ` +
          `of which ggml takes at most ${maxNameBytes} and ${maxDims}`,
      );
    }
    const offset = end;
    const bytes = tensorBytes(type, shape);
    end += bytes + padding(bytes, alignment);
    return { tensor, offset };
  });
}

function encodeHead(
  content: Omit<GgufToWrite, "tensors">,
  placed: readonly Placed[],
  alignment: number,
): Uint8Array {
  const metadata = new Map(content.metadata);
  if (alignment !== defaultAlignment) metadata.set("general.alignment", { type: "uint32", value: alignment });
  const out = new HeadBytes();
  out.bytes(Buffer.from("GGUF"));
  out.number("uint32", 3);
  out.u64(BigInt(placed.length));
  out.u64(BigInt(metadata.size));
  for (const [key, value] of metadata) {
    out.text(key);
    out.number("uint32", ggufTypeIds[value.type]);
    encodeValue(out, key, value);
  }
  for (const { tensor, offset } of placed) {
    const id = tensorLayout(tensor.type).ggml;
    if (id === undefined) {
      throw new ConfigError(`tensor ${tensor.name} is ${tensor.type}, which ggml does not have`, {
        mend: "Write it to a safetensors file, or as f32, f16 or bf16.",
      });
    }
    out.text(tensor.name);
    out.number("uint32", tensor.shape.length);
    // The file has the innermost dim first.
    for (const dim of tensor.shape.toReversed()) out.u64(BigInt(dim));
    out.number("uint32", id);
    out.u64(BigInt(offset));
  }
  out.bytes(new Uint8Array(padding(out.length, alignment)));
  return out.taken();
}

function encodeValue(out: HeadBytes, key: string, value: GgufWriteValue): void {
  switch (value.type) {
    case "bool":
      return out.bytes(Uint8Array.of(Number(value.value)));
    case "string":
      return out.text(value.value);
    case "uint64":
    case "int64":
      return encode64(out, key, value);
    case "array":
      return encodeArray(out, key, value);
    case "uint8":
    case "int8":
    case "uint16":
    case "int16":
    case "uint32":
    case "int32":
    case "float32":
    case "float64":
      return encodeNumber(out, key, value);
  }
}

function encodeArray(out: HeadBytes, key: string, array: GgufArray): void {
  out.number("uint32", ggufTypeIds[array.items]);
  out.u64(BigInt(array.value.length));
  for (let i = 0; i < array.value.length; i += 1) {
    const item = array.value[i]!;
    // An element of an array of arrays carries its type; that of any other is `items`.
    const value = array.items === "array" ? item : { type: array.items, value: item };
    encodeValue(out, key, value as GgufWriteValue);
  }
}

function encodeNumber(
  out: HeadBytes,
  key: string,
  { type, value }: { readonly type: GgufNumberType; readonly value: number },
): void {
  const { min, max } = numberTypes[type];
  const isFloat = type === "float32" || type === "float64";
  if (!isFloat && !(Number.isInteger(value) && value >= min && value <= max)) outOfRange(key, type, value);
  out.number(type, value);
}

function encode64(
  out: HeadBytes,
  key: string,
  { type, value }: { readonly type: "uint64" | "int64"; readonly value: number | bigint },
): void {
  if (typeof value === "number" && !Number.isSafeInteger(value)) outOfRange(key, type, value);
  const wide = BigInt(value);
  const wrapped = type === "uint64" ? BigInt.asUintN(64, wide) : BigInt.asIntN(64, wide);
  if (wrapped !== wide) outOfRange(key, type, value);
  out.u64(BigInt.asUintN(64, wide));
}

function outOfRange(key: string, type: string, value: number | bigint): never {
  throw new ConfigError(`${key}: ${value} is no ${type}`);
}

/** A growing run of bytes; doubles when it is full, so that a vocabulary costs linear time. */
class HeadBytes {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  taken(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  number(type: GgufNumberType, value: number): void {
    const at = this.#grow(numberTypes[type].bytes);
    numberTypes[type].write(this.#view, at, value);
  }

  u64(value: bigint): void {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, true);
  }

  text(text: string): void {
    const bytes = Buffer.from(text, "utf8");
    this.u64(BigInt(bytes.length));
    this.bytes(bytes);
  }

  /** Makes room. @returns where it begins. */
  #grow(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}
