import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { tokenizerConfigJson, writeTokenizerJson } from "../../src/formats/tokenizer-json.ts";
import { ggufTokenizerValues } from "../../src/model/gguf-tokenizer.ts";
import { tokenizerFromGguf } from "../../src/tokenizer/load.ts";
import { openTokenizer } from "../../src/tokenizer/open.ts";
import { unusedIds, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { errorOf } from "../model/error-of.ts";
import { fable, fixture } from "./fable.ts";

const plain = fable();
const size = plain.vocabSize;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-added-"));
  writeFileSync(join(folder, "tokenizer.model"), fixture("fable.model"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function put(name: string, content: unknown): void {
  writeFileSync(join(folder, name), JSON.stringify(content));
}

const typeOf = ({ model }: Tokenizer, id: number): string | undefined => model.pieces[id]?.type;

describe("beside a tokenizer.model", () => {
  test("added_tokens.json, whose special tokens special_tokens_map.json names", () => {
    put("added_tokens.json", { "<pad>": size, "<|note|>": size + 1 });
    put("special_tokens_map.json", { bos_token: { content: "<s>" }, additional_special_tokens: ["<pad>"] });
    const tokenizer = openTokenizer(folder);
    expect([...tokenizer.encode("the<|note|>llama")]).toEqual([
      ...plain.encode("the"),
      size + 1,
      ...plain.encode("llama"),
    ]);
    expect([...tokenizer.encode("<pad>")]).toEqual([...plain.encode("<pad>")]);
    expect(tokenizer.decode([size, size + 1, size])).toBe("<|note|>");
    expect(typeOf(tokenizer, size)).toBe("control");
  });

  test("added_tokens_decoder of tokenizer_config.json, which overrules", () => {
    put("added_tokens.json", { "<|end|>": size });
    put("tokenizer_config.json", {
      added_tokens_decoder: {
        "1": { content: "<s>", special: true },
        [size]: { content: "<|end|>", special: true },
        [size + 1]: { content: "<x>", special: false, normalized: false, rstrip: true },
      },
    });
    const tokenizer = openTokenizer(folder);
    expect([...tokenizer.encode("<|end|>")]).toEqual([...plain.encode("<|end|>")]);
    expect([...tokenizer.encode("<x> \n the")]).toEqual([size + 1, ...plain.encode("the")]);
    expect(tokenizer).toMatchObject({ vocabSize: size + 2, unkId: 0, bosId: 1, eosId: 2 });
  });

  test("added_tokens of tokenizer.json", () => {
    put("tokenizer.json", {
      added_tokens: [{ id: size, content: "<x>", special: false, normalized: false }],
    });
    expect([...openTokenizer(folder).encode("<x>")]).toEqual([size]);
  });

  test("ids in between are unused: no text has them, and they decode to nothing", () => {
    put("added_tokens.json", { "<x>": size + 3 });
    const tokenizer = openTokenizer(folder);
    expect(unusedIds(tokenizer)).toEqual([size, size + 1, size + 2]);
    expect(tokenizer.decode([size, ...plain.encode("the"), size + 2])).toBe(
      plain.decode([2, ...plain.encode("the")]),
    );
    expect([...tokenizer.encode(`[PAD${size}]`)]).toEqual([...plain.encode(`[PAD${size}]`)]);
  });

  test("a whole word is not found inside of another", () => {
    const token = { id: size, content: "ax", special: false, normalized: false, single_word: true };
    put("tokenizer.json", { added_tokens: [token] });
    const tokenizer = openTokenizer(folder);
    expect([...tokenizer.encode("ax,ax")].filter((id) => id === size)).toHaveLength(2);
    expect([...tokenizer.encode("taxi ax_ éax")]).toEqual([...plain.encode("taxi ax_ éax")]);
  });

  test.each<[string, string, unknown, string]>([
    ["a list", "added_tokens.json", [1], "is not a JSON object"],
    ["no id", "added_tokens.json", { "<x>": "7" }, "an added token has no text or no id"],
    [
      "a huge id",
      "added_tokens.json",
      { "<x>": 1e9 },
      'the added token "<x>" has the id 1000000000, and the tokenizer 480 pieces',
    ],
    ["no list", "tokenizer.json", { added_tokens: 1 }, '"added_tokens" is not a list'],
    [
      "no object",
      "tokenizer_config.json",
      { added_tokens_decoder: 1 },
      '"added_tokens_decoder" is not an object',
    ],
    [
      "no text",
      "tokenizer_config.json",
      { added_tokens_decoder: { 480: 1 } },
      "an added token is not an object",
    ],
  ])("%s in %s is refused", (_, name, content, message) => {
    put(name, content);
    expect(errorOf(() => openTokenizer(folder))).toContain(`FormatError: ${folder}`);
    expect(errorOf(() => openTokenizer(folder))).toContain(message);
  });
});

describe("written again, added tokens are the same", () => {
  const texts = ["the<|note|> llama", "<|note|><|note|>", "a <|end|> b"];

  beforeEach(() => {
    put("tokenizer_config.json", {
      added_tokens_decoder: {
        [size]: { content: "<|note|>", special: false, normalized: false },
        [size + 2]: { content: "<|end|>", special: true },
      },
    });
  });

  test("as Hugging Face's files", () => {
    const tokenizer = openTokenizer(folder);
    const before = texts.map((text) => tokenizer.encode(text));
    put("tokenizer_config.json", tokenizerConfigJson(tokenizer, ""));
    expect(openTokenizer(folder).model).toEqual(tokenizer.model);
    writeFileSync(join(folder, "tokenizer.json"), writeTokenizerJson(tokenizer.model));
    rmSync(join(folder, "tokenizer_config.json"));
    const back = openTokenizer(join(folder, "tokenizer.json"));
    expect(texts.map((text) => back.encode(text))).toEqual(before);
    expect(unusedIds(back)).toEqual([size + 1]);
  });

  test("as GGUF, where padding fills the list up to the model's rows", () => {
    const tokenizer = openTokenizer(folder);
    const values = ggufTokenizerValues(tokenizer, 512);
    expect(values.get("tokenizer.ggml.token_type")).toMatchObject({ value: { length: 512 } });
    const metadata = new Map([...values].map(([key, { value }]) => [key, value]));
    const back = tokenizerFromGguf(metadata);
    expect(back.vocabSize).toBe(size + 3);
    expect(texts.map((text) => back.encode(text))).toEqual(texts.map((text) => tokenizer.encode(text)));
    expect(typeOf(back, size + 2)).toBe("control");
  });
});
