/**
 * What encoding needs to know of a SentencePiece model, checked once and kept in tables: which characters
 * are symbols, which two symbols merge into which, and how early.
 *
 * Source: SentencePiece's rules for a valid model (`ModelInterface::InitializePieces`) and its BPE encoder,
 * which merges any two neighbours whose concatenation is a piece.
 */
import { ConfigError } from "../errors/errors.ts";
import type { AddedMatch, PieceType, SentencePieceModel } from "../formats/sentencepiece.ts";
import { spaceCode, spaceSymbol } from "./characters.ts";
import { PairTable } from "./pair-table.ts";

/**
 * Symbols are the ids of the pieces, and after them ids of characters that occur inside pieces without
 * being pieces themselves.
 */
export interface Vocabulary {
  readonly vocabSize: number;
  readonly unkId: number;
  /** Code point -> symbol. */
  readonly characters: ReadonlyMap<number, number>;
  /** (left symbol, right symbol) -> piece. */
  readonly merges: PairTable;
  /** Piece -> how early it merges: 0 for the highest score. Pieces of one score share a rank. */
  readonly ranks: Int32Array;
  /** Byte -> id; undefined when the model has no byte fallback. */
  readonly bytes: Int32Array | undefined;
  /** Whether no merge reaches from one word into the next, so that words can be encoded apart. */
  readonly isWordBound: boolean;
  /** What is cut out of the text as it was given: added tokens; undefined when there are none. */
  readonly given: TextMatches | undefined;
  /** What is cut out of the text with its spaces as they are encoded: user-defined pieces, and added tokens. */
  readonly normalised: TextMatches | undefined;
}

export interface TextMatches {
  /** The longest first. */
  readonly pattern: RegExp;
  readonly byText: ReadonlyMap<string, { readonly id: number; readonly added: AddedMatch | undefined }>;
}

/** @throws {ConfigError} for anything but a BPE model without character replacements. */
export function createVocabulary(model: SentencePieceModel): Vocabulary {
  checkKind(model);
  const normal = normalIds(model);
  const unkId = soleUnknown(model);
  const characters = characterSymbols(normal, model.pieces.length);
  return {
    vocabSize: model.pieces.length,
    unkId,
    characters,
    merges: mergesOf(normal, characters),
    ranks: ranksOf(model),
    bytes: byteIds(model),
    isWordBound: [...normal.keys()].every((piece) => !crossesWords(piece)),
    ...matchesOf(model),
  };
}

/** The byte that a piece like `<0x0A>` stands for, or -1. */
export function byteOfPiece(piece: string): number {
  return /^<0x[0-9A-F]{2}>$/.test(piece) ? Number.parseInt(piece.slice(3, 5), 16) : -1;
}

export function pieceOfByte(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

// --- internal ---

function checkKind({ trainer, normalizer }: SentencePieceModel): void {
  const mend = "Use a tokenizer trained as BPE with identity normalisation, as Llama 1 and 2 have.";
  if (trainer.modelType !== "bpe") {
    throw new ConfigError(`the tokenizer is a SentencePiece "${trainer.modelType}" model, not "bpe"`, {
      mend,
    });
  }
  if (normalizer.hasCharsmap) {
    throw new ConfigError(
      `the tokenizer replaces characters before encoding (normaliser "${normalizer.name}"), which is not supported`,
      { mend },
    );
  }
  if (!normalizer.escapeWhitespaces || trainer.treatWhitespaceAsSuffix) {
    throw new ConfigError(
      `the tokenizer has escape_whitespaces=${normalizer.escapeWhitespaces} and treat_whitespace_as_suffix=${trainer.treatWhitespaceAsSuffix}`,
      { mend: `${mend} Those have true and false.` },
    );
  }
}

function normalIds(model: SentencePieceModel): Map<string, number> {
  const seen = new Map<string, number>();
  const reserved = new Map<string, number>();
  const normal = new Map<string, number>();
  for (const [id, { piece, type }] of model.pieces.entries()) {
    if (piece === "") throw new ConfigError(`piece ${id} of the tokenizer is empty`);
    // As in SentencePiece, "<s>" the control piece and "<s>" the ordinary text may both exist.
    const known = isText(type) ? seen : reserved;
    const first = known.get(piece);
    if (first !== undefined) {
      throw new ConfigError(`pieces ${first} and ${id} of the tokenizer are both "${piece}"`, {
        mend: "Give each piece its own text.",
      });
    }
    known.set(piece, id);
    if (type === "normal") normal.set(piece, id);
  }
  return normal;
}

function isText(type: PieceType): boolean {
  return type === "normal" || type === "user_defined" || type === "unused";
}

function soleUnknown(model: SentencePieceModel): number {
  const unknown = model.pieces.flatMap(({ type }, id) => (type === "unknown" ? [id] : []));
  if (unknown.length !== 1) {
    throw new ConfigError(`the tokenizer has ${unknown.length} unknown pieces, it needs one`, {
      mend: 'Give one piece, usually "<unk>" with id 0, the type unknown.',
    });
  }
  return unknown[0]!;
}

function characterSymbols(normal: ReadonlyMap<string, number>, vocabSize: number): Map<number, number> {
  const symbols = new Map<number, number>();
  let next = vocabSize;
  for (const piece of normal.keys()) {
    for (const character of piece) {
      const code = character.codePointAt(0)!;
      if (symbols.has(code)) continue;
      const id = normal.get(character);
      symbols.set(code, id ?? next);
      if (id === undefined) next += 1;
    }
  }
  return symbols;
}

/** Every way of cutting a piece in two symbols is a merge. */
function mergesOf(normal: ReadonlyMap<string, number>, characters: ReadonlyMap<number, number>): PairTable {
  const merges = new PairTable(2 * normal.size);
  const symbolOf = (text: string): number => {
    const id = normal.get(text);
    if (id !== undefined) return id;
    const code = text.codePointAt(0)!;
    const isCharacter = text.length === (code > 0xffff ? 2 : 1);
    return isCharacter ? (characters.get(code) ?? -1) : -1;
  };
  for (const [piece, id] of normal) {
    for (let cut = 1; cut < piece.length; cut += 1) {
      const left = symbolOf(piece.slice(0, cut));
      if (left === -1) continue;
      const right = symbolOf(piece.slice(cut));
      if (right !== -1) merges.set(left, right, id);
    }
  }
  return merges;
}

function ranksOf(model: SentencePieceModel): Int32Array {
  const ascending = Float64Array.from(new Set(model.pieces.map(({ score }) => score))).sort();
  const rankOf = new Map<number, number>();
  for (const [i, score] of ascending.entries()) rankOf.set(score, ascending.length - 1 - i);
  return Int32Array.from(model.pieces, ({ score }) => rankOf.get(score)!);
}

function byteIds(model: SentencePieceModel): Int32Array | undefined {
  const ids = new Int32Array(256).fill(-1);
  for (const [id, { piece, type }] of model.pieces.entries()) {
    if (type !== "byte") continue;
    const byte = byteOfPiece(piece);
    if (byte === -1) {
      throw new ConfigError(`piece ${id} of the tokenizer, "${piece}", is of type byte but names none`, {
        mend: "A byte piece is written like <0x0A>.",
      });
    }
    ids[byte] = id;
  }
  const missing = ids.indexOf(-1);
  if (missing !== -1 && model.trainer.byteFallback) {
    throw new ConfigError(`the tokenizer has byte fallback but no piece ${pieceOfByte(missing)}`, {
      mend: "A model with byte fallback has all 256 byte pieces.",
    });
  }
  return missing === -1 && model.trainer.byteFallback ? ids : undefined;
}

/** Whether a space follows something else inside the piece. */
function crossesWords(piece: string): boolean {
  for (let i = 1; i < piece.length; i += 1) {
    if (piece.charCodeAt(i) === spaceCode && piece.charCodeAt(i - 1) !== spaceCode) return true;
  }
  return false;
}

function matchesOf({ pieces, normalizer }: SentencePieceModel): Pick<Vocabulary, "given" | "normalised"> {
  const given = new Map<string, { id: number; added: AddedMatch | undefined }>();
  const normalised: typeof given = new Map();
  const prefix = normalizer.addDummyPrefix ? spaceSymbol : "";
  for (const [id, { piece, type, added }] of pieces.entries()) {
    if (added === undefined) {
      if (type === "user_defined") normalised.set(piece, { id, added });
    } else if (added.isNormalised) {
      normalised.set(prefix + piece.replaceAll(" ", spaceSymbol), { id, added });
    } else {
      given.set(piece, { id, added });
    }
  }
  return { given: matchesAmong(given), normalised: matchesAmong(normalised) };
}

function matchesAmong(byText: TextMatches["byText"]): TextMatches | undefined {
  if (byText.size === 0) return undefined;
  const longestFirst = [...byText.keys()].sort((a, b) => b.length - a.length);
  const escaped = longestFirst.map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`));
  return { byText, pattern: new RegExp(escaped.join("|"), "gu") };
}
