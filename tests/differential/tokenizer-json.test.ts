import { readFileSync } from "node:fs";
import { Tokenizer as HuggingFace } from "@huggingface/tokenizers";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readSentencePiece } from "../../src/formats/sentencepiece.ts";
import {
  readTokenizerJson,
  tokenizerConfigJson,
  writeTokenizerJson,
} from "../../src/formats/tokenizer-json.ts";
import { createTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { fable, fableText, modelOf, references } from "../tokenizer/fable.ts";

const ours = fable();
const huggingFace = (tokenizer: Tokenizer): HuggingFace =>
  new HuggingFace(
    JSON.parse(writeTokenizerJson(tokenizer.model)) as object,
    tokenizerConfigJson(tokenizer, ""),
  );
const idsOf = (other: HuggingFace, text: string): number[] =>
  other.encode(text, { add_special_tokens: false }).ids;
/** There, text that reads like a special token is one; here it is text. */
const hasSpecial = (text: string): boolean => /<unk>|<\/?s>/.test(text);

describe("the tokenizer.json we write", () => {
  const theirs = huggingFace(ours);

  test("encodes in Hugging Face's library as here", () => {
    const texts = [fableText, ...references.flatMap(({ cases }) => cases.map(({ text }) => text))];
    const plain = texts.flatMap((text) => text.split("\n")).filter((text) => !hasSpecial(text));
    expect(plain.length).toBeGreaterThan(60);
    for (const text of plain)
      expect(idsOf(theirs, text), JSON.stringify(text)).toEqual([...ours.encode(text)]);
  });

  test("encodes any Unicode text there as here", () => {
    const unit = fc.oneof(
      fc.constantFrom("the", "llama", " ", "  ", "\n", "1", "海", "🦙"),
      fc.string({ unit: "grapheme" }),
    );
    fc.assert(
      fc.property(fc.array(unit), (parts) => {
        const text = parts.join("");
        fc.pre(!hasSpecial(text));
        expect(idsOf(theirs, text)).toEqual([...ours.encode(text)]);
      }),
      { numRuns: 300 },
    );
  });

  test("decodes there as here", () => {
    for (const text of ["The llama walked.", " two  spaces", "海 and 🦙", "a\nb"]) {
      const ids = [...ours.encode(text)];
      expect(theirs.decode(ids, { skip_special_tokens: true })).toBe(ours.decode(ids));
    }
  });

  test("puts BOS in front when asked for special tokens", () => {
    expect(theirs.encode("the").ids).toEqual([1, ...ours.encode("the")]);
  });

  test("collapses spaces there as here when the model does", () => {
    const tidy = createTokenizer(modelOf(["▁a", "▁", "a"], { normalizer: { removeExtraWhitespaces: true } }));
    for (const text of ["  a   a ", "a a", " a"]) {
      expect(idsOf(huggingFace(tidy), text)).toEqual([...tidy.encode(text)]);
    }
  });

  test("read again, encodes the same", () => {
    const back = createTokenizer(readTokenizerJson("tokenizer.json", writeTokenizerJson(ours.model)));
    for (const { cases } of references) {
      for (const { text } of cases) expect(back.encode(text)).toEqual(ours.encode(text));
    }
    const { vocabSize, unkId, bosId, eosId, padId } = ours;
    expect(back).toMatchObject({ vocabSize, unkId, bosId, eosId, padId });
  });

  test("is refused for models it cannot describe", () => {
    const unigram = modelOf(["a"], { trainer: { modelType: "unigram" } });
    expect(() => writeTokenizerJson(unigram)).toThrow('a unigram tokenizer with the normaliser "identity"');
  });
});

test("tokenizer_config.json names the special tokens and carries the chat template", () => {
  expect(tokenizerConfigJson(ours, "{{ messages }}")).toMatchObject({
    tokenizer_class: "LlamaTokenizer",
    add_bos_token: true,
    add_eos_token: false,
    bos_token: "<s>",
    eos_token: "</s>",
    unk_token: "<unk>",
    pad_token: null,
    chat_template: "{{ messages }}",
  });
  expect(tokenizerConfigJson(ours, "")).not.toHaveProperty("chat_template");
});

describe("a tokenizer.json that is not of Llama's kind is refused", () => {
  const model = {
    type: "BPE",
    byte_fallback: true,
    vocab: { "<unk>": 0, a: 1, b: 2, ab: 3 },
    merges: ["a b"],
  };
  test.each<[string, unknown, string]>([
    ["no object", [], "t.json: a tokenizer.json with no object at the top"],
    ["no model", {}, "t.json: a tokenizer.json with no BPE model"],
    [
      "no byte fallback",
      { model: { ...model, byte_fallback: false } },
      "t.json: a tokenizer.json with a BPE model without byte fallback",
    ],
    [
      "an id that is none",
      { model: { ...model, vocab: { a: -1 } } },
      't.json: a tokenizer.json with the id -1 for "a"',
    ],
    [
      "a huge id",
      { model: { ...model, vocab: { a: 2 ** 31 } } },
      't.json: a tokenizer.json with the id 2147483648 for "a"',
    ],
    [
      "a merge that is no pair",
      { model: { ...model, merges: ["a b c"] } },
      "t.json: a tokenizer.json with merge 0, which is not a pair",
    ],
    [
      "a merge into nothing",
      { model: { ...model, merges: [["b", "a"]] } },
      't.json: a tokenizer.json with a merge into "ba", which is not in the vocabulary',
    ],
    [
      "a huge added token",
      { model, added_tokens: [{ id: 1e9, content: "x" }] },
      "t.json: a tokenizer.json with ids from 0 to 1000000000 of which not all are used",
    ],
    [
      "an added token of nothing",
      { model, added_tokens: [{ id: 4 }] },
      "t.json: a tokenizer.json with an added token without text or id",
    ],
    [
      "added tokens that are no list",
      { model, added_tokens: 3 },
      't.json: a tokenizer.json with "added_tokens" that is not a list of objects',
    ],
  ])("%s", (_, file, message) => {
    expect(() => readTokenizerJson("t.json", JSON.stringify(file))).toThrow(
      expect.objectContaining({ name: "FormatError", message }),
    );
  });

  test("no JSON at all", () => {
    expect(() => readTokenizerJson("t.json", "{")).toThrow("t.json: this is not JSON");
  });
});

describeWithSharedData("Llama 2's tokenizer", () => {
  const llama = createTokenizer(
    readSentencePiece("tokenizer.model", readFileSync(sharedFile("tokenizer/tokenizer.model"))),
  );
  const file = readFileSync(sharedFile("tokenizer/hf/llama-test-tokenizer.json"), "utf8");
  const lines = readFileSync(sharedFile("tokenizer/spm-reference.llama2.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { text: string; ids: number[] });

  test("has Hugging Face's own 61 249 merges, in their order, and its vocabulary", () => {
    const written = JSON.parse(writeTokenizerJson(llama.model)) as {
      model: { merges: string[]; vocab: object };
    };
    const theirs = JSON.parse(file) as typeof written;
    expect(written.model.merges).toEqual(theirs.model.merges);
    expect(written.model.vocab).toEqual(theirs.model.vocab);
  });

  test("encodes real lines in Hugging Face's library as SentencePiece does", () => {
    const theirs = huggingFace(llama);
    const plain = lines.filter(({ text }) => !hasSpecial(text));
    expect(plain).toHaveLength(lines.length - 3);
    for (const { text, ids } of plain) expect(idsOf(theirs, text), text).toEqual(ids);
  });

  test("is read from Hugging Face's file, added tokens included", () => {
    const read = createTokenizer(readTokenizerJson("tokenizer.json", file));
    for (const { text, ids } of lines) expect([...read.encode(text)], text).toEqual(ids);
    expect(read).toMatchObject({ vocabSize: 32_003, unkId: 0, bosId: 1, eosId: 2 });
    expect([...read.encode("to |||EMAIL_ADDRESS|||")]).toContain(32_000);
  });
});
