import { defaultTrainer } from "../../src/formats/sentencepiece.ts";
import type { Piece, SentencePieceModel } from "../../src/formats/sentencepiece.ts";
import { createTokenizer } from "../../src/tokenizer/tokenizer.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

/** Llama's kind of vocabulary, tiny: `<unk>` 0, `<s>` 1, `</s>` 2, bytes 3 to 258, then `normal` in order of merging. */
export function tinyTokenizer(normal: readonly string[] = ["▁", "▁a", "[INST]"]): Tokenizer {
  const bytes = Array.from({ length: 256 }, (_, byte) => ({
    piece: `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
    score: 0,
    type: "byte" as const,
  }));
  const pieces: Piece[] = [
    { piece: "<unk>", score: 0, type: "unknown" },
    { piece: "<s>", score: 0, type: "control" },
    { piece: "</s>", score: 0, type: "control" },
    ...bytes,
    ...normal.map((piece, i) => ({ piece, score: -i, type: "normal" as const })),
  ];
  const model: SentencePieceModel = {
    pieces,
    trainer: { ...defaultTrainer, modelType: "bpe", vocabSize: pieces.length, byteFallback: true, padId: -1 },
    normalizer: {
      name: "identity",
      addDummyPrefix: true,
      removeExtraWhitespaces: false,
      escapeWhitespaces: true,
      hasCharsmap: false,
    },
  };
  return createTokenizer(model);
}
