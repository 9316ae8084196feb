import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readSentencePiece } from "../../src/formats/sentencepiece.ts";
import { defaultNormalizer, defaultTrainer } from "../../src/formats/sentencepiece.ts";
import type { Piece, SentencePieceModel } from "../../src/formats/sentencepiece.ts";
import { createTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";

/** Made by SentencePiece itself: see PROVENANCE.md there. */
export function fixture(name: string): Buffer {
  return readFileSync(fileURLToPath(new URL(`../fixtures/tokenizer/${name}`, import.meta.url)));
}

export const fableText = fixture("fable.txt").toString("utf8");

export function fable(name = "fable"): Tokenizer {
  return createTokenizer(readSentencePiece(`${name}.model`, fixture(`${name}.model`)));
}

export interface Reference {
  readonly model: string;
  readonly cases: readonly { readonly text: string; readonly ids: number[]; readonly decoded: string }[];
  readonly decoding: readonly { readonly ids: number[]; readonly decoded: string }[];
}

export const references = JSON.parse(fixture("fable.reference.json").toString("utf8")) as Reference[];

/** A model with the given ordinary pieces, the first of them merging first. */
export function modelOf(
  normal: readonly string[],
  changes: {
    trainer?: Partial<SentencePieceModel["trainer"]>;
    normalizer?: Partial<SentencePieceModel["normalizer"]>;
    more?: readonly Piece[];
  } = {},
): SentencePieceModel {
  const bytes = Array.from(
    { length: changes.trainer?.byteFallback === false ? 0 : 256 },
    (_, byte): Piece => {
      return { piece: `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, score: 0, type: "byte" };
    },
  );
  const pieces: Piece[] = [
    { piece: "<unk>", score: 0, type: "unknown" },
    { piece: "<s>", score: 0, type: "control" },
    { piece: "</s>", score: 0, type: "control" },
    ...bytes,
    ...normal.map((piece, order): Piece => ({ piece, score: -order, type: "normal" })),
    ...(changes.more ?? []),
  ];
  return {
    pieces,
    trainer: {
      ...defaultTrainer,
      modelType: "bpe",
      byteFallback: true,
      vocabSize: pieces.length,
      ...changes.trainer,
    },
    normalizer: {
      ...defaultNormalizer,
      name: "identity",
      removeExtraWhitespaces: false,
      ...changes.normalizer,
    },
  };
}

/**
 * SentencePiece's rule word for word, on strings and in quadratic time: of all neighbours whose
 * concatenation is an ordinary piece, merge those with the highest score, the leftmost first.
 */
export function naiveEncode(model: SentencePieceModel, text: string): number[] {
  if (text === "") return [];
  const ids = new Map(
    model.pieces.flatMap(({ piece, type }, id) => (type === "normal" ? [[piece, id]] : [])),
  );
  const scoreOf = (piece: string): number => model.pieces[ids.get(piece) ?? -1]?.score ?? -Infinity;
  const prefix = model.normalizer.addDummyPrefix ? "▁" : "";
  const symbols = Array.from(prefix + text.replaceAll(" ", "▁"), (character) =>
    /^\p{Surrogate}$/u.test(character) ? "\uFFFD" : character,
  );
  for (;;) {
    let best = -1;
    for (let i = 0; i + 1 < symbols.length; i += 1) {
      const score = scoreOf(symbols[i]! + symbols[i + 1]!);
      const bestScore = best === -1 ? -Infinity : scoreOf(symbols[best]! + symbols[best + 1]!);
      if (score > bestScore) best = i;
    }
    if (best === -1) break;
    symbols.splice(best, 2, symbols[best]! + symbols[best + 1]!);
  }
  const out: number[] = [];
  let wasUnknown = false;
  for (const symbol of symbols) {
    const id = ids.get(symbol);
    if (id !== undefined) out.push(id);
    else if (model.trainer.byteFallback) out.push(...Array.from(Buffer.from(symbol), (byte) => 3 + byte));
    else if (!wasUnknown) out.push(0);
    wasUnknown = id === undefined;
  }
  return out;
}
