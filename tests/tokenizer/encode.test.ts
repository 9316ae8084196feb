import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readSentencePiece } from "../../src/formats/sentencepiece.ts";
import { createTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { fable, modelOf, naiveEncode, references } from "./fable.ts";

const encode = (tokenizer: Tokenizer, text: string): number[] => [...tokenizer.encode(text)];
/** First ordinary id of `modelOf`. */
const first = 259;

const load = (path: string): Tokenizer =>
  createTokenizer(readSentencePiece(path, readFileSync(sharedFile(path))));
const lines = (path: string): { text: string; ids: number[] }[] =>
  readFileSync(sharedFile(path), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { text: string; ids: number[] });

describe("the rule", () => {
  test("the highest score merges first, not the longest piece", () => {
    // "▁abc" could be ▁ab + c; bc comes before ab.
    const tokenizer = createTokenizer(modelOf(["bc", "ab", "▁", "a", "b", "c"]));
    expect(encode(tokenizer, "abc")).toEqual([first + 2, first + 3, first]);
  });

  test("of equal scores the leftmost merges first", () => {
    const tokenizer = createTokenizer(modelOf(["aa", "▁", "a"]));
    expect(encode(tokenizer, "aaa")).toEqual([first + 1, first, first + 2]);
  });

  test("a merge makes new merges possible, on both sides", () => {
    const tokenizer = createTokenizer(modelOf(["bc", "abc", "▁abcd", "▁", "abcd", "a", "b", "c", "d"]));
    expect(encode(tokenizer, "abcd")).toEqual([first + 2]);
  });

  test("nothing in, nothing out; a space is put in front of anything else", () => {
    const tokenizer = createTokenizer(modelOf(["▁", "a"]));
    expect(encode(tokenizer, "")).toEqual([]);
    expect(encode(tokenizer, "a")).toEqual([first, first + 1]);
  });

  test("a piece may be reached through characters that are no pieces themselves", () => {
    const tokenizer = createTokenizer(modelOf(["xy", "▁"]));
    expect(encode(tokenizer, "xyx")).toEqual([first + 1, first, 3 + 0x78]);
  });

  test("characters without a piece are spelt in UTF-8 bytes", () => {
    const tokenizer = createTokenizer(modelOf(["▁"]));
    const bytes = [...Buffer.from("é€🦙\0")].map((byte) => 3 + byte);
    expect(encode(tokenizer, "é€🦙\0")).toEqual([first, ...bytes]);
  });

  test("a lone surrogate is U+FFFD", () => {
    const tokenizer = createTokenizer(modelOf(["▁", "\uFFFD"]));
    expect(encode(tokenizer, "\uD83E")).toEqual([first, first + 1]);
    expect(encode(tokenizer, "\uDD99\uD83E")).toEqual([first, first + 1, first + 1]);
  });

  test("text that reads like a special or byte piece is text", () => {
    const tokenizer = createTokenizer(modelOf(["▁", "<", "s", ">", "/"]));
    const [space, open, s, close, slash] = [first, first + 1, first + 2, first + 3, first + 4];
    expect(encode(tokenizer, "<s></s>")).toEqual([space, open, s, close, open, slash, s, close]);
    expect(encode(tokenizer, "<0x0A>").slice(0, 3)).toEqual([space, open, 3 + 0x30]);
  });

  test("without byte fallback a run of unknown characters is one unknown id, across words too", () => {
    const tokenizer = createTokenizer(modelOf(["▁", "a"], { trainer: { byteFallback: false } }));
    expect(encode(tokenizer, "xyzaxy")).toEqual([3, 0, 4, 0]);
    const bare = createTokenizer(modelOf(["a"], { trainer: { byteFallback: false } }));
    expect(encode(bare, "x y za")).toEqual([0, 3]);
  });

  test("with remove_extra_whitespaces, runs of spaces are one and those at the ends none", () => {
    const tokenizer = createTokenizer(modelOf(["▁", "a"], { normalizer: { removeExtraWhitespaces: true } }));
    expect(encode(tokenizer, "  a   a ")).toEqual(encode(tokenizer, "a a"));
    expect(encode(tokenizer, "a a")).toEqual([first, first + 1, first, first + 1]);
    expect(encode(tokenizer, "   ")).toEqual([]);
    expect(encode(tokenizer, "▁")).toEqual([]);
  });

  test("without a dummy prefix the first word has no space", () => {
    const tokenizer = createTokenizer(modelOf(["▁", "a"], { normalizer: { addDummyPrefix: false } }));
    expect(encode(tokenizer, "a a")).toEqual([first + 1, first, first + 1]);
  });

  test("user-defined pieces are found first, the longest at each place, and never merge", () => {
    const more = ["ab", "abc", "x.y", "▁("].map((piece) => ({
      piece,
      score: 0,
      type: "user_defined" as const,
    }));
    const tokenizer = createTokenizer(modelOf(["ca", "▁", "a", "b", "c", "z"], { more }));
    const [ab, abc, dotted, spaced] = [first + 6, first + 7, first + 8, first + 9];
    expect(encode(tokenizer, "zabca")).toEqual([first + 1, first + 5, abc, first + 2]);
    expect(encode(tokenizer, "cab")).toEqual([first + 1, first + 4, ab]);
    expect(encode(tokenizer, "x.y")).toEqual([first + 1, dotted]);
    expect(encode(tokenizer, "a (")).toEqual([first + 1, first + 2, spaced]);
    expect(encode(tokenizer, "xzy")).not.toContain(dotted);
  });

  test("unused pieces are not made", () => {
    const more = [{ piece: "ab", score: 1, type: "unused" as const }];
    const tokenizer = createTokenizer(modelOf(["▁", "a", "b"], { more }));
    expect(encode(tokenizer, "ab")).toEqual([first, first + 1, first + 2]);
  });
});

describe("against the rule word for word", () => {
  const letters = fc.string({
    unit: fc.constantFrom("a", "b", "c", " ", "▁", "é", "🦙", "\n"),
    maxLength: 70,
  });
  const pieces = fc.uniqueArray(
    fc.string({ unit: fc.constantFrom("a", "b", "c", "▁", "é", "🦙"), minLength: 1, maxLength: 4 }),
    { maxLength: 24 },
  );

  test("random vocabularies, whether or not their pieces reach over spaces", () => {
    fc.assert(
      fc.property(
        pieces,
        fc.array(letters, { maxLength: 4 }),
        fc.boolean(),
        (normal, texts, byteFallback) => {
          const model = modelOf(normal, { trainer: { byteFallback } });
          const tokenizer = createTokenizer(model);
          // Each twice, so that the second comes from the cache.
          for (const text of [...texts, ...texts])
            expect(encode(tokenizer, text)).toEqual(naiveEncode(model, text));
        },
      ),
      { numRuns: 400 },
    );
  });

  test("equal scores", () => {
    fc.assert(
      fc.property(pieces, letters, fc.integer({ min: 1, max: 3 }), (normal, text, distinct) => {
        const model = modelOf(normal);
        const tied = {
          ...model,
          pieces: model.pieces.map(({ piece, score, type }) => {
            return { piece, score: -(-score % distinct), type };
          }),
        };
        expect(encode(createTokenizer(tied), text)).toEqual(naiveEncode(tied, text));
      }),
      { numRuns: 400 },
    );
  });

  test("stretches long enough for the heap", () => {
    const long = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 49, maxLength: 160 });
    fc.assert(
      fc.property(pieces, long, (normal, text) => {
        const model = modelOf(normal);
        expect(encode(createTokenizer(model), text)).toEqual(naiveEncode(model, text));
      }),
      { numRuns: 300 },
    );
  });

  test("any Unicode text", () => {
    const tokenizer = fable();
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(encode(tokenizer, text)).toEqual(naiveEncode(tokenizer.model, text));
      }),
    );
  });
});

describe("SentencePiece's own answers", () => {
  test.each(references)("$model encodes as it does there", ({ model, cases }) => {
    const tokenizer = fable(model);
    expect(cases.length).toBeGreaterThan(20);
    for (const { text, ids } of cases) expect(encode(tokenizer, text), JSON.stringify(text)).toEqual(ids);
  });
});

describe("size", () => {
  // Quadratic time would take hours for each of these.
  test.each([
    ["letters without a space", "a".repeat(2_000_000)],
    ["spaces without a letter", " ".repeat(2_000_000)],
    ["short words", "the llama ".repeat(200_000)],
    ["ever new words", Array.from({ length: 300_000 }, (_, i) => `w${i.toString(36)}`).join(" ")],
  ])("millions of %s come back whole", (_, text) => {
    const tokenizer = fable();
    expect(tokenizer.decode(tokenizer.encode(text)) === text).toBe(true);
  });
});

describe("models that are refused", () => {
  test.each<[string, () => unknown, string]>([
    [
      "unigram",
      () => createTokenizer(modelOf([], { trainer: { modelType: "unigram" } })),
      'the tokenizer is a SentencePiece "unigram" model, not "bpe"',
    ],
    [
      "character replacements",
      () => createTokenizer(modelOf([], { normalizer: { name: "nmt_nfkc", hasCharsmap: true } })),
      'the tokenizer replaces characters before encoding (normaliser "nmt_nfkc"), which is not supported',
    ],
    [
      "spaces not escaped",
      () => createTokenizer(modelOf([], { normalizer: { escapeWhitespaces: false } })),
      "the tokenizer has escape_whitespaces=false and treat_whitespace_as_suffix=false",
    ],
    [
      "two pieces with one text",
      () => createTokenizer(modelOf(["a", "b", "a"])),
      'pieces 259 and 261 of the tokenizer are both "a"',
    ],
    [
      "no unknown piece",
      () => createTokenizer({ ...modelOf([]), pieces: [{ piece: "a", score: 0, type: "normal" }] }),
      "the tokenizer has 0 unknown pieces, it needs one",
    ],
    [
      "a byte missing",
      () => {
        const model = modelOf([]);
        return createTokenizer({ ...model, pieces: model.pieces.filter(({ piece }) => piece !== "<0x0A>") });
      },
      "the tokenizer has byte fallback but no piece <0x0A>",
    ],
    [
      "a byte piece that names none",
      () => createTokenizer(modelOf([], { more: [{ piece: "<0xG0>", score: 0, type: "byte" }] })),
      'piece 259 of the tokenizer, "<0xG0>", is of type byte but names none',
    ],
  ])("%s", (_, create, message) => {
    expect(create).toThrow(expect.objectContaining({ name: "ConfigError", message }));
  });
});

describeWithSharedData("Llama 2's tokenizer", () => {
  test.each([
    ["tokenizer/tokenizer.model", "tokenizer/spm-reference.llama2.jsonl", 372],
    ["tokenizer/tokenizer.model", "tokenizer/spm-reference.llama2.multiline.jsonl", 48],
    ["weights/stories260K/tok512.model", "tokenizer/spm-reference.tok512.jsonl", 372],
  ])("%s encodes %s as SentencePiece does", (model, path, count) => {
    const tokenizer = load(model);
    const cases = lines(path);
    expect(cases).toHaveLength(count);
    for (const { text, ids } of cases) expect(encode(tokenizer, text), text).toEqual(ids);
  });

  test("llama.cpp's 47 hard cases", () => {
    const tokenizer = load("tokenizer/tokenizer.model");
    const path = "tokenizer/llama.cpp/ggml-vocab-llama-spm.gguf";
    const inputs = readFileSync(sharedFile(`${path}.inp`), "utf8").split("\n__ggml_vocab_test__\n");
    const outputs = readFileSync(sharedFile(`${path}.out`), "utf8").split("\n");
    expect(inputs).toHaveLength(47);
    for (const [i, text] of inputs.entries()) {
      expect(encode(tokenizer, text).join(" "), JSON.stringify(text)).toBe(outputs[i]!.trim());
    }
  });

  test.each<[string, number[]]>([
    ["", []],
    ["a", [263]],
    [" ", [259]],
    ["  ", [1678]],
    ["   ", [268]],
    [" ".repeat(15), [462]],
    [" ".repeat(16), [462, 29871]],
    [" ".repeat(17), [462, 259]],
    ["\n", [29871, 13]],
    ["\n\n", [29871, 13, 13]],
    ["\t", [29871, 12]],
    ["\r\n", [6756, 13]],
    ["Hello", [15043]],
    [" Hello", [29871, 15043]],
    ["Hello\nworld", [15043, 13, 11526]],
    ["Hi  Hello", [6324, 29871, 15043]],
    ["12345", [29871, 29896, 29906, 29941, 29946, 29945]],
    ["生活的真谛是", [29871, 30486, 31704, 30210, 30848, 235, 179, 158, 30392]],
    ["🦙", [29871, 243, 162, 169, 156]],
    ["e\u0301", [321, 30103]],
    ["\u00a0", [20246]],
    ["<s>", [529, 29879, 29958]],
    ["<0x0A>", [529, 29900, 29916, 29900, 29909, 29958]],
    ["[INST]", [518, 25580, 29962]],
    ["[/INST]", [518, 29914, 25580, 29962]],
    ["<<SYS>>", [3532, 14816, 29903, 6778]],
    ["<</SYS>>", [529, 829, 14816, 29903, 6778]],
    ["x".repeat(20), [921, 14633, 14633, 14633, 14633, 12353]],
    [
      "Simply put, the theory of relativity states that ",
      [3439, 17632, 1925, 29892, 278, 6368, 310, 14215, 537, 5922, 393, 29871],
    ],
  ])("%j", (text, ids) => {
    expect(encode(load("tokenizer/tokenizer.model"), text)).toEqual(ids);
  });

  test("special ids are 0, 1, 2 and no padding", () => {
    const { vocabSize, unkId, bosId, eosId, padId } = load("tokenizer/tokenizer.model");
    expect({ vocabSize, unkId, bosId, eosId, padId }).toEqual({
      vocabSize: 32_000,
      unkId: 0,
      bosId: 1,
      eosId: 2,
      padId: -1,
    });
  });

  test("a unigram model is refused, not encoded some other way", () => {
    expect(() => load("tokenizer/sentencepiece/m.model")).toThrow('a SentencePiece "unigram" model');
  });
});
