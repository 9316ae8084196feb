/**
 * Ids -> text, one id at a time, as SentencePiece's Decode: control pieces are silent, an unknown piece is
 * the model's surface for it, bytes are joined and read as UTF-8 with U+FFFD for each byte that fits
 * nowhere, and the space that encoding put in front is dropped from the first piece that has text.
 */
import { ConfigError } from "../errors/errors.ts";
import type { Piece, SentencePieceModel } from "../formats/sentencepiece.ts";
import { spaceSymbol } from "./characters.ts";
import { byteOfPiece } from "./vocabulary.ts";

export interface Decoder {
  /** Text that is certain now: what an unfinished character begins is held back. */
  push(id: number): string;
  /** The text of held-back bytes, which nothing will complete. */
  end(): string;
}

/** @param rows ids of the model, of which those behind the last piece have no text. */
export function createDecoder(model: SentencePieceModel, rows: number): Decoder {
  const { addDummyPrefix, removeExtraWhitespaces } = model.normalizer;
  const hasPrefix = addDummyPrefix || removeExtraWhitespaces;
  const held: number[] = [];
  let isAtStart = true;
  let sawPrefix = false;
  const pushText = (piece: string): string => {
    const flushed = decodeBytes(held, true);
    if (flushed !== "" || sawPrefix) isAtStart = false;
    let text = piece;
    if (isAtStart && hasPrefix && piece.startsWith(spaceSymbol)) {
      text = piece.slice(1);
      // A model that collapses spaces has them dropped from the front as long as no text came.
      sawPrefix = !removeExtraWhitespaces;
    }
    if (text !== "") isAtStart = false;
    return flushed + text.replaceAll(spaceSymbol, " ");
  };
  const pushSilent = (surface: string): string => {
    const flushed = decodeBytes(held, true);
    if (flushed !== "" || sawPrefix || surface !== "") isAtStart = false;
    return flushed + surface;
  };
  return {
    push(id) {
      const { piece, type } = pieceAt(model, id, rows);
      switch (type) {
        case "byte": {
          held.push(byteOfPiece(piece));
          const text = decodeBytes(held, false);
          if (text !== "") isAtStart = false;
          return text;
        }
        case "control":
        case "unused":
          return pushSilent("");
        case "unknown":
          return pushSilent(model.trainer.unkSurface);
        case "normal":
        case "user_defined":
          return pushText(piece);
      }
    },
    end: () => decodeBytes(held, true),
  };
}

/** @throws {ConfigError} when the model has no such id. */
export function pieceAt(model: SentencePieceModel, id: number, rows: number): Piece {
  const piece = model.pieces[id] ?? (Number.isInteger(id) && id >= 0 && id < rows ? noPiece : undefined);
  if (piece === undefined) {
    throw new ConfigError(
      `token id ${id} is not one of this tokenizer's, which are 0 to ${Math.max(model.pieces.length, rows) - 1}`,
      {
        mend: "Use the tokenizer that belongs to the model.",
      },
    );
  }
  return piece;
}

// --- internal ---

const noPiece: Piece = { piece: "", score: 0, type: "unused" };

/**
 * Takes the whole characters off the front of `held` (RFC 3629, so no overlong forms and no surrogates) and
 * U+FFFD for each byte that cannot begin one. What may still become a character stays, unless it is the end.
 */
function decodeBytes(held: number[], isEnd: boolean): string {
  let text = "";
  let at = 0;
  while (at < held.length) {
    const size = characterSize(held, at);
    if (size === incomplete && !isEnd) break;
    text += size > 0 ? String.fromCodePoint(codePointAt(held, at, size)) : "\uFFFD";
    at += Math.max(1, size);
  }
  held.splice(0, at);
  return text;
}

const malformed = 0;
const incomplete = -1;

/** Bytes of the character at `at`, or `malformed`, or `incomplete` when more bytes could complete it. */
function characterSize(bytes: readonly number[], at: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return malformed;
  const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  for (let i = 1; i < size; i += 1) {
    const byte = bytes[at + i];
    if (byte === undefined) return incomplete;
    const [low, high] = i === 1 ? secondByteRange(lead) : [0x80, 0xbf];
    if (byte < low || byte > high) return malformed;
  }
  return size;
}

/** Second bytes that make neither an overlong form, nor a surrogate, nor a number past U+10FFFF. */
function secondByteRange(lead: number): readonly [number, number] {
  switch (lead) {
    case 0xe0:
      return [0xa0, 0xbf];
    case 0xed:
      return [0x80, 0x9f];
    case 0xf0:
      return [0x90, 0xbf];
    case 0xf4:
      return [0x80, 0x8f];
    default:
      return [0x80, 0xbf];
  }
}

function codePointAt(bytes: readonly number[], at: number, size: number): number {
  if (size === 1) return bytes[at]!;
  let code = bytes[at]! & (0x7f >> size);
  for (let i = 1; i < size; i += 1) code = (code << 6) | (bytes[at + i]! & 0x3f);
  return code;
}
