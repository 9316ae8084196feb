/**
 * Tokenizers out of other programs' files: llama2.c's `tokenizer.bin` and GGUF metadata, and the metadata
 * of a tokenizer for writing GGUF.
 *
 * Source: llama2.c `tokenizer.py` (export) and `run.c`; the GGUF specification, section "ggml" tokenizer,
 * whose token types are SentencePiece's numbers.
 */
import { ConfigError } from "../errors/errors.ts";
import {
  defaultNormalizer,
  defaultTrainer,
  type AddedMatch,
  type Piece,
  type PieceType,
  type SentencePieceModel,
} from "../formats/sentencepiece.ts";
import { spaceSymbol } from "./characters.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";
import { byteOfPiece } from "./vocabulary.ts";

/**
 * `tokenizer.bin` has neither types nor settings: id 0 is unknown, 1 and 2 are BOS and EOS (stored between
 * newlines), pieces like `<0x0A>` are bytes, spaces are spaces.
 *
 * @throws {ConfigError} when the pieces are not such a vocabulary.
 */
export function tokenizerFromLlama2c(vocabulary: {
  readonly pieces: readonly Uint8Array[];
  readonly scores: Float32Array;
}): Tokenizer {
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const pieces = vocabulary.pieces.map((bytes, id): Piece => {
    let piece: string;
    try {
      piece = utf8.decode(bytes);
    } catch (cause) {
      throw new ConfigError(`piece ${id} of the tokenizer is not UTF-8`, {
        cause,
        mend: "Fetch tokenizer.bin again.",
      });
    }
    const score = vocabulary.scores[id] ?? 0;
    if (id < 3)
      return { piece: ["<unk>", "<s>", "</s>"][id]!, score, type: id === 0 ? "unknown" : "control" };
    const type = byteOfPiece(piece) === -1 ? "normal" : "byte";
    return { piece: piece.replaceAll(" ", spaceSymbol), score, type };
  });
  return createTokenizer(withSettings(pieces, { unkId: 0, bosId: 1, eosId: 2, padId: -1 }, true));
}

/** `tokenizer.ggml.*` of a GGUF file, as plain values. */
export interface GgufTokenizer {
  readonly model: "llama";
  readonly tokens: readonly string[];
  readonly scores: Float32Array;
  /** 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly tokenTypes: Int32Array;
  readonly unkId: number;
  /** -1 for none, in which case the key is left out; so for the others. */
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly addSpacePrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
}

export function ggufTokenizerMetadata(tokenizer: Tokenizer): GgufTokenizer {
  const { pieces, normalizer } = tokenizer.model;
  return {
    model: "llama",
    // llama.cpp looks for user-defined tokens in the text as it was given.
    tokens: pieces.map(({ piece, type }) =>
      type === "user_defined" ? piece.replaceAll(spaceSymbol, " ") : piece,
    ),
    scores: Float32Array.from(pieces, ({ score }) => score),
    tokenTypes: Int32Array.from(pieces, ({ type, added }) =>
      tokenTypes.indexOf(added === undefined ? type : "user_defined"),
    ),
    unkId: tokenizer.unkId,
    bosId: tokenizer.bosId,
    eosId: tokenizer.eosId,
    padId: tokenizer.padId,
    addBos: tokenizer.bosId !== -1,
    addEos: false,
    addSpacePrefix: normalizer.addDummyPrefix,
    removeExtraWhitespaces: normalizer.removeExtraWhitespaces,
  };
}

/**
 * @param metadata a GGUF file's keys and values; arrays may be plain or typed.
 * @throws {ConfigError} when there is no tokenizer, it is not of the kind "llama", or its parts disagree.
 */
export function tokenizerFromGguf(metadata: ReadonlyMap<string, unknown>): Tokenizer {
  const kind = metadata.get("tokenizer.ggml.model");
  if (kind !== "llama") {
    const has = kind === undefined ? "no tokenizer" : `a tokenizer of the kind ${JSON.stringify(kind)}`;
    throw new ConfigError(`the GGUF file has ${has}, expected "llama"`, {
      mend: "Llama 1 and 2 and their fine-tunes have it; Llama 3 and others use a different kind.",
    });
  }
  const tokens = listAt(metadata, "tokens", isString);
  const scores = listAt(metadata, "scores", isNumber, tokens.length);
  const types = listAt(metadata, "token_type", isNumber, tokens.length);
  const pieces = tokens.map((piece, id): Piece => {
    const type = tokenTypes[types[id]!];
    if (type === undefined)
      throw new ConfigError(`token ${id} of the GGUF file has type ${types[id]}, expected 1 to 6`);
    if (Number.isNaN(scores[id]))
      throw new ConfigError(`token ${id} of the GGUF file has a score that is not a number`);
    const score = scores[id]!;
    return type === "user_defined" ? { piece, score, type, added: asGiven } : { piece, score, type };
  });
  // What stands behind the last piece fills the list up to the model's rows.
  const count = pieces.findLastIndex(({ type }) => type !== "unused") + 1;
  const ids = {
    unkId: idAt(metadata, "unknown_token_id", 0),
    bosId: idAt(metadata, "bos_token_id", 1),
    eosId: idAt(metadata, "eos_token_id", 2),
    padId: idAt(metadata, "padding_token_id", -1),
  };
  const model = withSettings(
    pieces.slice(0, count),
    ids,
    metadata.get("tokenizer.ggml.add_space_prefix") !== false,
  );
  const removeExtraWhitespaces = metadata.get("tokenizer.ggml.remove_extra_whitespaces") === true;
  const charsmap = metadata.get("tokenizer.ggml.precompiled_charsmap");
  const hasCharsmap = isList(charsmap) && charsmap.length > 0;
  return createTokenizer({
    ...model,
    normalizer: { ...model.normalizer, removeExtraWhitespaces, hasCharsmap },
  });
}

// --- internal ---

/** llama.cpp looks for user-defined tokens in the text before anything else. */
const asGiven: AddedMatch = { isNormalised: false, isWord: false, stripsLeft: false, stripsRight: false };

const tokenTypes: readonly (PieceType | undefined)[] = [
  undefined,
  "normal",
  "unknown",
  "control",
  "user_defined",
  "unused",
  "byte",
];

interface SpecialIds {
  readonly unkId: number;
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
}

function withSettings(
  pieces: readonly Piece[],
  ids: SpecialIds,
  addDummyPrefix: boolean,
): SentencePieceModel {
  const textOf = (id: number, fallback: string): string => pieces[id]?.piece ?? fallback;
  return {
    pieces,
    trainer: {
      ...defaultTrainer,
      ...ids,
      modelType: "bpe",
      vocabSize: pieces.length,
      byteFallback: pieces.some(({ type }) => type === "byte"),
      splitDigits: true,
      allowWhitespaceOnlyPieces: true,
      unkPiece: textOf(ids.unkId, defaultTrainer.unkPiece),
      bosPiece: textOf(ids.bosId, defaultTrainer.bosPiece),
      eosPiece: textOf(ids.eosId, defaultTrainer.eosPiece),
      padPiece: textOf(ids.padId, defaultTrainer.padPiece),
    },
    normalizer: { ...defaultNormalizer, name: "identity", addDummyPrefix, removeExtraWhitespaces: false },
  };
}

function listAt<T>(
  metadata: ReadonlyMap<string, unknown>,
  key: string,
  isItem: (item: unknown) => item is T,
  length?: number,
): T[] {
  const value = metadata.get(`tokenizer.ggml.${key}`);
  if (!isList(value)) throw new ConfigError(`the GGUF file has no list tokenizer.ggml.${key}`);
  if (length !== undefined && value.length !== length) {
    throw new ConfigError(
      `the GGUF file has ${length} tokens but ${value.length} items in tokenizer.ggml.${key}`,
    );
  }
  return Array.from(value, (item, i) => {
    if (!isItem(item)) throw new ConfigError(`item ${i} of tokenizer.ggml.${key} is ${JSON.stringify(item)}`);
    return item;
  });
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function idAt(metadata: ReadonlyMap<string, unknown>, key: string, fallback: number): number {
  const value = metadata.get(`tokenizer.ggml.${key}`);
  // Writers that mean "none" store 2^32 - 1.
  if (typeof value === "number") return value === 0xffffffff ? -1 : value;
  return value === undefined ? fallback : Number(value);
}
