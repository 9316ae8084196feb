/**
 * A model from one format and type into another, a few rows at a time: memory does not grow with the model.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../errors/errors.ts";
import { fillDirectoryAtomically } from "../formats/atomic-file.ts";
import { openFile } from "../formats/file-source.ts";
import { f32ToBf16, f32ToF16 } from "../formats/float16.ts";
import { readGguf } from "../formats/gguf.ts";
import { streamGgufSplit } from "../formats/gguf-split.ts";
import type { GgufWriteValue } from "../formats/gguf-write.ts";
import { isJsonObject, readJsonFile } from "../formats/json.ts";
import { streamSafetensorsSharded } from "../formats/safetensors-write.ts";
import { tensorBytes, type TensorToStream } from "../formats/tensor-info.ts";
import { openBackend, type Backend } from "../tensor/backend.ts";
import { isFloat, isQuantised, type FloatType, type QuantisedType } from "../tensor/dtype.ts";
import { quantiseRows, type QuantisableType } from "../tensor/quantise.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { ggufConfigMetadata, type LlamaConfig } from "./config.ts";
import { writeModelFiles } from "./directory.ts";
import { ggufAbout } from "./gguf-about.ts";
import { ggufTokenizerValues } from "./gguf-tokenizer.ts";
import type { ModelFiles } from "./load.ts";
import { ggufName, huggingFaceName, isRotary } from "./names.ts";
import { fileTypeOf, typeInMix, type MixName } from "./quantisation-mix.ts";
import { ropeFrequencies } from "./rope-scaling.ts";
import { fromHalfSplit, toHalfSplit } from "./rotary-layout.ts";
import { Sources } from "./sources.ts";
import { readRows, readRowsAsF32, type StoredWeight } from "./stored-weight.ts";

export interface Conversion {
  readonly files: ModelFiles;
  readonly tokenizer: Tokenizer;
  /** A `.gguf` file; any other name becomes a Hugging Face directory. */
  readonly out: string;
  /** `"stored"` leaves each tensor as it is. */
  readonly mix: MixName | "stored";
  /** Largest data of a file; a model that is larger is written in several, with numbers in their names. */
  readonly maxFileBytes?: number;
  readonly threads?: number;
  readonly onProgress?: (bytes: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface Converted {
  /** What was written. */
  readonly paths: readonly string[];
  /** Of the weights. */
  readonly bytes: number;
  /** How many tensors have each type. */
  readonly types: ReadonlyMap<StoredType, number>;
}

/**
 * Writes the model; what stood under that name is replaced when all is written.
 *
 * @throws {ConfigError} when the source is quantised to another type, or the target cannot hold the type.
 * @throws the signal's reason when it is aborted; nothing is left behind.
 */
export async function convertModel(conversion: Conversion): Promise<Converted> {
  const { files, tokenizer, out, mix, onProgress, signal, threads } = conversion;
  const isGguf = out.endsWith(".gguf");
  const planned = planTensors(files, mix, isGguf);
  using backend = openBackend({ device: "cpu", ...(threads === undefined ? {} : { threads }) });
  using sources = new Sources();
  const total = planned.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  const tensors = planned.map(({ name, type, info, reorder }): TensorToStream => ({
    name,
    type,
    shape: info.shape,
    async *pieces() {
      for await (const piece of encodedRows({
        backend,
        sources,
        info,
        type,
        reorder,
      })) {
        signal?.throwIfAborted();
        yield piece;
        done += piece.length;
        onProgress?.(done, total);
      }
    },
  }));
  const template = chatTemplateOf(files);
  let paths: readonly string[] = [out];
  if (isGguf) {
    const content = {
      metadata: ggufMetadata(conversion, template),
      tensors: [...tensors, ...ropeTensors(files.config)],
    };
    paths = await streamGgufSplit(out, content, conversion.maxFileBytes ?? Number.POSITIVE_INFINITY);
  } else {
    await fillDirectoryAtomically(out, async (temporary) => {
      writeModelFiles(temporary, files.config, tokenizer, template === undefined ? {} : { template });
      await streamSafetensorsSharded(temporary, tensors, conversion.maxFileBytes ?? defaultShardBytes);
    });
  }
  const types = new Map<StoredType, number>();
  for (const { type } of planned) types.set(type, (types.get(type) ?? 0) + 1);
  return { paths, bytes: total, types };
}

/** The type that most of a model's matrices are stored in, when a mix is called so. */
export function storedMix({ tensors }: ModelFiles): MixName | "stored" {
  const type = tensors.get("layers.0.attention.wq.weight")?.type;
  return type !== undefined && isFloat(type) ? type : "stored";
}

// --- internal ---

/** As transformers splits a model. */
const defaultShardBytes = 5e9;

/** f32 values that are held at once: 16 MiB. */
const slabValues = 2 ** 22;

type StoredType = FloatType | QuantisedType;

interface Planned {
  /** In the target. */
  readonly name: string;
  readonly type: StoredType;
  readonly bytes: number;
  readonly info: StoredWeight;
  /** Puts whole heads' rows into the target's order. */
  readonly reorder: Reorder | undefined;
}

interface Reorder {
  /** Rows that must be together. */
  readonly rows: number;
  readonly apply: (bytes: Uint8Array, rowBytes: number) => Uint8Array;
}

function planTensors(files: ModelFiles, mix: Conversion["mix"], isGguf: boolean): Planned[] {
  const { config, format } = files;
  const isHalfSplit = format === "huggingface";
  return [...files.tensors].map(([name, info]) => {
    const type = mix === "stored" ? storedType(name, info) : typeInMix(mix, name, info.shape, config);
    if (!isGguf && !isFloat(type)) throw notInDirectory(mix === "stored" ? type : mix);
    const isReadable = isFloat(info.type) || info.parts[0]?.scales !== undefined;
    if (info.type !== type && !isReadable) {
      throw new ConfigError(`${info.name} is ${info.type} already, and would be worse for being ${type}`, {
        mend: "Convert the f32, f16 or bf16 files of the model.",
      });
    }
    const { headDim } = config;
    const turn = isHalfSplit ? fromHalfSplit : toHalfSplit;
    const isTurned = isRotary(name) && isHalfSplit === isGguf;
    return {
      name: isGguf ? ggufName(name) : huggingFaceName(name),
      type,
      bytes: tensorBytes(type, info.shape),
      info,
      reorder: isTurned
        ? { rows: headDim, apply: (bytes, rowBytes) => turn(bytes, headDim, rowBytes) }
        : undefined,
    };
  });
}

function storedType(name: string, { type }: StoredWeight): StoredType {
  if (isFloat(type) || isQuantised(type)) return type;
  throw new ConfigError(`${name} is stored as ${type}, which a GGUF file of a model has not`, {
    mend: "Name a type with --type.",
  });
}

function notInDirectory(type: string): ConfigError {
  return new ConfigError(`a Hugging Face directory does not hold ${type} weights`, {
    mend: "Name a .gguf file to write, or choose f32, f16 or bf16.",
  });
}

interface Encoding extends Pick<Planned, "info" | "type" | "reorder"> {
  readonly backend: Backend;
  readonly sources: Sources;
}

async function* encodedRows({ backend, sources, info, type, reorder }: Encoding): AsyncIterable<Uint8Array> {
  const open = (file: string): ReturnType<Sources["open"]> => sources.open(file);
  const [rows, columns] = info.shape.length === 1 ? [info.shape[0]!, 1] : [info.shape[0]!, info.shape[1]!];
  const together = reorder?.rows ?? 1;
  const atOnce = Math.max(together, Math.floor(slabValues / columns / together) * together);
  for (let from = 0; from < rows; from += atOnce) {
    const count = Math.min(atOnce, rows - from);
    if (info.type === type) {
      const bytes = readRows(info, from, count, open);
      yield reorder === undefined ? bytes : reorder.apply(bytes, bytes.length / count);
      continue;
    }
    const read = readRowsAsF32(info, from, count, open);
    const values = reorder === undefined ? read : asFloats(reorder.apply(asBytes(read), 4 * columns));
    // Types that are in no mix are only kept.
    yield isFloat(type)
      ? asBytes(encoded(values, type))
      : await quantiseRows(backend, values, columns, type as QuantisableType);
  }
}

/** GGUF has frequencies of a model's own as a tensor. */
function ropeTensors(config: LlamaConfig): TensorToStream[] {
  const frequencies = ropeFrequencies(config);
  if (frequencies === undefined) return [];
  const [name, values] = frequencies;
  // oxlint-disable-next-line typescript/require-await -- streams are asynchronous, and this one is short
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    yield asBytes(values);
  };
  return [{ name, type: "f32", shape: [values.length], pieces }];
}

function encoded(values: Float32Array, type: "f32" | "f16" | "bf16"): Float32Array | Uint16Array {
  if (type === "f32") return values;
  return type === "f16" ? f32ToF16(values) : f32ToBf16(values);
}

function asBytes(values: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function asFloats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

function ggufMetadata(
  { files, tokenizer, mix }: Conversion,
  template: string | undefined,
): Map<string, GgufWriteValue> {
  const metadata = ggufAbout(files);
  for (const [key, kind, value] of ggufConfigMetadata(files.config)) {
    metadata.set(key, kind === "string" ? { type: kind, value } : { type: kind, value });
  }
  const fileType = mix === "stored" ? fileTypeOfGguf(files) : fileTypeOf(mix);
  if (fileType !== undefined) metadata.set("general.file_type", { type: "uint32", value: fileType });
  metadata.set("general.quantization_version", { type: "uint32", value: 2 });
  for (const [key, value] of ggufTokenizerValues(tokenizer, files.config.vocabSize)) metadata.set(key, value);
  if (template !== undefined) metadata.set("tokenizer.chat_template", { type: "string", value: template });
  return metadata;
}

function fileTypeOfGguf({ format, path }: ModelFiles): number | undefined {
  if (format !== "gguf") return undefined;
  using source = openFile(path);
  const type = readGguf(source).metadata.get("general.file_type");
  return typeof type === "number" ? type : undefined;
}

/** The template that the model carries. */
function chatTemplateOf({ format, path }: ModelFiles): string | undefined {
  if (format === "gguf") {
    using source = openFile(path);
    const template = readGguf(source).metadata.get("tokenizer.chat_template");
    return typeof template === "string" ? template : undefined;
  }
  const file = join(path, "tokenizer_config.json");
  if (format !== "huggingface" || !existsSync(file)) return undefined;
  const settings = readJsonFile(file);
  const template = isJsonObject(settings) ? settings["chat_template"] : undefined;
  return typeof template === "string" ? template : undefined;
}
