import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../src/errors/errors.ts";
import {
  defaultNormalizer,
  defaultTrainer,
  readSentencePiece,
  writeSentencePiece,
} from "../../src/formats/sentencepiece.ts";
import type { PieceType, SentencePieceModel } from "../../src/formats/sentencepiece.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { fixture } from "../tokenizer/fable.ts";

const read = (...bytes: number[]): SentencePieceModel =>
  readSentencePiece("tokenizer.model", Uint8Array.from(bytes));
/** One piece, "a". */
const onePiece = [0x0a, 0x03, 0x0a, 0x01, 0x61];

describe("reading", () => {
  test("a file of SentencePiece's own has its pieces, scores, types and settings", () => {
    const model = readSentencePiece("fable.model", fixture("fable.model"));
    expect(model.pieces).toHaveLength(480);
    expect(model.pieces.slice(0, 4)).toEqual([
      { piece: "<unk>", score: 0, type: "unknown" },
      { piece: "<s>", score: 0, type: "control" },
      { piece: "</s>", score: 0, type: "control" },
      { piece: "<0x00>", score: 0, type: "byte" },
    ]);
    expect(model.pieces[260]).toEqual({ piece: "▁▁", score: -1, type: "normal" });
    expect(model.trainer).toMatchObject({ modelType: "bpe", vocabSize: 480, padId: -1, splitDigits: true });
    expect(model.normalizer).toEqual({
      name: "identity",
      addDummyPrefix: true,
      removeExtraWhitespaces: false,
      escapeWhitespaces: true,
      hasCharsmap: false,
    });
  });

  test("what a file leaves out has the proto's default", () => {
    expect(read(...onePiece)).toEqual({
      pieces: [{ piece: "a", score: 0, type: "normal" }],
      trainer: defaultTrainer,
      normalizer: defaultNormalizer,
    });
  });

  test("fields that are not known are skipped, whatever their kind", () => {
    const varint = [0xa0, 0x06, 0xff, 0x01];
    const fixed64 = [0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8];
    const delimited = [0xa2, 0x06, 0x02, 0xff, 0xff];
    const fixed32 = [0xa5, 0x06, 1, 2, 3, 4];
    const model = read(...varint, ...fixed64, ...onePiece, ...delimited, ...fixed32);
    expect(model.pieces.map(({ piece }) => piece)).toEqual(["a"]);
  });

  test("a negative number is 64-bit two's complement, as proto writers store it", () => {
    // trainer_spec { pad_id: -7 }
    const padId = [0xd8, 0x02, 0xf9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    expect(read(...onePiece, 0x12, padId.length, ...padId).trainer.padId).toBe(-7);
  });

  test("repeated texts add up in linear time", () => {
    // 300 000 empty control_symbols; copying the list each time would take hours.
    const count = 300_000;
    const symbols = Uint8Array.from({ length: 3 * count }, (_, i) => [0xf2, 0x01, 0x00][i % 3]!);
    const size = symbols.length;
    const header = [0x12, (size & 0x7f) | 0x80, ((size >> 7) & 0x7f) | 0x80, size >> 14];
    const model = readSentencePiece("x", Buffer.concat([Uint8Array.from([...onePiece, ...header]), symbols]));
    expect(model.trainer.controlSymbols).toHaveLength(count);
    expect(defaultTrainer.controlSymbols).toEqual([]);
  });
});

describe("damaged files", () => {
  const refused: [why: string, bytes: number[], message: string][] = [
    ["nothing at all", [], "tokenizer.model, byte 0: a SentencePiece model with no pieces"],
    [
      "a length of 2^31",
      [0x0a, 0x80, 0x80, 0x80, 0x80, 0x08],
      "tokenizer.model, byte 0: field 1 says it is 2147483648 bytes long, 0 are left",
    ],
    [
      "a length of 2^63",
      [0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
      "tokenizer.model, byte 0: field 1 says it is 9223372036854776000 bytes long, 0 are left",
    ],
    [
      "a piece that ends after its message",
      [0x0a, 0x03, 0x0a, 0x05, 0x61],
      "tokenizer.model, byte 2: field 1 says it is 5 bytes long, 1 are left",
    ],
    [
      "a piece one byte longer than its message",
      [0x0a, 0x03, 0x0a, 0x02, 0x61, 0x62],
      "tokenizer.model, byte 2: field 1 says it is 2 bytes long, 1 are left",
    ],
    [
      "a number of eleven bytes",
      [0x08, ...Array.from({ length: 11 }, () => 0x80)],
      "tokenizer.model, byte 1: a number that does not end",
    ],
    ["a number cut short", [0x0a, 0x80], "tokenizer.model, byte 1: a number that does not end"],
    ["a group", [0x0b], "tokenizer.model, byte 0: field 1 has wire type 3, which is not supported"],
    [
      "field number 0",
      [0x00, 0x00],
      "tokenizer.model, byte 0: field number 0 is not one a protobuf can have",
    ],
    ["pieces that are numbers", [0x08, 0x01], "tokenizer.model, byte 1: field 1 has wire type 0, expected 2"],
    [
      "text that is not UTF-8",
      [0x0a, 0x03, 0x0a, 0x01, 0xff],
      "tokenizer.model, byte 4: text that is not UTF-8",
    ],
    ["an empty piece", [0x0a, 0x00], "tokenizer.model, byte 2: piece 0 is empty"],
    [
      "an unknown piece type",
      [0x0a, 0x05, 0x0a, 0x01, 0x61, 0x18, 0x09],
      "tokenizer.model, byte 6: unknown piece type 9",
    ],
    [
      "a score that is not a number",
      [0x0a, 0x08, 0x0a, 0x01, 0x61, 0x15, 0x00, 0x00, 0xc0, 0x7f],
      "tokenizer.model, byte 6: the score of piece 0 is not a number",
    ],
    [
      "another file altogether",
      [...Buffer.from("GGUF\x03\0\0\0")],
      "tokenizer.model, byte 0: field 8 has wire type 7, which is not supported",
    ],
  ];

  test.each(refused)("%s is refused with its place", (_, bytes, message) => {
    const error = errorOf(() => read(...bytes));
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).message).toBe(message);
    expect((error as FormatError).mend).not.toBe("");
  });

  test("cut anywhere, a file is refused or gives the pieces before the cut", () => {
    const bytes = fixture("fable-covered.model");
    const whole = readSentencePiece("whole", bytes);
    for (let end = 0; end < bytes.length; end += 1) {
      const result = resultOf(() => readSentencePiece("cut", bytes.subarray(0, end)));
      if (result instanceof FormatError) continue;
      const { pieces } = result as SentencePieceModel;
      expect(pieces).toEqual(whole.pieces.slice(0, pieces.length));
    }
  });

  test("with any bytes changed, a file is read or refused, and nothing else happens", () => {
    const bytes = fixture("fable-covered.model");
    const change = fc.record({ at: fc.nat(bytes.length - 1), to: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const damaged = Uint8Array.from(bytes);
        for (const { at, to } of changes) damaged[at] = to;
        const result = resultOf(() => readSentencePiece("damaged", damaged));
        return result instanceof FormatError || !(result instanceof Error);
      }),
    );
  });
});

describe("writing", () => {
  test("what is written reads back the same", () => {
    const types: PieceType[] = ["normal", "unknown", "control", "user_defined", "unused", "byte"];
    const piece = fc.record({
      piece: fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !/\p{Surrogate}/u.test(text)),
      score: fc.float({ noNaN: true }),
      type: fc.constantFrom(...types),
    });
    const trainer = fc.record({
      modelType: fc.constantFrom("unigram" as const, "bpe" as const),
      vocabSize: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      inputSentenceSize: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
      padId: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      userDefinedSymbols: fc.array(fc.constantFrom("x", "", "▁y")),
      splitDigits: fc.boolean(),
      unkSurface: fc.constantFrom("", " ⁇ "),
    });
    const normalizer = fc.record({ addDummyPrefix: fc.boolean(), escapeWhitespaces: fc.boolean() });
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1 }), trainer, normalizer, (pieces, changes, normal) => {
        const model = {
          pieces,
          trainer: { ...defaultTrainer, ...changes },
          normalizer: { ...defaultNormalizer, ...normal },
        };
        expect(readSentencePiece("x", writeSentencePiece(model))).toEqual(model);
      }),
    );
  });

  test("a model with a table of character replacements is not written without it", () => {
    const model = {
      ...read(...onePiece),
      normalizer: { ...defaultNormalizer, name: "nfkc", hasCharsmap: true },
    };
    expect(() => writeSentencePiece(model)).toThrowErrorMatchingInlineSnapshot(
      `[ConfigError: the normaliser "nfkc" has a table of character replacements, which is not written]`,
    );
  });
});

describeWithSharedData("real files", () => {
  test("Meta's tokenizer.model is written with the same bytes", () => {
    const bytes = readFileSync(sharedFile("tokenizer/tokenizer.model"));
    const written = writeSentencePiece(readSentencePiece("tokenizer.model", bytes));
    expect(Buffer.compare(bytes, written)).toBe(0);
  });

  test("Meta's settings are those of the paper's tokenizer", () => {
    const { trainer } = readSentencePiece("x", readFileSync(sharedFile("tokenizer/tokenizer.model")));
    expect(trainer).toMatchObject({
      modelType: "bpe",
      characterCoverage: Math.fround(0.99995),
      inputSentenceSize: 200_000_000,
      maxSentencepieceLength: 16,
      splitDigits: true,
      byteFallback: true,
      padId: -1,
    });
  });

  test("a unigram model with character replacements is read as what it is", () => {
    const model = readSentencePiece("m.model", readFileSync(sharedFile("tokenizer/sentencepiece/m.model")));
    expect(model.pieces).toHaveLength(2000);
    expect(model.trainer.modelType).toBe("unigram");
    expect(model.normalizer).toMatchObject({ name: "nmt_nfkc", hasCharsmap: true });
  });
});

function resultOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

function errorOf(run: () => unknown): Error {
  const result = resultOf(run);
  if (result instanceof Error) return result;
  throw new Error("expected an error");
}
