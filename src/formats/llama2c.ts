/**
 * Reads llama2.c's model files, of f32 (versions 0 and 1) and of i8 in groups with a scale each (version 2), and its
 * tokenizer.bin.
 *
 * Version 0 has no magic number: seven i32 and then the tensors, which is why every count is held against the
 * file's exact size. A negative vocabulary size says that the head has weights of its own. Version 1 has a
 * header of 256 bytes and another order of tensors. So has version 2, whose header ends with the size of a group; each
 * matrix is all its i8 values and then all its scales, and norms stay f32. (karpathy/llama2.c, export.py:
 * legacy_export, version1_export, version2_export)
 */

import { FormatError } from "../errors/errors.ts";
import { ByteReader } from "./byte-reader.ts";
import type { ByteSource } from "./bytes.ts";
import type { TensorInfo } from "./tensor-info.ts";

export interface Llama2cConfig {
  readonly dim: number;
  readonly hiddenDim: number;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly vocabSize: number;
  readonly maxSeqLen: number;
  readonly isTied: boolean;
}

export interface Llama2cFile {
  readonly config: Llama2cConfig;
  /** By Meta's names: `tok_embeddings.weight`, `layers.0.attention.wq.weight`, ... */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

/** @throws {FormatError} unless the file's size is exactly what its header says. */
export function readLlama2c(source: ByteSource): Llama2cFile {
  const { config, dataStart, runs, group } = readHead(source);
  const bytesOf = (run: Run): number => run.names.length * bytesOfEach(run, group);
  const expected = runs.reduce((sum, run) => sum + bytesOf(run), dataStart);
  if (expected !== source.size) {
    throw new FormatError(`${shownConfig(config)} takes ${expected} bytes, the file has ${source.size}`, {
      file: source.name,
      mend: "This is not a llama2.c model, or its download was cut short.",
    });
  }
  const tensors = new Map<string, TensorInfo>();
  let offset = dataStart;
  for (const run of runs) {
    for (const name of run.names) {
      if (run.isKept) tensors.set(name, tensorAt(name, run, { file: source.name, offset, group }));
      offset += bytesOfEach(run, group);
    }
  }
  return { config, tensors };
}

export interface Llama2cTokenizer {
  /** UTF-8 (or raw bytes) by token id; spaces are spaces. */
  readonly pieces: readonly Uint8Array[];
  readonly scores: Float32Array;
}

/**
 * `tokenizer.bin`: u32 longest piece in bytes, then for each id an f32 score, an i32 length, the bytes.
 *
 * @throws {FormatError} unless the file ends after `vocabSize` pieces.
 */
export function readLlama2cTokenizer(source: ByteSource, vocabSize: number): Llama2cTokenizer {
  const file = source.name;
  const reader = new ByteReader(source);
  const longest = reader.u32("the longest piece's length");
  reader.expect(vocabSize, 8, `a vocabulary of ${vocabSize} pieces`);
  const pieces: Uint8Array[] = [];
  const scores = new Float32Array(vocabSize);
  for (let id = 0; id < vocabSize; id += 1) {
    scores[id] = reader.f32(`the score of piece ${id}`);
    const offset = reader.position;
    const length = reader.i32(`the length of piece ${id}`);
    if (length < 0 || length > longest) {
      throw new FormatError(`piece ${id} has length ${length}, the longest is ${longest}`, { file, offset });
    }
    pieces.push(reader.bytes(length, `piece ${id}`).slice());
  }
  if (reader.position !== source.size) {
    throw new FormatError(`${source.size - reader.position} bytes after piece ${vocabSize - 1}`, {
      file,
      offset: reader.position,
      mend: `The model's vocabulary has ${vocabSize} pieces, this tokenizer's has more.`,
    });
  }
  return { pieces, scores };
}

// --- internal ---

/** "ak42". */
const magic = 0x616b_3432;
const v1HeaderBytes = 256;
/** No Llama has more than 126; names for billions of layers would fill the memory before the size is known. */
const maxLayers = 10_000;

/** Tensors of one shape that lie side by side. */
interface Run {
  readonly names: readonly string[];
  readonly shape: readonly number[];
  /** False for the RoPE tables of version 0, which follow from the configuration. */
  readonly isKept: boolean;
}

interface Head {
  readonly config: Llama2cConfig;
  readonly dataStart: number;
  readonly runs: readonly Run[];
  /** Values that share a scale, in version 2. */
  readonly group: number | undefined;
}

function readHead(source: ByteSource): Head {
  const reader = new ByteReader(source);
  const first = reader.u32("the header");
  if (first !== magic) {
    const config = readConfig(source, new ByteReader(source));
    return { config, dataStart: 28, runs: runsOfVersion0(config), group: undefined };
  }
  const version = reader.i32("the version");
  if (version !== 1 && version !== 2) {
    throw new FormatError(`llama2.c version ${version}, of which 0, 1 and 2 are read`, {
      file: source.name,
      offset: 4,
      mend: "Export the model again with --version 0, 1 or 2.",
    });
  }
  const sizes = readConfig(source, reader);
  const isTied = reader.bytes(1, "the tied flag")[0] !== 0;
  const config = { ...sizes, isTied };
  const runs = runsOfVersion1(config);
  const group = version === 2 ? readGroup(source, reader, runs) : undefined;
  reader.expect(v1HeaderBytes - reader.position, 1, "the header");
  return { config, dataStart: v1HeaderBytes, runs, group };
}

function readGroup(source: ByteSource, reader: ByteReader, runs: readonly Run[]): number {
  const offset = reader.position;
  const group = reader.i32("the size of a group");
  const isDivisor = runs.every((run) => !isMatrix(run) || valuesOf(run) % group === 0);
  if (group > 0 && isDivisor) return group;
  throw new FormatError(`groups of ${group} values do not fill every matrix`, {
    file: source.name,
    offset,
    mend: "This is not a llama2.c model file, or its start is damaged.",
  });
}

function readConfig(source: ByteSource, reader: ByteReader): Llama2cConfig {
  const offset = reader.position;
  const next = (): number => reader.i32("the header");
  const [dim, hiddenDim, nLayers, nHeads, nKvHeads] = [next(), next(), next(), next(), next()] as const;
  const signedVocabSize = next();
  const maxSeqLen = next();
  const config = {
    dim,
    hiddenDim,
    nLayers,
    nHeads,
    nKvHeads,
    vocabSize: Math.abs(signedVocabSize),
    maxSeqLen,
    isTied: signedVocabSize > 0,
  };
  const { isTied: _, ...sizes } = config;
  const isModel =
    Object.values(sizes).every((size) => size > 0) &&
    nLayers <= maxLayers &&
    dim % (2 * nHeads) === 0 &&
    nHeads % nKvHeads === 0;
  if (isModel) return config;
  throw new FormatError(`${shownConfig(config)} is no Llama`, {
    file: source.name,
    offset,
    mend: "This is not a llama2.c model file, or its start is damaged.",
  });
}

function shownConfig(config: Llama2cConfig): string {
  const { dim, hiddenDim, nLayers, nHeads, nKvHeads, vocabSize, maxSeqLen } = config;
  return (
    `dim ${dim}, hiddenDim ${hiddenDim}, nLayers ${nLayers}, nHeads ${nHeads}, nKvHeads ${nKvHeads}, ` +
    `vocabSize ${vocabSize}, maxSeqLen ${maxSeqLen}`
  );
}

function runsOfVersion0(config: Llama2cConfig): readonly Run[] {
  const { attention, embedding, feedForward, finalNorm, head, attentionNorm, ffnNorm } = partsOf(config);
  const tables = { shape: [config.maxSeqLen, config.dim / config.nHeads / 2], isKept: false };
  return [
    embedding,
    attentionNorm,
    ...attention,
    ffnNorm,
    ...feedForward,
    finalNorm,
    { names: ["cos"], ...tables },
    { names: ["sin"], ...tables },
    ...head,
  ];
}

function runsOfVersion1(config: Llama2cConfig): readonly Run[] {
  const { attention, embedding, feedForward, finalNorm, head, attentionNorm, ffnNorm } = partsOf(config);
  return [attentionNorm, ffnNorm, finalNorm, embedding, ...attention, ...feedForward, ...head];
}

function partsOf(config: Llama2cConfig) {
  const { dim, hiddenDim, vocabSize } = config;
  const kvDim = (dim / config.nHeads) * config.nKvHeads;
  const perLayer = (part: string, shape: readonly number[]): Run => ({
    names: Array.from({ length: config.nLayers }, (_, layer) => `layers.${layer}.${part}.weight`),
    shape,
    isKept: true,
  });
  return {
    embedding: single("tok_embeddings", [vocabSize, dim]),
    attentionNorm: perLayer("attention_norm", [dim]),
    attention: [
      perLayer("attention.wq", [dim, dim]),
      perLayer("attention.wk", [kvDim, dim]),
      perLayer("attention.wv", [kvDim, dim]),
      perLayer("attention.wo", [dim, dim]),
    ],
    ffnNorm: perLayer("ffn_norm", [dim]),
    feedForward: [
      perLayer("feed_forward.w1", [hiddenDim, dim]),
      perLayer("feed_forward.w2", [dim, hiddenDim]),
      perLayer("feed_forward.w3", [hiddenDim, dim]),
    ],
    finalNorm: single("norm", [dim]),
    head: config.isTied ? [] : [single("output", [vocabSize, dim])],
  };
}

function single(part: string, shape: readonly number[]): Run {
  return { names: [`${part}.weight`], shape, isKept: true };
}

/** Of each tensor. May exceed 2^53 for hostile headers; the whole then equals no file's size. */
function valuesOf({ shape }: Run): number {
  return shape.reduce((product, size) => product * size, 1);
}

function isMatrix({ shape }: Run): boolean {
  return shape.length === 2;
}

function bytesOfEach(run: Run, group: number | undefined): number {
  const values = valuesOf(run);
  return group === undefined || !isMatrix(run) ? 4 * values : values + (4 * values) / group;
}

interface Place {
  readonly file: string;
  readonly offset: number;
  readonly group: number | undefined;
}

function tensorAt(name: string, run: Run, { file, offset, group }: Place): TensorInfo {
  const { shape } = run;
  const values = valuesOf(run);
  if (group === undefined || !isMatrix(run)) {
    return { name, type: "f32", shape, file, offset, bytes: 4 * values };
  }
  const scales = { group, offset: offset + values, skipped: 0 };
  return { name, type: "i8", shape, file, offset, bytes: values, scales };
}
