/**
 * Weights from files: a directory of Hugging Face's or of Meta's, a GGUF file or a llama2.c file. For generation they
 * are used where they lie, in the type they have; for training they are copied into f32.
 */

import { statSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, FormatError } from "../errors/errors.ts";
import { fileKind } from "../formats/file-kind.ts";
import { openFile } from "../formats/file-source.ts";
import { readGgufModel } from "../formats/gguf-split.ts";
import { readJsonFile } from "../formats/json.ts";
import { readLlama2c } from "../formats/llama2c.ts";
import { modelPath } from "../formats/model-cache.ts";
import { readSafetensorsDirectory } from "../formats/safetensors.ts";
import { isMetaDirectory, joinParts, readMetaDirectory } from "../formats/meta-shards.ts";
import { readTensorAsF32, scaledGroups, type TensorInfo } from "../formats/tensor-info.ts";
import { hasOnlyTorchWeights, readTorchDirectory } from "../formats/torch-file.ts";
import type { Backend } from "../tensor/backend.ts";
import { dtypes, isFloat, isQuantised } from "../tensor/dtype.ts";
import { canPack, loadFileStorage, openFileStorage, type FileTensor } from "../tensor/file-storage.ts";
import { sameShape, shapeText } from "../tensor/shape.ts";
import { configFromGguf, configFromHuggingFace, llamaConfig, type LlamaConfig } from "./config.ts";
import { configFromMeta } from "./meta-params.ts";
import { headOfHuggingFace } from "./scoring-config.ts";
import { ggufName, huggingFaceName, isRotary } from "./names.ts";
import { ropeFrequenciesName } from "./rope-scaling.ts";
import { fromHalfSplit } from "./rotary-layout.ts";
import { Sources } from "./sources.ts";
import { readRowsAsF32, wholeWeight, type StoredWeight } from "./stored-weight.ts";
import {
  createWeights,
  embeddingName,
  headName,
  ownedWeights,
  weightShapes,
  type HeadKind,
  type OwnedWeights,
} from "./weights.ts";

export type ModelFormat = "huggingface" | "meta" | "gguf" | "llama2c";

/** What a model's files say, before any weight is read. */
export interface ModelFiles {
  readonly format: ModelFormat;
  readonly path: string;
  readonly config: LlamaConfig;
  readonly head: HeadKind;
  /** By Meta's names. */
  readonly tensors: ReadonlyMap<string, StoredWeight>;
}

/**
 * Reads the heads of a model's files.
 *
 * @throws {ConfigError} when nothing is there or a tensor is missing. @throws {FormatError} for bytes that are not a
 *         model, or a model with another head than is asked for.
 */
export function readModelFiles(named: string, head: HeadKind = "next-token"): ModelFiles {
  const path = modelPath(named);
  const format = modelFormat(path);
  const { config, tensors, head: found = "next-token" } = readers[format](path);
  if (found !== head) throw otherHead(path, found);
  const byMeta = new Map<string, StoredWeight>();
  for (const [name, shape] of Object.entries(weightShapes(config, head))) {
    const stored = storedName(format, name);
    const info = tensors.get(stored);
    if (info === undefined) throw new FormatError(`the tensor ${stored} is missing`, { file: path });
    if (!sameShape(info.shape, shape)) {
      const { file, offset } = info.parts[0]!;
      throw new FormatError(
        `${stored} has shape ${shapeText(info.shape)} where the configuration says ${shapeText(shape)}`,
        {
          file,
          offset,
          mend: "The weights and the configuration are of different models: fetch both again.",
        },
      );
    }
    byMeta.set(name, info);
  }
  return { format, path, config, head, tensors: byMeta };
}

export interface OpenOptions {
  /** Whether matrices are laid out for faster products, where the device can: in memory, not in the file. */
  readonly repack?: boolean;
  /** Ids that are not in the tokenizer, so that they are never drawn. */
  readonly unusedIds?: readonly number[];
}

/** Weights for generation, in place where possible; the caller disposes them. */
export function openWeights(backend: Backend, files: ModelFiles, options: OpenOptions = {}): OwnedWeights {
  const storage = openFileStorage("weights", backend, generationSpecs(backend, files, options));
  return ownedWeights(files.config, storage, options.unusedIds);
}

/**
 * The same with an event loop that stays free.
 *
 * @throws the signal's reason when it is aborted, between two tensors.
 */
export async function loadWeights(
  backend: Backend,
  files: ModelFiles,
  options: OpenOptions & { readonly signal?: AbortSignal | undefined } = {},
): Promise<OwnedWeights> {
  const specs = generationSpecs(backend, files, options);
  const storage = await loadFileStorage("weights", backend, specs, options.signal);
  return ownedWeights(files.config, storage, options.unusedIds);
}

/**
 * Weights for training, in f32; the caller disposes them.
 *
 * @param head where it is not the files' own, the model's head is left out and the other is zero.
 */
export function loadMasterWeights(
  backend: Backend,
  files: ModelFiles,
  head: HeadKind = files.head,
): OwnedWeights {
  const weights = createWeights(backend, files.config, head);
  using sources = new Sources();
  try {
    for (const [name, info] of files.tensors) {
      const weight = weights.byName[name];
      if (weight === undefined) continue;
      const values = readRowsAsF32(info, 0, info.shape[0]!, (file) => sources.open(file));
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      weight.writeBytes(inMetaOrder(files, name, bytes, 4));
    }
    return weights;
  } catch (error) {
    weights[Symbol.dispose]();
    throw error;
  }
}

/** Which kind of model lies at a path. */
function modelFormat(path: string): ModelFormat {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) {
    return isMetaDirectory(path) ? "meta" : "huggingface";
  }
  if (path.endsWith(".gguf")) return "gguf";
  if (stat !== undefined && isTorchFile(path)) {
    throw new ConfigError(`${path} is a PyTorch file, which has the weights and not the model's shape`, {
      mend: "Give the folder it lies in, with its config.json or params.json.",
    });
  }
  if (path.endsWith(".bin")) return "llama2c";
  if (stat === undefined) {
    throw new ConfigError(`there is no model at ${path}`, {
      mend: "Give a model's directory, a .gguf file or a llama2.c .bin file.",
    });
  }
  throw new ConfigError(`${path} is not a model`, {
    mend: "Give a directory of Hugging Face's or Meta's, a .gguf file or a llama2.c .bin file.",
  });
}

// --- internal ---

interface ReadFiles {
  readonly config: LlamaConfig;
  /** The next token's when left out. */
  readonly head?: HeadKind;
  /** By the format's own names. */
  readonly tensors: ReadonlyMap<string, StoredWeight>;
}

const readers: Readonly<Record<ModelFormat, (path: string) => ReadFiles>> = {
  huggingface(path) {
    const file = join(path, "config.json");
    const json = readJsonFile(file);
    return {
      config: configFromHuggingFace(json, file),
      head: headOfHuggingFace(json, file),
      tensors: wholeWeights(
        hasOnlyTorchWeights(path) ? readTorchDirectory(path) : readSafetensorsDirectory(path).tensors,
      ),
    };
  },
  meta(path) {
    const { params, tensors } = readMetaDirectory(path);
    return { config: configFromMeta(params, tensors, join(path, "params.json")), tensors };
  },
  gguf(path) {
    const { metadata, tensors } = readGgufModel(path);
    const tensorFacts = { hasOutput: tensors.has("output.weight"), ropeDivisors: ropeDivisors(tensors) };
    return {
      config: configFromGguf(metadata, tensorFacts),
      tensors: wholeWeights(tensors),
    };
  },
  llama2c(path) {
    using source = openFile(path);
    const { config, tensors } = readLlama2c(source);
    const tensorsByName = wholeWeights(tensors);
    return {
      config: llamaConfig({ ...config, normEps: 1e-5, ropeTheta: 10_000 }),
      tensors: tensorsByName,
    };
  },
};

function otherHead(path: string, found: HeadKind): FormatError {
  return found === "scalar"
    ? new FormatError("the model scores answers (it is a LlamaForSequenceClassification) and writes none", {
        file: path,
        mend: "Give a chat model here; `cria reward score` takes this one.",
      })
    : new FormatError("the model has no head that scores: it predicts the next token", {
        file: path,
        mend: "Give a reward model, as `cria reward` makes them of a chat model.",
      });
}

/** Half of the widest head that is read. */
const maxRopeFrequencies = 2 ** 12;

/** llama.cpp keeps frequencies as Llama 3.1 has them in a tensor. */
function ropeDivisors(tensors: ReadonlyMap<string, TensorInfo>): readonly number[] | undefined {
  const info = tensors.get(ropeFrequenciesName);
  if (info === undefined) return undefined;
  if (info.shape.length !== 1 || info.shape[0]! > maxRopeFrequencies) {
    throw new FormatError(
      `${info.name} has the shape ${shapeText(info.shape)}, not one number for each pair`,
      {
        file: info.file,
        offset: info.offset,
      },
    );
  }
  using source = openFile(info.file);
  return Array.from(readTensorAsF32(source, info));
}

function wholeWeights(tensors: ReadonlyMap<string, TensorInfo>): Map<string, StoredWeight> {
  return new Map([...tensors].map(([name, info]) => [name, wholeWeight(info)]));
}

function isTorchFile(path: string): boolean {
  using source = openFile(path);
  return fileKind(source) === "torch";
}

function storedName(format: ModelFormat, name: string): string {
  if (format === "huggingface") return huggingFaceName(name);
  return format === "gguf" ? ggufName(name) : name;
}

function generationSpecs(
  backend: Backend,
  files: ModelFiles,
  { repack = true }: OpenOptions,
): Record<string, FileTensor> {
  const specs: Record<string, FileTensor> = {};
  for (const [name, info] of files.tensors) {
    // f16 too: on processors with AMX its kernels read prompts faster, and do not round the states to f16.
    const isPackable = repack && (isQuantised(info.type) || info.type === "f16");
    const spec = { ...fileTensor(files, name, info), isPackable };
    if (name !== embeddingName) {
      specs[name] = spec;
      continue;
    }
    // Its rows are looked up, which a packed one does not allow: a head that is tied to it is packed beside it.
    specs[name] = { ...spec, isPackable: false };
    if (files.config.isTied && files.head === "next-token" && canPack(backend, spec)) specs[headName] = spec;
  }
  return specs;
}

function fileTensor(files: ModelFiles, name: string, info: StoredWeight): FileTensor {
  const { shape, parts, type: dtype } = info;
  const [{ file, offset, bytes, scales }, ...more] = parts as [TensorInfo, ...TensorInfo[]];
  if (scales !== undefined) {
    const place = { file, offset: scales.offset, bytes: (4 * bytes) / scales.group };
    const convert = (values: Uint8Array, [factors]: readonly Uint8Array[]): Uint8Array =>
      bytesOf(scaledGroups(new Int8Array(values), new Float32Array(factors!.slice().buffer), scales));
    return { shape, dtype: "f32", file, offset, bytes, more: [place], convert };
  }
  if (!isFloat(dtype) && !isQuantised(dtype)) {
    throw new ConfigError(`${info.name} is stored as ${info.type}, which no product can read`, {
      mend: "Use an f32, f16, bf16 or quantised file of the model.",
    });
  }
  // The kernels multiply by gains of f32 only.
  if (shape.length === 1 && dtype !== "f32") {
    const convert = (data: Uint8Array): Uint8Array => asF32(data, parts[0]!);
    return { shape, dtype: "f32", file, offset, bytes, convert };
  }
  const spec = { shape, dtype, file, offset, bytes };
  if (more.length > 0) {
    // Meta's shards, which have Meta's rotary order.
    const convert = (first: Uint8Array, others: readonly Uint8Array[]): Uint8Array => {
      const all = [first, ...others].values();
      return joinParts(info, () => all.next().value!);
    };
    return { ...spec, more, convert };
  }
  if (files.format !== "huggingface" || !isRotary(name)) return spec;
  return { ...spec, convert: (data) => inMetaOrder(files, name, data, dtypes[dtype].bytes) };
}

function inMetaOrder(files: ModelFiles, name: string, bytes: Uint8Array, elementBytes: number): Uint8Array {
  if (files.format !== "huggingface" || !isRotary(name)) return bytes;
  return fromHalfSplit(bytes, files.config.headDim, files.config.dim * elementBytes);
}

function asF32(data: Uint8Array, info: TensorInfo): Uint8Array {
  const source = {
    name: info.file,
    size: data.byteLength,
    read: (offset: number, length: number) => data.subarray(offset, offset + length),
  };
  return bytesOf(readTensorAsF32(source, { ...info, offset: 0 }));
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
