import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createStreamDecoder } from "../../src/tokenizer/stream.ts";
import { createTokenizer } from "../../src/tokenizer/tokenizer.ts";
import { errorOf } from "../model/error-of.ts";
import { fable, modelOf, references } from "./fable.ts";

const tokenizer = fable();
const idOf = (piece: string): number => tokenizer.model.pieces.findIndex((other) => other.piece === piece);
const bytes = (text: string): number[] => [...Buffer.from(text)].map((byte) => 3 + byte);
const streamed = (decoder: ReturnType<typeof createStreamDecoder>, ids: readonly number[]): string[] => [
  ...ids.map((id) => decoder.push(id)),
  decoder.end(),
];

const collapse = (text: string): string => text.replaceAll(/\uFFFD+/g, "\uFFFD");

describe("decode", () => {
  test("gives back what was encoded", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.replaceAll("▁", " "));
      }),
    );
  });

  test("gives U+FFFD for a lone surrogate, the only text that is lost", () => {
    const units = fc
      .array(fc.constantFrom(0xd83e, 0xdd99, 0x61, 0x20))
      .map((codes) => String.fromCharCode(...codes));
    fc.assert(
      fc.property(units, (text) => {
        const wellFormed = text.replaceAll(/\p{Surrogate}/gu, "\uFFFD");
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(wellFormed);
      }),
    );
  });

  test("drops one leading space, of the first piece that has text", () => {
    const [space, the] = [idOf("▁"), idOf("▁the")];
    expect(tokenizer.decode([the, the])).toBe("the the");
    expect(tokenizer.decode([space])).toBe("");
    expect(tokenizer.decode([space, the])).toBe(" the");
    expect(tokenizer.decode([1, the, 2])).toBe("the");
    expect(tokenizer.decode([...bytes("\n"), the])).toBe("\n the");
  });

  test("shows unknown pieces and hides control pieces", () => {
    expect(tokenizer.decode([idOf("▁the"), 0])).toBe("the \u2047 ");
    expect(tokenizer.decode([1, 2, 1])).toBe("");
  });

  test("puts U+FFFD for each byte that is no part of a character", () => {
    expect(tokenizer.decode([3 + 0xff, ...bytes("a")])).toBe("\uFFFDa");
    // Two bytes of three, then text: not one U+FFFD for both.
    expect(tokenizer.decode([3 + 0xe6, 3 + 0xb5, ...bytes("a")])).toBe("\uFFFD\uFFFDa");
    // A surrogate, an overlong slash, a number past U+10FFFF.
    expect(tokenizer.decode([3 + 0xed, 3 + 0xa0, 3 + 0x80])).toBe("\uFFFD\uFFFD\uFFFD");
    expect(tokenizer.decode([3 + 0xc0, 3 + 0xaf])).toBe("\uFFFD\uFFFD");
    expect(tokenizer.decode([3 + 0xf4, 3 + 0x90, 3 + 0x80, 3 + 0x80])).toBe("\uFFFD\uFFFD\uFFFD\uFFFD");
  });

  test("reads bytes as the Encoding standard does, but for how many U+FFFD a cut character makes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (raw) => {
        const expected = new TextDecoder("utf-8", { ignoreBOM: true }).decode(raw);
        expect(collapse(tokenizer.decode(Array.from(raw, (byte) => 3 + byte)))).toBe(collapse(expected));
      }),
      { numRuns: 1000 },
    );
  });

  test("with remove_extra_whitespaces, drops every leading space", () => {
    const tidy = createTokenizer(modelOf(["▁", "▁a"], { normalizer: { removeExtraWhitespaces: true } }));
    expect(tidy.decode([259, 259, 260, 260])).toBe("a a");
  });

  test.each(references)("$model decodes as SentencePiece does", ({ model, cases, decoding }) => {
    const other = fable(model);
    for (const { ids, decoded } of [...cases, ...decoding])
      expect(other.decode(ids), String(ids)).toBe(decoded);
  });

  test("an id out of range is refused with the range", () => {
    expect(errorOf(() => tokenizer.decode([480]))).toBe(
      "ConfigError: token id 480 is not one of this tokenizer's, which are 0 to 479\n" +
        "  Use the tokenizer that belongs to the model.",
    );
    expect(() => tokenizer.decode([-1])).toThrow("token id -1");
    expect(() => tokenizer.pieceBytes(480)).toThrow("token id 480");
  });
});

describe("pieceBytes", () => {
  test("is the UTF-8 of one piece, leading space included", () => {
    expect(Buffer.from(tokenizer.pieceBytes(idOf("▁the"))).toString()).toBe(" the");
    expect([...tokenizer.pieceBytes(3 + 0xe6)]).toEqual([0xe6]);
    expect([...tokenizer.pieceBytes(1)]).toEqual([]);
  });

  test("put together, gives the bytes of the text and the space in front of it", () => {
    const text = "海 means sea 🦙";
    const joined = Buffer.concat([...tokenizer.encode(text)].map((id) => tokenizer.pieceBytes(id)));
    expect(joined.toString()).toBe(` ${text}`);
  });
});

describe("streaming", () => {
  test("the texts put together are the decoded text, for any ids", () => {
    const ids = fc.array(fc.nat(tokenizer.vocabSize - 1));
    const nastyIds = fc.array(
      fc.constantFrom(0, 1, 2, idOf("▁"), idOf("▁the"), ...bytes("海🦙é\n"), 3 + 0xff),
    );
    fc.assert(
      fc.property(fc.oneof(ids, nastyIds), (list) => {
        expect(streamed(createStreamDecoder(tokenizer), list).join("")).toBe(tokenizer.decode(list));
      }),
      { numRuns: 500 },
    );
  });

  test("a character comes with its last byte, and not in halves", () => {
    expect(streamed(createStreamDecoder(tokenizer), bytes("🦙"))).toEqual(["", "", "", "🦙", ""]);
  });

  test("a byte that cannot become a character comes at once", () => {
    expect(createStreamDecoder(tokenizer).push(3 + 0xff)).toBe("\uFFFD");
    const decoder = createStreamDecoder(tokenizer);
    expect([decoder.push(3 + 0xe6), decoder.push(3 + 0x41)]).toEqual(["", "\uFFFDA"]);
  });

  test("an unfinished character comes as U+FFFD at the end, and only once", () => {
    const decoder = createStreamDecoder(tokenizer);
    decoder.push(3 + 0xe6);
    expect([decoder.end(), decoder.end()]).toEqual(["\uFFFD", ""]);
  });

  test("after a prompt, the text is what follows it", () => {
    const following = (prompt: Int32Array, id: number): string =>
      createStreamDecoder(tokenizer, prompt).push(id);
    expect(following(tokenizer.encode("the llama"), idOf("▁the"))).toBe(" the");
    expect(following(Int32Array.of(1), idOf("▁the"))).toBe("the");
    expect(following(Int32Array.from(bytes("🦙").slice(0, 3)), bytes("🦙")[3]!)).toBe("🦙");
  });

  test("a prompt and what follows it are the whole, wherever the text is cut", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.nat(), (text, at) => {
        const ids = [...tokenizer.encode(text)];
        const cut = ids.length === 0 ? 0 : at % ids.length;
        const prompt = tokenizer.decode(ids.slice(0, cut));
        // Only where the prompt ends between characters; inside one, what was shown is U+FFFD.
        fc.pre(!prompt.includes("\uFFFD"));
        const rest = streamed(createStreamDecoder(tokenizer, ids.slice(0, cut)), ids.slice(cut)).join("");
        expect(prompt + rest).toBe(tokenizer.decode(ids));
      }),
    );
  });
});
