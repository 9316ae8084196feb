import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { gatherDocuments, type PrepareOptions } from "../../src/corpus/prepare.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cria-prepare-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function source(name: string, texts: readonly string[], weight?: number) {
  const from = join(directory, name);
  mkdirSync(from);
  for (const [i, text] of texts.entries())
    writeFileSync(join(from, `${String(i).padStart(3, "0")}.txt`), text);
  return weight === undefined ? { from } : { from, weight };
}

function options(sources: PrepareOptions["sources"], more: Partial<PrepareOptions> = {}): PrepareOptions {
  return { sources, cache: directory, seed: 1, validationFraction: 0.25, minCharacters: 5, ...more };
}

function texts(name: string, n: number): string[] {
  return Array.from({ length: n }, (_, i) => `${name} text number ${"abcdefghijklmnopqrstuvwxyz"[i]}`);
}

test("documents are cleaned, deduplicated over all sources, split and counted", async () => {
  const book = texts("whale", 8).join("\n\n");
  const a = source("a", [...texts("whale", 8), "tiny", `${texts("whale", 1)[0]!}\r\n\r\n`]);
  const b = source("b", [book, ...texts("ship", 4)]);
  const { train, validation, summary } = await gatherDocuments(options([a, b]));
  expect(summary).toMatchObject({ read: 15, tooShort: 1, duplicates: 1, overlapping: 1 });
  expect(summary.sources).toEqual([
    { from: a.from, weight: 1, documents: 8, bytes: 8 * 19 },
    { from: b.from, weight: 1, documents: 4, bytes: 4 * 18 },
  ]);
  expect([...train, ...validation].map(({ text }) => text).toSorted()).toEqual([
    ...texts("ship", 4),
    ...texts("whale", 8),
  ]);
  expect(validation.length).toBeGreaterThan(0);
  expect(summary.train).toEqual({
    documents: train.length,
    bytes: train.reduce((sum, { text }) => sum + text.length, 0),
  });
  expect(summary.validation.documents).toBe(validation.length);
});

test("a weight repeats a source's training documents, never the held-out ones", async () => {
  const { train, validation } = await gatherDocuments(
    options([source("a", texts("a", 8), 2), source("b", texts("b", 8))]),
  );
  const times = (text: string) => train.filter((document) => document.text === text).length;
  const heldOut = new Set(validation.map(({ text }) => text));
  expect(heldOut.size).toBe(validation.length);
  for (const text of texts("a", 8)) expect(times(text)).toBe(heldOut.has(text) ? 0 : 2);
  for (const text of texts("b", 8)) expect(times(text)).toBe(heldOut.has(text) ? 0 : 1);
});

test("the same options give the same order; another seed gives another", async () => {
  const sources = [source("a", texts("a", 20))];
  const order = async (seed: number) =>
    (await gatherDocuments(options(sources, { seed }))).train.map(({ id }) => id);
  expect(await order(1)).toEqual(await order(1));
  expect(await order(1)).not.toEqual(await order(2));
  expect(await order(1)).not.toEqual((await order(1)).toSorted());
});

test("progress names the source and counts what was read", async () => {
  const [a, b] = [source("a", texts("a", 2)), source("b", texts("b", 1))];
  const seen: unknown[] = [];
  await gatherDocuments(options([a, b]), (progress) => seen.push(progress));
  expect(seen).toEqual([
    { from: a.from, documents: 1 },
    { from: a.from, documents: 2 },
    { from: b.from, documents: 3 },
  ]);
});

test("empty corpora are refused, with the reason", async () => {
  const a = source("a", ["short", "tiny"]);
  await expect(gatherDocuments(options([a], { minCharacters: 100 }))).rejects.toThrow(
    `the corpus is empty: none of the 2 documents of ${a.from} has 100 characters after cleaning`,
  );
  await expect(gatherDocuments(options([]))).rejects.toThrow("the corpus has no sources");
  writeFileSync(join(directory, "none.jsonl"), "\n\n");
  const none = { from: join(directory, "none.jsonl") };
  await expect(gatherDocuments(options([none]))).rejects.toThrow(
    `the corpus is empty: no document in ${none.from}`,
  );
  await expect(gatherDocuments(options([{ ...a, weight: 0 }]))).rejects.toThrow(
    "the corpus is empty: the weights of its sources leave no document to train on",
  );
});

test("options that cannot be right are refused before anything is read", async () => {
  const nowhere = { from: "no/such/place" };
  await expect(gatherDocuments(options([{ ...nowhere, weight: -1 }]))).rejects.toThrow(
    "the weight of a source (-1)",
  );
  await expect(gatherDocuments(options([nowhere], { minCharacters: Number.NaN }))).rejects.toThrow(
    "min_characters (NaN) is not a number of at least 0",
  );
  await expect(gatherDocuments(options([nowhere], { validationFraction: 1 }))).rejects.toThrow(
    "validation_fraction (1)",
  );
});
