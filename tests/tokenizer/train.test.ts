import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readSentencePiece } from "../../src/formats/sentencepiece.ts";
import { createTokenizer } from "../../src/tokenizer/tokenizer.ts";
import { metaTrainOptions, trainTokenizer, type TrainOptions } from "../../src/tokenizer/train.ts";
import { errorOf } from "../model/error-of.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { fableText, fixture } from "./fable.ts";

/** What was learnt, without the special and byte pieces. */
function learnt(text: string | string[], vocabSize: number, options: Partial<TrainOptions> = {}): string[] {
  const texts = typeof text === "string" ? [text] : text;
  const model = trainTokenizer(texts, { characterCoverage: 1, ...options, vocabSize });
  return model.pieces.filter(({ type }) => type === "normal").map(({ piece }) => piece);
}

/** Of the pieces learnt from eight letters in a row, twice. */
const longest = (maxPieceLength: number): number =>
  Math.max(...learnt("aaaaaaaa aaaaaaaa", 259 + 2 + 2, { maxPieceLength }).map((piece) => piece.length));

describe("the vocabulary", () => {
  test("is unknown, BOS, EOS, bytes, merges in the order they were made, characters by frequency", () => {
    // ▁ab three times, ▁b once: "ab" and "▁a" are equally frequent; "ab" comes first by code point.
    const { pieces } = trainTokenizer(["ab ab ab b"], { vocabSize: 264, characterCoverage: 1 });
    expect(pieces.slice(0, 4).map(({ piece, type }) => [piece, type])).toEqual([
      ["<unk>", "unknown"],
      ["<s>", "control"],
      ["</s>", "control"],
      ["<0x00>", "byte"],
    ]);
    expect(pieces.slice(258)).toEqual([
      { piece: "<0xFF>", score: 0, type: "byte" },
      { piece: "ab", score: -0, type: "normal" },
      { piece: "▁ab", score: -1, type: "normal" },
      { piece: "b", score: -2, type: "normal" },
      { piece: "▁", score: -3, type: "normal" },
      { piece: "a", score: -4, type: "normal" },
    ]);
  });

  test("has the most frequent pair first, then the shorter, then the first by code point", () => {
    expect(learnt("xy xy xy zw", 259 + 1 + 5)[0]).toBe("xy");
    // ▁x, xy, ▁xy all as frequent: "xy" < "▁x" by code point, "▁xy" is longer.
    expect(learnt("xy", 259 + 2 + 3).slice(0, 2)).toEqual(["xy", "▁xy"]);
    // U+1F600 is after U+FF5E by code point, before it in UTF-16.
    expect(learnt(["\u{1F600}\u{1F600}\u{1F600}", "\uFF5E\uFF5E\uFF5E"], 259 + 1 + 3)[0]).toBe(
      "\uFF5E\uFF5E",
    );
  });

  test("has exactly the size asked for, from the smallest to the largest the text gives", () => {
    for (const vocabSize of [262, 263, 264]) {
      expect(trainTokenizer(["xy"], { vocabSize }).pieces).toHaveLength(vocabSize);
    }
  });

  test("has no bytes without byte fallback", () => {
    const { pieces, trainer } = trainTokenizer(["xy"], { vocabSize: 6, byteFallback: false });
    expect(pieces.map(({ piece }) => piece)).toEqual(["<unk>", "<s>", "</s>", "x", "y", "▁"]);
    expect(trainer.byteFallback).toBe(false);
  });

  test("says how it was made", () => {
    const { trainer, normalizer } = trainTokenizer(["xy"], { vocabSize: 262, maxPieceLength: 8 });
    expect(trainer).toMatchObject({
      modelType: "bpe",
      vocabSize: 262,
      maxSentencepieceLength: 8,
      characterCoverage: Math.fround(0.99995),
      splitDigits: true,
      byteFallback: true,
      allowWhitespaceOnlyPieces: true,
    });
    expect(normalizer).toMatchObject({
      name: "identity",
      addDummyPrefix: true,
      removeExtraWhitespaces: false,
    });
  });
});

describe("what can be a piece", () => {
  test("nothing reaches over a space or a line", () => {
    const pieces = learnt("to be to be\nto be", 268);
    expect(pieces).toContain("▁to");
    expect(pieces.filter((piece) => /.▁/.test(piece) || piece.includes("\n"))).toEqual([]);
  });

  test("each line begins with a space, and empty lines with nothing", () => {
    // ▁a twice; if empty lines counted, ▁ would be more frequent than a.
    const { pieces } = trainTokenizer(["a\n\n\n\na\n"], { vocabSize: 261 });
    expect(pieces.slice(259).map(({ piece }) => piece)).toEqual(["a", "▁"]);
  });

  test("digits stay apart, unless asked otherwise", () => {
    const text = "1066 1066 1066";
    expect(learnt(text, 263).filter((piece) => piece.length > 1)).toEqual([]);
    expect(learnt(text, 264, { splitDigits: false }).filter((piece) => piece.length > 1)).toEqual(["06"]);
  });

  test("scripts do not mix, but Japanese ones do", () => {
    const pieces = learnt("aж aж aж 海の 海の", 267);
    expect(pieces).toContain("▁海の");
    expect(pieces.some((piece) => /a.*ж/.test(piece))).toBe(false);
    expect(learnt("aж aж", 264, { splitByUnicodeScript: false })).toContain("▁aж");
  });

  test("an accent belongs to the letter in front of it", () => {
    expect(learnt("e\u0301 e\u0301", 259 + 2 + 3)).toContain("▁e\u0301");
    // It does not bridge two scripts, whichever letter it was first joined with.
    const mixed = (text: string): boolean =>
      learnt(text, 259 + 5 + 3).some((piece) => /a.*ж|ж.*a/.test(piece));
    expect(mixed("a\u0301 a\u0301ж a\u0301ж a\u0301ж q")).toBe(false);
    expect(mixed("\u0301a ж\u0301a ж\u0301a ж\u0301a q")).toBe(false);
  });

  test("runs of spaces are pieces of their own, unless asked otherwise", () => {
    const text = "a\n    b\n    b\n    b";
    expect(learnt(text, 265)).toContain("▁▁");
    expect(learnt(text, 265).some((piece) => /▁▁[ab]/.test(piece))).toBe(false);
    expect(learnt(text, 264, { allowWhitespaceOnlyPieces: false })).not.toContain("▁▁");
  });

  test("no piece is longer than asked for", () => {
    expect([longest(3), longest(16)]).toEqual([3, 4]);
  });

  test("text that reads like a special piece is not learnt from", () => {
    const pieces = learnt("<s><s><s><0x0A></s> ab", 264);
    expect(pieces.filter((piece) => /[<>s0xA]/.test(piece))).toEqual([]);
  });

  test("rare characters are left to bytes", () => {
    const text = `${"ab ".repeat(400)}q`;
    expect(learnt(text, 264, { characterCoverage: 0.99 })).not.toContain("q");
    expect(learnt(text, 264, { characterCoverage: 1 })).toContain("q");
  });
});

describe("as SentencePiece trains", () => {
  test.each([
    ["fable.txt", "fable.model", 480, 1],
    ["fable.txt", "fable-covered.model", 420, 0.98],
    ["runs.txt", "runs.model", 360, 1],
  ])("%s gives %s, piece by piece", (text, file, vocabSize, characterCoverage) => {
    const { pieces } = trainTokenizer([fixture(text).toString("utf8")], { vocabSize, characterCoverage });
    expect(pieces).toEqual(readSentencePiece(file, fixture(file)).pieces);
  });

  test("how the text is cut into documents at its lines makes no difference", () => {
    const whole = trainTokenizer([fableText], { vocabSize: 480, characterCoverage: 1 });
    expect(trainTokenizer(fableText.split("\n"), { vocabSize: 480, characterCoverage: 1 })).toEqual(whole);
  });
});

describe("use", () => {
  test("any text comes back from a tokenizer trained on any other", () => {
    const text = fc.string({
      unit: fc.constantFrom("a", "b", "é", " ", "\n", "7", "海"),
      minLength: 1,
      maxLength: 60,
    });
    fc.assert(
      fc.property(text, fc.string({ unit: "grapheme" }), (trainedOn, other) => {
        fc.pre(/[^\n]/.test(trainedOn));
        const characters = new Set(`▁${trainedOn.replaceAll("\n", "").replaceAll(" ", "▁")}`).size;
        const model = trainTokenizer([trainedOn], { vocabSize: 259 + characters, characterCoverage: 1 });
        const tokenizer = createTokenizer(model);
        expect(tokenizer.decode(tokenizer.encode(other))).toBe(other.replaceAll("▁", " "));
      }),
    );
  });

  test("encoding the training text needs fewer tokens the more pieces there are", () => {
    const sizes = [330, 360, 420, 480].map((vocabSize) => {
      const model = trainTokenizer([fableText], { vocabSize, characterCoverage: 0.98 });
      return createTokenizer(model).encode(fableText).length;
    });
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    expect(new Set(sizes).size).toBe(4);
  });

  test("progress runs from the first piece to the last", () => {
    const seen: [number, number][] = [];
    trainTokenizer(["xy"], { vocabSize: 264 }, (done, total) => seen.push([done, total]));
    expect(seen).toEqual([
      [1, 2],
      [2, 2],
    ]);
  });

  test("a megabyte without a space trains in linear time", () => {
    // Quadratic time would take hours.
    let state = 1;
    const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 29;
    const text = Array.from({ length: 1_000_000 }, () => "abcdefgh"[next()]).join("");
    expect(trainTokenizer([text], { vocabSize: 500 }).pieces).toHaveLength(500);
  });
});

describe("what cannot be", () => {
  test("a vocabulary with no room for the characters", () => {
    expect(errorOf(() => trainTokenizer(["abc"], { vocabSize: 262, characterCoverage: 1 }))).toBe(
      "ConfigError: a vocabulary of 262 has no room for 259 special and byte pieces and the 4 characters of the text\n" +
        "  Set the vocabulary size to 263 or more, or lower the character coverage (1).",
    );
  });

  test("a vocabulary larger than the text gives", () => {
    expect(errorOf(() => trainTokenizer(["xy"], { vocabSize: 300 }))).toBe(
      "ConfigError: the text is too small for a vocabulary of 300: it gives 264 pieces\n" +
        "  Set the vocabulary size to 264 or less, or train on more text.",
    );
  });

  test.each([[[]], [[""]], [["\n\n"]]])("no text: %j", (texts) => {
    expect(errorOf(() => trainTokenizer(texts, { vocabSize: 300 }))).toBe(
      "ConfigError: there is no text to train a tokenizer on\n  Check that the corpus is not empty.",
    );
  });

  test.each([
    [{ vocabSize: 0 }, "a vocabulary size of 0 is not a whole number from 1 to 2097152"],
    [{ vocabSize: 2 ** 31 }, "a vocabulary size of 2147483648 is not a whole number from 1 to 2097152"],
    [{ vocabSize: 300.5 }, "a vocabulary size of 300.5 is not a whole number from 1 to 2097152"],
    [{ vocabSize: 300, characterCoverage: 0.5 }, "a character coverage of 0.5 is not between 0.98 and 1"],
    [
      { vocabSize: 300, characterCoverage: Number.NaN },
      "a character coverage of NaN is not between 0.98 and 1",
    ],
    [
      { vocabSize: 300, maxPieceLength: 0 },
      "a longest piece of 0 characters is not a whole number from 1 to 512",
    ],
  ])("options out of range: %j", (options, message) => {
    expect(() => trainTokenizer(["xy"], options)).toThrow(
      expect.objectContaining({ name: "ConfigError", message }),
    );
  });
});

describeWithSharedData("Meta's settings", () => {
  test("are those in Meta's own file", () => {
    const { trainer } = readSentencePiece("x", readFileSync(sharedFile("tokenizer/tokenizer.model")));
    expect(metaTrainOptions).toEqual({
      vocabSize: trainer.vocabSize,
      characterCoverage: 0.99995,
      maxPieceLength: trainer.maxSentencepieceLength,
      splitDigits: trainer.splitDigits,
      splitByNumber: trainer.splitByNumber,
      splitByUnicodeScript: trainer.splitByUnicodeScript,
      byteFallback: trainer.byteFallback,
      allowWhitespaceOnlyPieces: trainer.allowWhitespaceOnlyPieces,
    });
  });
});
