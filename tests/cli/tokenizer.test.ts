import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTokenizer } from "../../src/tokenizer/open.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { cria } from "./memory-terminal.ts";

const text =
  "Call me Ishmael. Some years ago, never mind how long precisely, having little money in my purse.\n";

let folder: string;
let model: string;
let trained: Awaited<ReturnType<typeof cria>>;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "cria-tokenizer-"));
  model = join(folder, "made", "ishmael.model");
  writeFileSync(join(folder, "ishmael.txt"), text.repeat(3));
  trained = await cria(
    "tokenizer",
    "train",
    join(folder, "ishmael.txt"),
    "--vocab-size",
    "300",
    "--coverage",
    "1",
    "-o",
    model,
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("train", () => {
  test("writes a SentencePiece model of the size asked for, and a tokenizer.json beside it", () => {
    expect(trained.code).toBe(0);
    expect(readdirSync(join(folder, "made")).toSorted()).toEqual(["ishmael.model", "tokenizer.json"]);
    expect(openTokenizer(model).vocabSize).toBe(300);
    expect(trained.stdout).toBe(`300 pieces in ${model} and ${join(folder, "made", "tokenizer.json")}\n`);
  });

  test("gives the two files the same ids", () => {
    const [spm, json] = [openTokenizer(model), openTokenizer(join(folder, "made", "tokenizer.json"))];
    for (const line of [text, "  spaces  ", "naïve ☃ 123", ""])
      expect(json.encode(line)).toEqual(spm.encode(line));
  });

  test("puts a tokenizer.model into a directory", async () => {
    const directory = join(folder, "directory");
    mkdirSync(directory);
    const { code } = await cria("tokenizer", "train", folder, "--vocab-size", "300", "--out", directory);
    expect(code).toBe(0);
    expect(readdirSync(directory).toSorted()).toEqual(["tokenizer.json", "tokenizer.model"]);
  });

  test("fails before it trains where there is no text, and leaves no file", async () => {
    const out = join(folder, "none.model");
    const { code, stderr } = await cria("tokenizer", "train", join(folder, "absent.txt"), "--out", out);
    expect(code).toBe(1);
    expect(stderr.replaceAll(folder, "")).toMatchInlineSnapshot(`
      "Error: the corpus source "/absent.txt" does not exist
        Give a .txt or .jsonl file, a directory of them, or "npm:<package>@<version>".
      "
    `);
    expect(readdirSync(folder)).not.toContain("none.model");
  });
});

describe("encode and decode", () => {
  test("are each other's inverse, a line at a time", async () => {
    const lines = ["Call me Ishmael.", "", "  two  spaces", "ünïcödé ☃"];
    const [file, ids] = [join(folder, "lines.txt"), join(folder, "ids.jsonl")];
    writeFileSync(file, lines.join("\n"));
    const encoded = await cria("tokenizer", "encode", model, "--file", file, "--json");
    expect(
      encoded.stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as number[]),
    ).toEqual(lines.map((line) => [...openTokenizer(model).encode(line)]));
    writeFileSync(ids, encoded.stdout);
    expect((await cria("tokenizer", "decode", model, "--file", ids)).stdout).toBe(`${lines.join("\n")}\n`);
  });

  test("a line ends at LF or CRLF and at nothing else", async () => {
    const file = join(folder, "ends.txt");
    writeFileSync(file, "me\r\nmy\u2028me\rmy\n");
    const { stdout } = await cria("tokenizer", "encode", model, "--file", file, "--json");
    const tokenizer = openTokenizer(model);
    const lines = ["me", "my\u2028me\rmy"].map((line) => JSON.stringify([...tokenizer.encode(line)]));
    expect(stdout).toBe(`${lines.join("\n")}\n`);
  });

  test("a file with many lines and characters across its blocks is read whole", async () => {
    const file = join(folder, "large.txt");
    writeFileSync(file, "é☃ me\n".repeat(200_000));
    const { stdout } = await cria("tokenizer", "encode", model, "--file", file);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(200_000);
    expect(new Set(lines)).toEqual(new Set([openTokenizer(model).encode("é☃ me").join(" ")]));
  });

  test("an argument is one text, its ids on one line; BOS and EOS on request", async () => {
    const ids = openTokenizer(model).encode("me\nmy").join(" ");
    expect((await cria("tokenizer", "encode", model, "me\nmy")).stdout).toBe(`${ids}\n`);
    expect((await cria("tokenizer", "encode", model, "me\nmy", "--bos", "--eos")).stdout).toBe(
      `1 ${ids} 2\n`,
    );
  });

  test("ids are separated by spaces, commas or both", async () => {
    const ids = [...openTokenizer(model).encode("Call me Ishmael.")];
    for (const words of [ids.map(String), [ids.join(",")], [JSON.stringify(ids)]]) {
      expect((await cria("tokenizer", "decode", model, ...words)).stdout).toBe("Call me Ishmael.\n");
    }
  });

  test("what is no id is refused by its line", async () => {
    const file = join(folder, "bad.txt");
    writeFileSync(file, "1 2\n3 x\n");
    const { code, stderr } = await cria("tokenizer", "decode", model, "--file", file);
    expect(code).toBe(1);
    expect(stderr).toMatchInlineSnapshot(`
      "Error: line 2: "x" is not a token id
        Ids are whole numbers of at least 0, separated by spaces or commas.
      "
    `);
    expect((await cria("tokenizer", "decode", model, "300")).code).toBe(1);
  });

  test("a text and a file together are refused", async () => {
    expect((await cria("tokenizer", "encode", model, "x", "--file", "y")).stderr).toMatchInlineSnapshot(`
      "Error: both TEXT and --file are given
        Give one of the two.
      "
    `);
  });
});

describe("a tokenizer is found", () => {
  test("in a model's folder", () => {
    const home = join(folder, "hf");
    mkdirSync(home);
    writeFileSync(join(home, "tokenizer.model"), readFileSync(model));
    expect(openTokenizer(home).vocabSize).toBe(300);
  });

  test("or its absence is said", async () => {
    const empty = join(folder, "empty");
    mkdirSync(empty);
    expect((await cria("tokenizer", "encode", empty, "x")).stderr.replaceAll(folder, ""))
      .toMatchInlineSnapshot(`
      "Error: /empty holds no tokenizer.model
        Copy the tokenizer.model that belongs to the model into it.
      "
    `);
    const file = join(folder, "ishmael.txt");
    expect((await cria("tokenizer", "encode", file, "x")).stderr.replaceAll(folder, ""))
      .toMatchInlineSnapshot(`
      "Error: /ishmael.txt is not a tokenizer, nor a model that has one
        Give a tokenizer.model, a tokenizer.json, a .gguf file, a model's folder, or llama2.c's tokenizer.bin.
      "
    `);
  });
});

describeWithSharedData("real tokenizers", () => {
  const ishmael = [8251, 592, 306, 845, 655, 295, 29889];

  test.each([
    ["SentencePiece", "tokenizer/tokenizer.model"],
    ["llama2.c", "tokenizer/tokenizer.bin"],
    ["GGUF without tensors", "tokenizer/llama.cpp/ggml-vocab-llama-spm.gguf"],
    ["GGUF model", "weights/llama-2-tiny-random/llama-2-tiny-random.gguf"],
  ])("Llama 2's in %s form encodes alike", async (_form, path) => {
    const { stdout } = await cria("tokenizer", "encode", sharedFile(path), "Call me Ishmael.", "--json");
    expect(JSON.parse(stdout)).toEqual(ishmael);
  });

  test("llama2.c's model is served by the tokenizer of its size beside it", () => {
    const tokenizer = openTokenizer(sharedFile("weights/stories260K/stories260K.bin"));
    expect(tokenizer.vocabSize).toBe(512);
    expect(tokenizer.decode(tokenizer.encode("Once upon a time"))).toBe("Once upon a time");
  });

  test("a unigram model is refused", async () => {
    const { code, stderr } = await cria(
      "tokenizer",
      "encode",
      sharedFile("tokenizer/sentencepiece/m.model"),
      "x",
    );
    expect(code).toBe(1);
    expect(stderr).toContain("unigram");
  });
});
