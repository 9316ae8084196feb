/**
 * Trains a tokenizer like Llama's (Llama 2 §2.1; the settings are those in Meta's `tokenizer.model`):
 * unknown, BOS, EOS, 256 bytes, then pieces in the order they were learnt, then the characters themselves
 * in order of frequency. A piece's score is minus its place in that order.
 *
 * Source: SentencePiece's BPE trainer, which gives the same pieces for the same text and settings. Two
 * differences, both meant: it leaves out lines longer than 4192 bytes, this does not; and when no pair
 * occurs any more, it fills the vocabulary with pairs of frequency zero, this stops with an error.
 */
import { ConfigError } from "../errors/errors.ts";
import {
  defaultNormalizer,
  defaultTrainer,
  type Piece,
  type SentencePieceModel,
} from "../formats/sentencepiece.ts";
import { spaceCode } from "./characters.ts";
import { learnMerges, type PieceRules } from "./learn-merges.ts";
import { pieceOfByte } from "./vocabulary.ts";
import { characterCounts, countWords } from "./words.ts";

export interface TrainOptions extends PieceRules {
  readonly vocabSize: number;
  /** Share of the text's characters that get a piece; the rest is spelt in bytes. 0.98 to 1. */
  readonly characterCoverage: number;
  /** In characters. */
  readonly maxPieceLength: number;
  /** Each digit is a token of its own. */
  readonly splitDigits: boolean;
  /** Whether the 256 bytes are pieces; without them, rare characters are lost as unknown. */
  readonly byteFallback: boolean;
  /** Whether runs of spaces can be pieces, as in the indentation of code. */
  readonly allowWhitespaceOnlyPieces: boolean;
}

/** What Meta's tokenizer was trained with. */
export const metaTrainOptions: TrainOptions = {
  vocabSize: 32_000,
  characterCoverage: 0.99995,
  maxPieceLength: 16,
  splitDigits: true,
  splitByNumber: true,
  splitByUnicodeScript: true,
  byteFallback: true,
  allowWhitespaceOnlyPieces: true,
};

/**
 * @param texts documents or lines; a newline never gets into a piece.
 * @param onProgress called with the pieces learnt so far and how many there will be.
 * @throws {ConfigError} when the options are out of range, the text is empty, or the vocabulary is too
 *         small for the characters or too large for the text.
 */
export function trainTokenizer(
  texts: Iterable<string>,
  options: Partial<TrainOptions> & { vocabSize: number },
  onProgress?: (done: number, total: number) => void,
): SentencePieceModel {
  const settings = { ...metaTrainOptions, ...options };
  checkOptions(settings);
  const words = countWords(texts, settings.allowWhitespaceOnlyPieces);
  const alphabet = coveredCharacters(characterCounts(words), settings.characterCoverage);
  const meta = metaPieces(settings.byteFallback);
  const limit = settings.vocabSize - meta.length - alphabet.length;
  if (limit < 0) {
    throw new ConfigError(
      `a vocabulary of ${settings.vocabSize} has no room for ${meta.length} special and byte pieces and the ${alphabet.length} characters of the text`,
      {
        mend: `Set the vocabulary size to ${meta.length + alphabet.length} or more, or lower the character coverage (${settings.characterCoverage}).`,
      },
    );
  }
  const merges = learnMerges(words, alphabet, settings, {
    limit,
    onMerge: (done) => onProgress?.(done, limit),
  });
  if (merges.length < limit) {
    const reached = settings.vocabSize - limit + merges.length;
    throw new ConfigError(
      `the text is too small for a vocabulary of ${settings.vocabSize}: it gives ${reached} pieces`,
      { mend: `Set the vocabulary size to ${reached} or less, or train on more text.` },
    );
  }
  const learnt = [...merges, ...alphabet.map((code) => String.fromCodePoint(code))];
  const pieces = learnt.map((piece, order): Piece => ({ piece, score: -order, type: "normal" }));
  return withSettings([...meta, ...pieces], settings);
}

// --- internal ---

/** SentencePiece's mark for unknown characters, and what cannot be in a piece. */
const excluded: readonly number[] = [0x2585, 0x0009, 0x0000];

function checkOptions(options: TrainOptions): void {
  const { vocabSize, characterCoverage, maxPieceLength } = options;
  if (!Number.isInteger(vocabSize) || vocabSize < 1 || vocabSize > 2 ** 21) {
    throw new ConfigError(`a vocabulary size of ${vocabSize} is not a whole number from 1 to ${2 ** 21}`, {
      mend: "Llama uses 32000; a small model does well with 512 to 4096.",
    });
  }
  if (!(characterCoverage >= 0.98 && characterCoverage <= 1)) {
    throw new ConfigError(`a character coverage of ${characterCoverage} is not between 0.98 and 1`, {
      mend: "Llama uses 0.99995; 1 keeps every character.",
    });
  }
  if (!Number.isInteger(maxPieceLength) || maxPieceLength < 1 || maxPieceLength > 512) {
    throw new ConfigError(
      `a longest piece of ${maxPieceLength} characters is not a whole number from 1 to 512`,
      {
        mend: "Llama uses 16.",
      },
    );
  }
}

/** Most frequent characters first, until the coverage is reached; compared in float32, as SentencePiece does. */
function coveredCharacters(counts: ReadonlyMap<number, number>, coverage: number): number[] {
  const total = [...counts].reduce((sum, [code, count]) => sum + (code === 0 ? 0 : count), 0);
  if (total === 0) {
    throw new ConfigError("there is no text to train a tokenizer on", {
      mend: "Check that the corpus is not empty.",
    });
  }
  const covered: number[] = [];
  let seen = 0;
  for (const [code, count] of [...counts].sort(([a, m], [b, n]) => n - m || a - b)) {
    if (Math.fround(seen / total) >= Math.fround(coverage)) break;
    if (code !== 0) seen += count;
    if (!excluded.includes(code)) covered.push(code);
  }
  // Encoding puts a space in front of everything.
  return covered.includes(spaceCode) ? covered : [...covered, spaceCode];
}

function metaPieces(byteFallback: boolean): Piece[] {
  const { unkPiece, bosPiece, eosPiece } = defaultTrainer;
  return [
    { piece: unkPiece, score: 0, type: "unknown" },
    { piece: bosPiece, score: 0, type: "control" },
    { piece: eosPiece, score: 0, type: "control" },
    ...Array.from({ length: byteFallback ? 256 : 0 }, (_, byte): Piece => {
      return { piece: pieceOfByte(byte), score: 0, type: "byte" };
    }),
  ];
}

function withSettings(pieces: readonly Piece[], options: TrainOptions): SentencePieceModel {
  return {
    pieces,
    trainer: {
      ...defaultTrainer,
      modelType: "bpe",
      inputFormat: "text",
      vocabSize: options.vocabSize,
      characterCoverage: Math.fround(options.characterCoverage),
      maxSentenceLength: 2 ** 30,
      shuffleInputSentence: false,
      maxSentencepieceLength: options.maxPieceLength,
      splitByUnicodeScript: options.splitByUnicodeScript,
      splitByNumber: options.splitByNumber,
      splitDigits: options.splitDigits,
      allowWhitespaceOnlyPieces: options.allowWhitespaceOnlyPieces,
      byteFallback: options.byteFallback,
    },
    normalizer: {
      ...defaultNormalizer,
      name: "identity",
      addDummyPrefix: true,
      removeExtraWhitespaces: false,
    },
  };
}
