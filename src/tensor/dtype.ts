/** Element types that graphs compute with, as ggml numbers them (enum ggml_type). */

import { tensorLayout, type TensorType } from "../formats/tensor-info.ts";

/** Weights that are stored in blocks of neighbours; products and row look-ups read them, nothing else does. */
export const quantisedTypes = [
  "q4_0",
  "q4_1",
  "q5_0",
  "q5_1",
  "q8_0",
  "q2_k",
  "q3_k",
  "q4_k",
  "q5_k",
  "q6_k",
  "iq1_s",
  "iq1_m",
  "iq2_xxs",
  "iq2_xs",
  "iq2_s",
  "iq3_xxs",
  "iq3_s",
  "iq4_nl",
  "iq4_xs",
  "tq1_0",
  "tq2_0",
  "mxfp4",
  "nvfp4",
  "q1_0",
  "q2_0",
] as const satisfies readonly TensorType[];

export type FloatType = "f32" | "f16" | "bf16";
export type QuantisedType = (typeof quantisedTypes)[number];
export type DType = FloatType | QuantisedType | "i32" | "i64";

/** What a tensor's elements are read and written as. 16-bit floats and quantised blocks travel as their bits. */
export type Elements = Float32Array | Uint16Array | Uint8Array | Int32Array | BigInt64Array;

interface Layout {
  readonly id: number;
  /** Neighbours along the innermost dimension that are stored together; 1 but for quantised types. */
  readonly block: number;
  /** Of one block. */
  readonly bytes: number;
  /** The typed array over the given bytes. */
  view(bytes: ArrayBuffer): Elements;
}

export const dtypes: Readonly<Record<DType, Layout>> = {
  ...quantisedLayouts(),
  f32: { id: 0, block: 1, bytes: 4, view: (bytes) => new Float32Array(bytes) },
  f16: { id: 1, block: 1, bytes: 2, view: (bytes) => new Uint16Array(bytes) },
  bf16: { id: 30, block: 1, bytes: 2, view: (bytes) => new Uint16Array(bytes) },
  i32: { id: 26, block: 1, bytes: 4, view: (bytes) => new Int32Array(bytes) },
  i64: { id: 27, block: 1, bytes: 8, view: (bytes) => new BigInt64Array(bytes) },
};

export function isFloat(type: string): type is FloatType {
  return type === "f32" || type === "f16" || type === "bf16";
}

export function isQuantised(type: string): type is QuantisedType {
  return (quantisedTypes as readonly string[]).includes(type);
}

// --- internal ---

function quantisedLayouts(): Record<QuantisedType, Layout> {
  const entries = quantisedTypes.map((type): [QuantisedType, Layout] => {
    const { ggml, block, bytes } = tensorLayout(type);
    return [type, { id: ggml!, block, bytes, view: (data) => new Uint8Array(data) }];
  });
  return Object.fromEntries(entries) as Record<QuantisedType, Layout>;
}
