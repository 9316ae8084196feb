import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTokenizer } from "../../src/tokenizer/open.ts";
import { openShards } from "../../src/corpus/shards.ts";
import { cria } from "./memory-terminal.ts";

let folder: string;
let books: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-corpus-"));
  books = join(folder, "books.jsonl");
  const subjects = ["whale", "sea", "ship", "captain", "harpoon", "storm", "island", "sailor"];
  const texts = subjects.map((subject) =>
    Array.from(
      { length: 12 },
      (_, i) => `The ${subject} of chapter ${i} is not the ${subject} of chapter ${i * i}.`,
    ).join(" "),
  );
  writeFileSync(books, [...texts, texts[0], "short"].map((text) => `${JSON.stringify({ text })}\n`).join(""));
});
afterAll(() => rmSync(folder, { recursive: true }));

const small = ["--set", "tokenizer.vocab_size=320", "--set", "corpus.validation_fraction=0.25"];

test("sources become a tokenizer and shards of both splits, and a table says what became of them", async () => {
  const out = join(folder, "data");
  const { code, stdout } = await cria("corpus", "prepare", "--source", books, "--out", out, ...small);
  expect(code).toBe(0);
  expect(readdirSync(out).toSorted()).toEqual([
    "corpus.json",
    "tokenizer.json",
    "tokenizer.model",
    "train-00000.bin",
    "train-index.json",
    "validation-00000.bin",
    "validation-index.json",
  ]);
  using train = openShards(out, "train");
  using validation = openShards(out, "validation");
  expect(train.index.documents + validation.index.documents).toBe(8);
  expect(train.index.vocabSize).toBe(320);
  expect(stdout).toContain("10 read, dropped 1 too short, 1 duplicates\n");
  expect(stdout).toContain(
    `${train.tokens} tokens to train on and ${validation.tokens} held out, in ${out}\n`,
  );
  const ids = new Int32Array(20);
  train.read(1, 20, ids);
  expect(openTokenizer(out).decode(ids)).toMatch(/^The \w+ of chapter 0 is/);
});

test("the same command makes the same bytes", async () => {
  const [one, two] = [join(folder, "again"), join(folder, "once-more")];
  for (const out of [one, two]) await cria("corpus", "prepare", "--source", books, "--out", out, ...small);
  for (const file of readdirSync(one))
    expect(readFileSync(join(two, file))).toEqual(readFileSync(join(one, file)));
  expect(readdirSync(two)).toEqual(readdirSync(one));
});

test("a recipe says what the command line does not, and a given tokenizer is kept", async () => {
  const recipe = join(folder, "recipe.yaml");
  writeFileSync(recipe, `corpus:\n  min_characters: 4\n  sources:\n    - from: ${JSON.stringify(books)}\n`);
  const [tokenizer, out] = [join(folder, "data", "tokenizer.model"), join(folder, "by-recipe")];
  const { code, stdout } = await cria("corpus", "prepare", recipe, "--tokenizer", tokenizer, "--out", out);
  expect(code).toBe(0);
  expect(stdout).not.toContain("too short");
  expect(readFileSync(join(out, "tokenizer.model"))).toEqual(readFileSync(tokenizer));
});

test("a corpus without text, or a setting that is none, is one clear error", async () => {
  const empty = join(folder, "empty.txt");
  writeFileSync(empty, "");
  const out = join(folder, "nothing");
  const said = async (...words: string[]) => {
    const { code, stderr } = await cria("corpus", "prepare", "--out", out, ...words);
    expect(code).toBe(1);
    return stderr.slice(stderr.indexOf("Error:")).replaceAll(folder, "");
  };
  expect(await said("--source", empty)).toMatchInlineSnapshot(`
    "Error: the corpus is empty: none of the 1 documents of /empty.txt has 300 characters after cleaning
      Set min_characters lower, or give sources with longer texts.
    "
  `);
  expect(await said("--source", books, "--set", "corpus.min_chars=1")).toMatchInlineSnapshot(`
    "Error: --set corpus.min_chars=1: no setting is called "corpus.min_chars"
      There are sources, validation_fraction, min_characters.
    "
  `);
  expect(await said("--source", books, "--set", "tokenizer.vocab_size=5000")).toMatch(/^Error: .+\n {2}\S/);
  expect(readdirSync(folder)).not.toContain("nothing");
});
