/** Weights to files: a Hugging Face directory's model.safetensors, or GGUF. */

import { f32ToBf16, f32ToF16 } from "../formats/float16.ts";
import { writeGguf, type GgufWriteValue } from "../formats/gguf-write.ts";
import { writeSafetensors } from "../formats/safetensors-write.ts";
import type { TensorToWrite } from "../formats/tensor-info.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ggufConfigMetadata } from "./config.ts";
import { ggufName, huggingFaceName, isRotary } from "./names.ts";
import { ropeFrequencies } from "./rope-scaling.ts";
import { toHalfSplit } from "./rotary-layout.ts";
import type { LlamaWeights } from "./weights.ts";

/** Element types that f32 weights are written as. */
export type StoredType = "f32" | "f16" | "bf16";

/** Writes `model.safetensors` under Hugging Face's names and in its rotary layout, one tensor in memory at a time. */
export function writeHuggingFaceWeights(path: string, weights: LlamaWeights, type: StoredType = "f32"): void {
  const { headDim, dim } = weights.config;
  const tensors = Object.entries(weights.byName).map(([name, tensor]): TensorToWrite => {
    const stored = tensor.shape.length === 1 && type === "f16" ? "f32" : type;
    return {
      name: huggingFaceName(name),
      type: stored,
      shape: tensor.shape,
      data: () => {
        const bytes = encoded(tensor, stored);
        return isRotary(name)
          ? toHalfSplit(bytes, headDim, (dim * bytes.byteLength) / tensor.elements)
          : bytes;
      },
    };
  });
  writeSafetensors(path, tensors, { format: "pt" });
}

/** Writes a GGUF file; the tokenizer's metadata comes from the caller. Norms stay f32, as llama.cpp has them. */
export function writeGgufModel(
  path: string,
  weights: LlamaWeights,
  tokenizer: ReadonlyMap<string, GgufWriteValue>,
  type: StoredType = "f32",
): void {
  const metadata = new Map<string, GgufWriteValue>();
  for (const [key, kind, value] of ggufConfigMetadata(weights.config)) {
    metadata.set(key, kind === "string" ? { type: kind, value } : { type: kind, value });
  }
  metadata.set("general.file_type", { type: "uint32", value: fileTypes[type] });
  for (const [key, value] of tokenizer) metadata.set(key, value);
  const tensors = Object.entries(weights.byName).map(([name, tensor]): TensorToWrite => {
    const stored = tensor.shape.length === 1 ? "f32" : type;
    return { name: ggufName(name), type: stored, shape: tensor.shape, data: () => encoded(tensor, stored) };
  });
  const frequencies = ropeFrequencies(weights.config);
  if (frequencies !== undefined) {
    const [name, values] = frequencies;
    tensors.push({ name, type: "f32", shape: [values.length], data: () => new Uint8Array(values.buffer) });
  }
  writeGguf(path, { metadata, tensors });
}

// --- internal ---

/** llama.cpp's general.file_type. */
const fileTypes: Readonly<Record<StoredType, number>> = { f32: 0, f16: 1, bf16: 32 };

function encoded(tensor: Tensor, type: StoredType): Uint8Array {
  const values = tensor.readF32();
  const array = type === "f32" ? values : type === "f16" ? f32ToF16(values) : f32ToBf16(values);
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
