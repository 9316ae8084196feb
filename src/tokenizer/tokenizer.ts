/**
 * Llama's tokenizer (Llama 2 §2.1): SentencePiece BPE with byte fallback and digits apart. Adding BOS and
 * EOS is the caller's business, as in Meta's reference code.
 */
import type { SentencePieceModel } from "../formats/sentencepiece.ts";
import { spaceSymbol } from "./characters.ts";
import { createDecoder, pieceAt } from "./decode.ts";
import { createEncoder } from "./encode.ts";
import { byteOfPiece, createVocabulary } from "./vocabulary.ts";

export interface Tokenizer {
  readonly model: SentencePieceModel;
  /** How many pieces there are. */
  readonly vocabSize: number;
  /** How many ids its model has. Those behind the last piece are no text, and are never drawn. */
  readonly rows: number;
  readonly unkId: number;
  /** -1 when the model has none; so for `eosId` and `padId`, and Llama has no padding. */
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;

  /**
   * Without BOS and EOS. Text that looks like a special token, `</s>` say, is encoded as text. A lone
   * surrogate is encoded as U+FFFD.
   */
  encode(text: string): Int32Array;

  /** @throws {ConfigError} for an id that is not in the vocabulary. */
  decode(ids: ArrayLike<number>): string;

  /**
   * UTF-8 of one id by itself, leading space included; empty for control ids and those without a piece.
   *
   * @throws {ConfigError} for an id that is not in the vocabulary.
   */
  pieceBytes(id: number): Uint8Array;
}

/**
 * @param rows how many ids the model has that it belongs to, when there may be more than pieces.
 * @throws {ConfigError} when the model is not BPE with identity normalisation, or contradicts itself.
 */
export function createTokenizer(model: SentencePieceModel, rows = model.pieces.length): Tokenizer {
  const vocabulary = createVocabulary(model);
  const { trainer } = model;
  return {
    model,
    vocabSize: model.pieces.length,
    rows,
    unkId: vocabulary.unkId,
    bosId: controlId(model, trainer.bosId, trainer.bosPiece),
    eosId: controlId(model, trainer.eosId, trainer.eosPiece),
    padId: controlId(model, trainer.padId, trainer.padPiece),
    encode: createEncoder(vocabulary, model.normalizer),
    decode(ids) {
      const decoder = createDecoder(model, rows);
      let text = "";
      for (let i = 0; i < ids.length; i += 1) text += decoder.push(ids[i]!);
      return text + decoder.end();
    },
    pieceBytes: (id) => pieceBytes(model, id, rows),
  };
}

/** The same tokenizer, of a model that has more rows than it has pieces. */
export function withRows(tokenizer: Tokenizer, rows: number): Tokenizer {
  return rows === tokenizer.rows ? tokenizer : createTokenizer(tokenizer.model, rows);
}

/** Whether an id means the same in both. */
export function isSameVocabulary(a: Pick<Tokenizer, "model">, b: Pick<Tokenizer, "model">): boolean {
  const [pieces, others] = [a.model.pieces, b.model.pieces];
  return pieces.length === others.length && pieces.every(({ piece }, i) => piece === others[i]!.piece);
}

/** Ids that no text has: unused pieces and rows without a piece. */
export function unusedIds({ model, rows }: Pick<Tokenizer, "model" | "rows">): number[] {
  const ids = model.pieces.flatMap(({ type }, id) => (type === "unused" ? [id] : []));
  for (let id = model.pieces.length; id < rows; id += 1) ids.push(id);
  return ids;
}

// --- internal ---

/** SentencePiece goes by the piece's text; the id in the trainer's settings is what training asked for. */
function controlId(model: SentencePieceModel, id: number, piece: string): number {
  if (model.pieces[id]?.piece === piece) return id;
  return model.pieces.findIndex((candidate) => candidate.piece === piece && candidate.type === "control");
}

function pieceBytes(model: SentencePieceModel, id: number, rows: number): Uint8Array {
  const { piece, type } = pieceAt(model, id, rows);
  switch (type) {
    case "control":
    case "unused":
      return new Uint8Array(0);
    case "byte":
      return Uint8Array.of(byteOfPiece(piece));
    case "unknown":
      return new TextEncoder().encode(model.trainer.unkSurface);
    case "normal":
    case "user_defined":
      return new TextEncoder().encode(piece.replaceAll(spaceSymbol, " "));
  }
}
