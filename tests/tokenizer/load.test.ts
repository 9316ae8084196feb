import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/formats/bytes.ts";
import { readGguf } from "../../src/formats/gguf.ts";
import { readLlama2cTokenizer } from "../../src/formats/llama2c.ts";
import { readSentencePiece } from "../../src/formats/sentencepiece.ts";
import { ggufTokenizerMetadata, tokenizerFromGguf, tokenizerFromLlama2c } from "../../src/tokenizer/load.ts";
import { createTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { errorOf } from "../model/error-of.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { fable, modelOf, references } from "./fable.ts";

const tokenizer = fable();
const texts = references.flatMap(({ cases }) => cases.map(({ text }) => text));

function metadataOf(from: Tokenizer): Map<string, unknown> {
  const plain = ggufTokenizerMetadata(from);
  return new Map<string, unknown>([
    ["tokenizer.ggml.model", plain.model],
    ["tokenizer.ggml.tokens", plain.tokens],
    ["tokenizer.ggml.scores", plain.scores],
    ["tokenizer.ggml.token_type", plain.tokenTypes],
    ["tokenizer.ggml.bos_token_id", plain.bosId],
    ["tokenizer.ggml.eos_token_id", plain.eosId],
    ["tokenizer.ggml.unknown_token_id", plain.unkId],
    ["tokenizer.ggml.add_space_prefix", plain.addSpacePrefix],
    ["tokenizer.ggml.remove_extra_whitespaces", plain.removeExtraWhitespaces],
  ]);
}

/** As llama2.c's tokenizer.py exports. */
const exported = (from: Tokenizer): { pieces: Uint8Array[]; scores: Float32Array } => ({
  pieces: from.model.pieces.map(({ piece }, id) => {
    const text = id === 1 ? "\n<s>\n" : id === 2 ? "\n</s>\n" : piece.replaceAll("▁", " ");
    return new TextEncoder().encode(text);
  }),
  scores: Float32Array.from(from.model.pieces, ({ score }) => score),
});

const bytes = (path: string): Buffer => readFileSync(sharedFile(path));

describe("GGUF", () => {
  test("a tokenizer put into metadata and taken out again encodes and decodes the same", () => {
    const back = tokenizerFromGguf(metadataOf(tokenizer));
    for (const text of texts) {
      expect(back.encode(text)).toEqual(tokenizer.encode(text));
      expect(back.decode(back.encode(text))).toBe(tokenizer.decode(tokenizer.encode(text)));
    }
    const { vocabSize, unkId, bosId, eosId, padId } = tokenizer;
    expect(back).toMatchObject({ vocabSize, unkId, bosId, eosId, padId });
  });

  test("how spaces are treated comes along", () => {
    const normalizer = { addDummyPrefix: false, removeExtraWhitespaces: true };
    const back = tokenizerFromGguf(metadataOf(createTokenizer(modelOf(["▁", "a"], { normalizer }))));
    expect([...back.encode(" a  a")]).toEqual([260, 259, 260]);
  });

  test("metadata numbers types as GGUF does and asks for BOS", () => {
    const plain = ggufTokenizerMetadata(tokenizer);
    expect([...plain.tokenTypes.slice(0, 4), plain.tokenTypes[259]]).toEqual([2, 3, 3, 6, 1]);
    expect(plain).toMatchObject({
      model: "llama",
      unkId: 0,
      bosId: 1,
      eosId: 2,
      padId: -1,
      addBos: true,
      addEos: false,
    });
  });

  test.each<[string, (metadata: Map<string, unknown>) => unknown, string]>([
    ["no tokenizer", (m) => m.clear(), 'the GGUF file has no tokenizer, expected "llama"'],
    [
      "another kind",
      (m) => m.set("tokenizer.ggml.model", "gpt2"),
      'the GGUF file has a tokenizer of the kind "gpt2", expected "llama"',
    ],
    [
      "no scores",
      (m) => m.delete("tokenizer.ggml.scores"),
      "the GGUF file has no list tokenizer.ggml.scores",
    ],
    [
      "too few scores",
      (m) => m.set("tokenizer.ggml.scores", new Float32Array(3)),
      "the GGUF file has 480 tokens but 3 items in tokenizer.ggml.scores",
    ],
    [
      "a token that is no text",
      (m) => m.set("tokenizer.ggml.tokens", [7]),
      "item 0 of tokenizer.ggml.tokens is 7",
    ],
    [
      "a type that is none",
      (m) => m.set("tokenizer.ggml.token_type", new Int32Array(480)),
      "token 0 of the GGUF file has type 0, expected 1 to 6",
    ],
    [
      "a score that is no number",
      (m) => m.set("tokenizer.ggml.scores", new Float32Array(480).fill(Number.NaN)),
      "token 0 of the GGUF file has a score that is not a number",
    ],
    [
      "character replacements",
      (m) => m.set("tokenizer.ggml.precompiled_charsmap", new Uint8Array(8)),
      'the tokenizer replaces characters before encoding (normaliser "identity"), which is not supported',
    ],
  ])("%s is refused", (_, damage, message) => {
    const metadata = metadataOf(tokenizer);
    damage(metadata);
    expect(() => tokenizerFromGguf(metadata)).toThrow(
      expect.objectContaining({ name: "ConfigError", message }),
    );
  });
});

describe("llama2.c", () => {
  test("an exported tokenizer encodes and decodes as the original", () => {
    const back = tokenizerFromLlama2c(exported(tokenizer));
    for (const text of texts) {
      expect(back.encode(text)).toEqual(tokenizer.encode(text));
      expect(back.decode(tokenizer.encode(text))).toBe(tokenizer.decode(tokenizer.encode(text)));
    }
    expect(back).toMatchObject({ unkId: 0, bosId: 1, eosId: 2, padId: -1 });
    expect(back.decode([1, 2])).toBe("");
  });

  test("a piece that is not UTF-8 is refused", () => {
    const { pieces, scores } = exported(tokenizer);
    pieces[300] = Uint8Array.of(0xff);
    expect(errorOf(() => tokenizerFromLlama2c({ pieces, scores }))).toBe(
      "ConfigError: piece 300 of the tokenizer is not UTF-8\n  Fetch tokenizer.bin again.",
    );
  });
});

describeWithSharedData("real files", () => {
  const reference = bytes("tokenizer/spm-reference.llama2.jsonl").toString("utf8").trim().split("\n");
  const llama = createTokenizer(readSentencePiece("tokenizer.model", bytes("tokenizer/tokenizer.model")));

  test.each<[string, () => Tokenizer]>([
    [
      "llama.cpp's GGUF vocabulary",
      () => {
        const path = "tokenizer/llama.cpp/ggml-vocab-llama-spm.gguf";
        return tokenizerFromGguf(readGguf(bytesSource(path, bytes(path))).metadata);
      },
    ],
    [
      "llama2.c's tokenizer.bin",
      () => {
        const path = "tokenizer/tokenizer.bin";
        return tokenizerFromLlama2c(readLlama2cTokenizer(bytesSource(path, bytes(path)), 32_000));
      },
    ],
  ])("%s encodes as SentencePiece does", (_, load) => {
    const other = load();
    for (const line of reference) {
      const { text, ids } = JSON.parse(line) as { text: string; ids: number[] };
      expect([...other.encode(text)], text).toEqual(ids);
    }
    expect(other).toMatchObject({ vocabSize: 32_000, unkId: 0, bosId: 1, eosId: 2 });
  });

  test("Meta's file gives llama.cpp's metadata", () => {
    const path = "tokenizer/llama.cpp/ggml-vocab-llama-spm.gguf";
    const { metadata } = readGguf(bytesSource(path, bytes(path)));
    const ours = ggufTokenizerMetadata(llama);
    expect(ours.tokens).toEqual(metadata.get("tokenizer.ggml.tokens"));
    expect(ours.scores).toEqual(metadata.get("tokenizer.ggml.scores"));
    expect(ours.tokenTypes).toEqual(metadata.get("tokenizer.ggml.token_type"));
  });
});
