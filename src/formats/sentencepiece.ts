/**
 * SentencePiece's `.model` file: a proto2 message with the pieces, how they were trained and how text is
 * normalised before they apply.
 *
 * Source: `sentencepiece_model.proto` (google/sentencepiece, messages ModelProto, TrainerSpec,
 * NormalizerSpec) and the Protocol Buffers encoding specification. Fields unknown here are skipped when
 * read. What is written is the set of fields in Meta's own file, in its order, so that reading and
 * writing that file gives the same bytes.
 */
import { ConfigError, FormatError } from "../errors/errors.ts";
import { ProtobufReader, ProtobufWriter } from "./protobuf.ts";

export type PieceType = "normal" | "unknown" | "control" | "user_defined" | "unused" | "byte";

export interface Piece {
  /** Text with spaces as U+2581; `<0x0A>` for a byte. */
  readonly piece: string;
  /** Higher merges first. */
  readonly score: number;
  readonly type: PieceType;
  /** Of a token that was added after training: it is found in the text, whatever its type. Not in SentencePiece's file. */
  readonly added?: AddedMatch;
}

/** Where an added token is found (huggingface/tokenizers `AddedToken`). */
export interface AddedMatch {
  /** In the text as it is encoded, with its own text made so too (U+2581 in front), or in the text as it was given. */
  readonly isNormalised: boolean;
  /** Not within a word. */
  readonly isWord: boolean;
  /** White space before it, or behind it, goes with it. */
  readonly stripsLeft: boolean;
  readonly stripsRight: boolean;
}

/** How the pieces were learnt. The names and the defaults are the proto's. */
export interface TrainerSpec {
  readonly input: readonly string[];
  readonly modelPrefix: string;
  readonly modelType: "unigram" | "bpe" | "word" | "char";
  readonly vocabSize: number;
  readonly selfTestSampleSize: number;
  readonly inputFormat: string;
  readonly characterCoverage: number;
  readonly inputSentenceSize: number;
  readonly seedSentencepieceSize: number;
  readonly shrinkingFactor: number;
  readonly numThreads: number;
  readonly numSubIterations: number;
  readonly maxSentenceLength: number;
  readonly shuffleInputSentence: boolean;
  readonly maxSentencepieceLength: number;
  readonly splitByUnicodeScript: boolean;
  readonly splitByWhitespace: boolean;
  readonly splitByNumber: boolean;
  readonly treatWhitespaceAsSuffix: boolean;
  readonly splitDigits: boolean;
  readonly allowWhitespaceOnlyPieces: boolean;
  readonly controlSymbols: readonly string[];
  readonly userDefinedSymbols: readonly string[];
  readonly vocabularyOutputPieceScore: boolean;
  readonly hardVocabLimit: boolean;
  readonly useAllVocab: boolean;
  readonly byteFallback: boolean;
  readonly requiredChars: string;
  readonly unkId: number;
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
  readonly unkSurface: string;
  readonly unkPiece: string;
  readonly bosPiece: string;
  readonly eosPiece: string;
  readonly padPiece: string;
  readonly trainExtremelyLargeCorpus: boolean;
  readonly enableDifferentialPrivacy: boolean;
  readonly differentialPrivacyNoiseLevel: number;
  readonly differentialPrivacyClippingThreshold: number;
}

export interface NormalizerSpec {
  readonly name: string;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  readonly escapeWhitespaces: boolean;
  /** Whether the file holds a table of character replacements (nmt_nfkc and its like). It is not kept. */
  readonly hasCharsmap: boolean;
}

export interface SentencePieceModel {
  readonly pieces: readonly Piece[];
  readonly trainer: TrainerSpec;
  readonly normalizer: NormalizerSpec;
}

/**
 * @param name what to call the file in errors.
 * @throws {FormatError} on anything that is not a SentencePiece model: truncated or oversized fields, text
 *         that is not UTF-8, empty pieces, scores that are not numbers, no pieces at all.
 */
export function readSentencePiece(name: string, bytes: Uint8Array): SentencePieceModel {
  const pieces: Piece[] = [];
  let trainer = defaultTrainer;
  let normalizer = defaultNormalizer;
  const model = new ProtobufReader(name, bytes);
  while (model.next()) {
    if (model.number === 1) pieces.push(readPiece(model.message(), pieces.length));
    else if (model.number === 2) trainer = readSpec(model.message(), trainer, trainerFields);
    else if (model.number === 3) normalizer = readSpec(model.message(), normalizer, normalizerFields);
  }
  if (pieces.length === 0) {
    throw new FormatError("a SentencePiece model with no pieces", {
      file: name,
      offset: 0,
      mend: "Check that this is a tokenizer.model file and that the download is complete.",
    });
  }
  return { pieces, trainer, normalizer };
}

/**
 * @returns the file's bytes, which SentencePiece's own library loads.
 * @throws {ConfigError} when the model was read from a file with a table of character replacements.
 */
export function writeSentencePiece(model: SentencePieceModel): Uint8Array {
  if (model.normalizer.hasCharsmap) {
    throw new ConfigError(
      `the normaliser "${model.normalizer.name}" has a table of character replacements, which is not written`,
      { mend: "Copy the original tokenizer.model file instead." },
    );
  }
  const out = new ProtobufWriter();
  for (const piece of model.pieces) {
    const message = new ProtobufWriter();
    message.text(1, piece.piece);
    message.float(2, piece.score);
    if (piece.type !== "normal") message.varint(3, pieceTypes.indexOf(piece.type));
    out.message(1, message);
  }
  out.message(2, specMessage(model.trainer, trainerFields));
  const normalizer = specMessage(model.normalizer, normalizerFields);
  normalizer.text(6, "");
  out.message(3, normalizer);
  return out.bytes();
}

export const defaultTrainer: TrainerSpec = {
  input: [],
  modelPrefix: "",
  modelType: "unigram",
  vocabSize: 8000,
  selfTestSampleSize: 0,
  inputFormat: "",
  characterCoverage: Math.fround(0.9995),
  inputSentenceSize: 0,
  seedSentencepieceSize: 1_000_000,
  shrinkingFactor: 0.75,
  numThreads: 16,
  numSubIterations: 2,
  maxSentenceLength: 4192,
  shuffleInputSentence: true,
  maxSentencepieceLength: 16,
  splitByUnicodeScript: true,
  splitByWhitespace: true,
  splitByNumber: true,
  treatWhitespaceAsSuffix: false,
  splitDigits: false,
  allowWhitespaceOnlyPieces: false,
  controlSymbols: [],
  userDefinedSymbols: [],
  vocabularyOutputPieceScore: true,
  hardVocabLimit: true,
  useAllVocab: false,
  byteFallback: false,
  requiredChars: "",
  unkId: 0,
  bosId: 1,
  eosId: 2,
  padId: -1,
  unkSurface: " \u2047 ",
  unkPiece: "<unk>",
  bosPiece: "<s>",
  eosPiece: "</s>",
  padPiece: "<pad>",
  trainExtremelyLargeCorpus: false,
  enableDifferentialPrivacy: false,
  differentialPrivacyNoiseLevel: 0,
  differentialPrivacyClippingThreshold: 0,
};

export const defaultNormalizer: NormalizerSpec = {
  name: "",
  addDummyPrefix: true,
  removeExtraWhitespaces: true,
  escapeWhitespaces: true,
  hasCharsmap: false,
};

// --- internal ---

const pieceTypes: readonly (PieceType | undefined)[] = [
  undefined,
  "normal",
  "unknown",
  "control",
  "user_defined",
  "unused",
  "byte",
];

const modelTypes = [undefined, "unigram", "bpe", "word", "char"] as const;

type Kind = "text" | "texts" | "int" | "bool" | "float" | "modelType" | "charsmap" | "boolIfFalse";
type FieldTable<T> = readonly (readonly [number: number, key: keyof T & string, kind: Kind])[];

const trainerFields: FieldTable<TrainerSpec> = [
  [1, "input", "texts"],
  [2, "modelPrefix", "text"],
  [3, "modelType", "modelType"],
  [4, "vocabSize", "int"],
  [6, "selfTestSampleSize", "int"],
  [7, "inputFormat", "text"],
  [10, "characterCoverage", "float"],
  [11, "inputSentenceSize", "int"],
  [14, "seedSentencepieceSize", "int"],
  [15, "shrinkingFactor", "float"],
  [16, "numThreads", "int"],
  [17, "numSubIterations", "int"],
  [18, "maxSentenceLength", "int"],
  [19, "shuffleInputSentence", "bool"],
  [20, "maxSentencepieceLength", "int"],
  [21, "splitByUnicodeScript", "bool"],
  [22, "splitByWhitespace", "bool"],
  [23, "splitByNumber", "bool"],
  [24, "treatWhitespaceAsSuffix", "bool"],
  [25, "splitDigits", "bool"],
  [26, "allowWhitespaceOnlyPieces", "bool"],
  [30, "controlSymbols", "texts"],
  [31, "userDefinedSymbols", "texts"],
  [32, "vocabularyOutputPieceScore", "bool"],
  [33, "hardVocabLimit", "bool"],
  [34, "useAllVocab", "bool"],
  [35, "byteFallback", "bool"],
  [36, "requiredChars", "text"],
  [40, "unkId", "int"],
  [41, "bosId", "int"],
  [42, "eosId", "int"],
  [43, "padId", "int"],
  [44, "unkSurface", "text"],
  [45, "unkPiece", "text"],
  [46, "bosPiece", "text"],
  [47, "eosPiece", "text"],
  [48, "padPiece", "text"],
  [49, "trainExtremelyLargeCorpus", "bool"],
  [50, "enableDifferentialPrivacy", "bool"],
  [51, "differentialPrivacyNoiseLevel", "float"],
  [52, "differentialPrivacyClippingThreshold", "int"],
];

const normalizerFields: FieldTable<NormalizerSpec> = [
  [1, "name", "text"],
  [2, "hasCharsmap", "charsmap"],
  [3, "addDummyPrefix", "bool"],
  [4, "removeExtraWhitespaces", "bool"],
  [5, "escapeWhitespaces", "boolIfFalse"],
];

function readPiece(message: ProtobufReader, id: number): Piece {
  let piece = "";
  let score = 0;
  let type: PieceType = "normal";
  while (message.next()) {
    if (message.number === 1) piece = message.text();
    else if (message.number === 2) score = message.float();
    else if (message.number === 3) type = readEnum(message, pieceTypes, "piece type");
  }
  if (piece === "") throw message.malformed(`piece ${id} is empty`);
  if (Number.isNaN(score)) throw message.malformed(`the score of piece ${id} is not a number`);
  return { piece, score, type };
}

function readSpec<T extends TrainerSpec | NormalizerSpec>(
  message: ProtobufReader,
  defaults: T,
  table: FieldTable<T>,
): T {
  const spec: Record<string, unknown> = { ...defaults };
  while (message.next()) {
    const row = table.find(([number]) => number === message.number);
    if (row === undefined) continue;
    const [, key, kind] = row;
    const value = readValue(message, kind);
    if (kind !== "texts") spec[key] = value;
    // Repeated fields go into a list of this call's own; copying it each time would be quadratic.
    else if (spec[key] === defaults[key]) spec[key] = [...(defaults[key] as readonly string[]), value];
    else (spec[key] as unknown[]).push(value);
  }
  return spec as unknown as T;
}

function readValue(field: ProtobufReader, kind: Kind): string | number | boolean {
  switch (kind) {
    case "text":
    case "texts":
      return field.text();
    case "int":
      return field.int();
    case "bool":
    case "boolIfFalse":
      return field.int() !== 0;
    case "float":
      return field.float();
    case "modelType":
      return readEnum(field, modelTypes, "model type");
    case "charsmap":
      return field.byteLength() > 0;
  }
}

function readEnum<T extends string>(
  field: ProtobufReader,
  names: readonly (T | undefined)[],
  what: string,
): T {
  const value = field.int();
  const name = names[value];
  if (name === undefined) throw field.malformed(`unknown ${what} ${value}`);
  return name;
}

function specMessage<T extends TrainerSpec | NormalizerSpec>(spec: T, table: FieldTable<T>): ProtobufWriter {
  const out = new ProtobufWriter();
  for (const [number, key, kind] of table) writeValue(out, number, kind, spec[key]);
  return out;
}

function writeValue(out: ProtobufWriter, number: number, kind: Kind, value: unknown): void {
  switch (kind) {
    case "text":
      return out.text(number, value as string);
    case "texts":
      return (value as readonly string[]).forEach((text) => out.text(number, text));
    case "int":
      return out.varint(number, value as number);
    case "bool":
      return out.varint(number, Number(value));
    case "boolIfFalse":
      return value === false ? out.varint(number, 0) : undefined;
    case "float":
      return out.float(number, value as number);
    case "modelType":
      return out.varint(number, modelTypes.indexOf(value as (typeof modelTypes)[number]));
    case "charsmap":
      return out.text(number, "");
  }
}
