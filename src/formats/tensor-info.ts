/**
 * What a weights file says of each tensor before its data: name, type, shape, place. Types are those of
 * safetensors and of ggml; the quantised ones so that files which hold them can be listed and mapped.
 */

import { ConfigError, FormatError } from "../errors/errors.ts";
import type { ByteSource } from "./bytes.ts";
import { bf16ToF32, f16ToF32 } from "./float16.ts";

export type TensorType = keyof typeof layouts;

export interface TensorInfo {
  readonly name: string;
  readonly type: TensorType;
  /** Outermost first. */
  readonly shape: readonly number[];
  /** The file that holds the data; `offset` counts from its start. */
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
  /** Of an i8 tensor whose values are to be multiplied by what lies elsewhere in the file. */
  readonly scales?: GroupScales;
}

/** One f32 for each `group` values of a tensor, row after row. */
export interface GroupScales {
  readonly group: number;
  /** Where the first lies in the file. */
  readonly offset: number;
  /** Values that these scales have before the tensor begins, for one that is a part of another. */
  readonly skipped: number;
}

/** A tensor on its way to a file. */
export interface TensorToWrite {
  readonly name: string;
  readonly type: TensorType;
  /** Outermost first. */
  readonly shape: readonly number[];
  /** Little-endian data, `tensorBytes(type, shape)` long. Called once, when its turn comes. */
  data(): Uint8Array;
}

/** A tensor too large to hold at once on its way to a file. */
export interface TensorToStream extends Omit<TensorToWrite, "data"> {
  /** The same data in pieces, in order. Called once, when its turn comes. */
  pieces(): AsyncIterable<Uint8Array>;
}

/** How one block of neighbours along the innermost dim is stored. Plain types have blocks of one element. */
export interface TensorLayout {
  readonly block: number;
  readonly bytes: number;
  /** The type's number in GGUF (enum ggml_type), where ggml has it. */
  readonly ggml?: number;
  /** The type's name in safetensors, where that has it. */
  readonly safetensors?: string;
}

export function tensorLayout(type: TensorType): TensorLayout {
  return layouts[type];
}

/** The type that GGUF numbers so, if there is one. */
export function typeOfGgml(id: number): TensorType | undefined {
  return byGgml.get(id);
}

/** The type that safetensors names so, if there is one. */
export function typeOfSafetensors(name: string): TensorType | undefined {
  return bySafetensors.get(name);
}

/**
 * Exact bytes of a tensor's data.
 *
 * @param refuse throws the caller's error for a shape that no tensor of this type can have.
 * @throws {ConfigError} for dims that are not counts, sizes beyond 2^53, or rows that are not whole blocks.
 */
export function tensorBytes(
  type: TensorType,
  shape: readonly number[],
  refuse: (problem: string) => never = refuseAsConfig,
): number {
  const { block, bytes } = layouts[type];
  const shown = `${type} [${shape.join(", ")}]`;
  if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
    refuse(`${shown}: every dim must be a whole number from 0 to 2^53`);
  }
  const row = shape.at(-1) ?? 1;
  if (row % block !== 0) refuse(`${shown}: rows of ${row} are not whole blocks of ${block}`);
  if (shape.includes(0)) return 0;
  let total = (row / block) * bytes;
  for (const dim of [1, ...shape.slice(0, -1)]) {
    total *= dim;
    if (total > Number.MAX_SAFE_INTEGER) refuse(`${shown}: the tensor is larger than 2^53 bytes`);
  }
  return total;
}

/**
 * The data of a tensor on its way to a file.
 *
 * @throws {ConfigError} when it has not the length that type and shape give.
 */
export function writtenData(tensor: TensorToWrite): Uint8Array {
  const data = tensor.data();
  const bytes = tensorBytes(tensor.type, tensor.shape);
  if (data.length === bytes) return data;
  throw new ConfigError(
    `tensor ${tensor.name} gave ${data.length} bytes, ${tensor.type} [${tensor.shape.join(", ")}] is ${bytes}`,
  );
}

/**
 * Passes on the pieces of a tensor on its way to a file.
 *
 * @throws {ConfigError} when they have not the length that type and shape give.
 */
export async function streamedData(
  tensor: TensorToStream,
  write: (piece: Uint8Array) => void,
): Promise<void> {
  const bytes = tensorBytes(tensor.type, tensor.shape);
  let done = 0;
  for await (const piece of tensor.pieces()) {
    done += piece.length;
    if (done > bytes) break;
    write(piece);
  }
  if (done === bytes) return;
  throw new ConfigError(
    `tensor ${tensor.name} gave ${done > bytes ? "more than " : ""}${Math.min(done, bytes)} bytes, ` +
      `${tensor.type} [${tensor.shape.join(", ")}] is ${bytes}`,
  );
}

/** A tensor's rows from..from + count of the outermost dim, where they lie in the file. */
export function rowsOfTensor(info: TensorInfo, from: number, count: number): TensorInfo {
  const rowBytes = info.bytes / info.shape[0]!;
  const shape = [count, ...info.shape.slice(1)];
  const rows = { ...info, shape, offset: info.offset + from * rowBytes, bytes: count * rowBytes };
  if (info.scales === undefined) return rows;
  return { ...rows, scales: { ...info.scales, skipped: info.scales.skipped + from * rowBytes } };
}

/** qᵢ · s of its group, for i8 values that come after `skipped` others of the first group. */
export function scaledGroups(
  values: Int8Array,
  scales: Float32Array,
  { group, skipped = 0 }: { readonly group: number; readonly skipped?: number },
): Float32Array {
  return Float32Array.from(values, (value, i) => value * scales[Math.floor((skipped + i) / group)]!);
}

/**
 * Reads a tensor of type f32, f16, bf16, or i8 with scales, as f32. The result is a copy.
 *
 * @throws {ConfigError} for another type.
 */
export function readTensorAsF32(source: ByteSource, info: TensorInfo): Float32Array {
  const { type } = info;
  if (info.scales !== undefined) return readScaled(source, info, info.scales);
  if (type !== "f32" && type !== "f16" && type !== "bf16") {
    throw new ConfigError(`${info.file}: tensor ${info.name} is ${type}, which has no f32 reading`, {
      mend: "Use a file whose tensors are f32, f16 or bf16.",
    });
  }
  const width = layouts[type].bytes;
  const length = tensorBytes(type, info.shape) / width;
  if (info.bytes !== length * width) {
    throw new FormatError(`tensor ${info.name} has ${info.bytes} bytes, its shape says ${length * width}`, {
      file: info.file,
      offset: info.offset,
    });
  }
  if (info.bytes > source.size - info.offset) {
    throw new FormatError(`tensor ${info.name} ends beyond the file`, {
      file: info.file,
      offset: info.offset,
    });
  }
  const values = new Float32Array(length);
  for (let done = 0; done < length; done += chunkElements) {
    const count = Math.min(chunkElements, length - done);
    const chunk = aligned(source.read(info.offset + done * width, count * width), width);
    if (type === "f32") values.set(new Float32Array(chunk.buffer, chunk.byteOffset, count), done);
    else {
      const halves = new Uint16Array(chunk.buffer, chunk.byteOffset, count);
      (type === "f16" ? f16ToF32 : bf16ToF32)(halves, values.subarray(done, done + count));
    }
  }
  return values;
}

// --- internal ---

/** So that reading a tensor takes little more memory than the tensor. */
const chunkElements = 2 ** 20;

// Block and type sizes are those of ggml's type table; a differential test holds them against the library.
const layouts = {
  f32: { block: 1, bytes: 4, ggml: 0, safetensors: "F32" },
  f16: { block: 1, bytes: 2, ggml: 1, safetensors: "F16" },
  bf16: { block: 1, bytes: 2, ggml: 30, safetensors: "BF16" },
  f64: { block: 1, bytes: 8, ggml: 28, safetensors: "F64" },
  i8: { block: 1, bytes: 1, ggml: 24, safetensors: "I8" },
  i16: { block: 1, bytes: 2, ggml: 25, safetensors: "I16" },
  i32: { block: 1, bytes: 4, ggml: 26, safetensors: "I32" },
  i64: { block: 1, bytes: 8, ggml: 27, safetensors: "I64" },
  bool: { block: 1, bytes: 1, safetensors: "BOOL" },
  u8: { block: 1, bytes: 1, safetensors: "U8" },
  u16: { block: 1, bytes: 2, safetensors: "U16" },
  u32: { block: 1, bytes: 4, safetensors: "U32" },
  u64: { block: 1, bytes: 8, safetensors: "U64" },
  f8_e4m3: { block: 1, bytes: 1, safetensors: "F8_E4M3" },
  f8_e5m2: { block: 1, bytes: 1, safetensors: "F8_E5M2" },
  q4_0: { block: 32, bytes: 18, ggml: 2 },
  q4_1: { block: 32, bytes: 20, ggml: 3 },
  q5_0: { block: 32, bytes: 22, ggml: 6 },
  q5_1: { block: 32, bytes: 24, ggml: 7 },
  q8_0: { block: 32, bytes: 34, ggml: 8 },
  q8_1: { block: 32, bytes: 36, ggml: 9 },
  q2_k: { block: 256, bytes: 84, ggml: 10 },
  q3_k: { block: 256, bytes: 110, ggml: 11 },
  q4_k: { block: 256, bytes: 144, ggml: 12 },
  q5_k: { block: 256, bytes: 176, ggml: 13 },
  q6_k: { block: 256, bytes: 210, ggml: 14 },
  q8_k: { block: 256, bytes: 292, ggml: 15 },
  iq2_xxs: { block: 256, bytes: 66, ggml: 16 },
  iq2_xs: { block: 256, bytes: 74, ggml: 17 },
  iq3_xxs: { block: 256, bytes: 98, ggml: 18 },
  iq1_s: { block: 256, bytes: 50, ggml: 19 },
  iq4_nl: { block: 32, bytes: 18, ggml: 20 },
  iq3_s: { block: 256, bytes: 110, ggml: 21 },
  iq2_s: { block: 256, bytes: 82, ggml: 22 },
  iq4_xs: { block: 256, bytes: 136, ggml: 23 },
  iq1_m: { block: 256, bytes: 56, ggml: 29 },
  tq1_0: { block: 256, bytes: 54, ggml: 34 },
  tq2_0: { block: 256, bytes: 66, ggml: 35 },
  mxfp4: { block: 32, bytes: 17, ggml: 39 },
  nvfp4: { block: 64, bytes: 36, ggml: 40 },
  q1_0: { block: 128, bytes: 18, ggml: 41 },
  q2_0: { block: 64, bytes: 18, ggml: 42 },
} as const satisfies Record<string, TensorLayout>;

const types = Object.entries(layouts) as (readonly [TensorType, TensorLayout])[];
const byGgml = new Map(types.flatMap(([type, { ggml }]) => (ggml === undefined ? [] : [[ggml, type]])));
const bySafetensors = new Map(
  types.flatMap(([type, { safetensors }]) => (safetensors === undefined ? [] : [[safetensors, type]])),
);

function readScaled(
  source: ByteSource,
  info: TensorInfo,
  { group, offset, skipped }: GroupScales,
): Float32Array {
  const first = Math.floor(skipped / group);
  const count = Math.ceil((skipped + info.bytes) / group) - first;
  const scales = aligned(source.read(offset + 4 * first, 4 * count), 4);
  const values = source.read(info.offset, info.bytes);
  return scaledGroups(
    new Int8Array(values.buffer, values.byteOffset, values.length),
    new Float32Array(scales.buffer, scales.byteOffset, count),
    { group, skipped: skipped % group },
  );
}

function refuseAsConfig(problem: string): never {
  throw new ConfigError(problem, { mend: "Check the shape." });
}

/** The same bytes where a typed array of this width may be laid over them. */
function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : bytes.slice();
}
