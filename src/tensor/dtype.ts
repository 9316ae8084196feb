/** Element types that graphs compute with, as ggml numbers them (enum ggml_type). */

export type DType = "f32" | "f16" | "bf16" | "i32" | "i64";

/** What a tensor's elements are read and written as. 16-bit floats travel as their bits. */
export type Elements = Float32Array | Uint16Array | Int32Array | BigInt64Array;

interface Layout {
  readonly id: number;
  readonly bytes: number;
  /** The typed array over the given bytes. */
  view(bytes: ArrayBuffer): Elements;
}

export const dtypes: Readonly<Record<DType, Layout>> = {
  f32: { id: 0, bytes: 4, view: (bytes) => new Float32Array(bytes) },
  f16: { id: 1, bytes: 2, view: (bytes) => new Uint16Array(bytes) },
  bf16: { id: 30, bytes: 2, view: (bytes) => new Uint16Array(bytes) },
  i32: { id: 26, bytes: 4, view: (bytes) => new Int32Array(bytes) },
  i64: { id: 27, bytes: 8, view: (bytes) => new BigInt64Array(bytes) },
};
