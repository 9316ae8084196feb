import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cria } from "./memory-terminal.ts";

let folder: string;
let pairs: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-preferences-"));
  pairs = join(folder, "pairs.jsonl");
  const rows = Array.from({ length: 40 }, (_, i) => ({
    prompt: `Question number ${i % 39}?`,
    chosen: `Yes, ${i % 39}.`,
    rejected: "No.",
    margin: i % 4,
    safety: "both-safe",
  }));
  writeFileSync(
    pairs,
    [...rows, { ...rows[0], rejected: "Yes, 0." }].map((row) => `${JSON.stringify(row)}\n`).join(""),
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

test("import drops, splits and says what became of the pairs", async () => {
  const out = join(folder, "imported");
  const { stdout, stderr, code } = await cria(
    "preferences",
    "import",
    pairs,
    "--out",
    out,
    "--test-share",
    "0.25",
    "--judge",
    "Ann",
  );
  expect([stderr, code]).toEqual(["", 0]);
  const rows = (name: string): unknown[] =>
    readFileSync(join(out, name), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
  const [train, heldOut] = [rows("train.jsonl"), rows("test.jsonl")];
  expect(train.length + heldOut.length).toBe(39);
  expect(stdout.replaceAll(folder, "")).toBe(
    `/pairs.jsonl: 40 comparisons\n  1 dropped: the answers are equal\n  1 duplicates dropped\n` +
      `${train.length} to train on and ${heldOut.length} to test with, in /imported\n`,
  );
  expect(train[0]).toMatchObject({ chosen: [{ role: "assistant" }], judge: "Ann", safety: "both-safe" });
});

test("the test set that data come with loses what was trained on", async () => {
  const [out, heldOut] = [join(folder, "leaky"), join(folder, "held-out.jsonl")];
  const row = { prompt: "Question number 3!", chosen: "a", rejected: "b" };
  writeFileSync(
    heldOut,
    [row, { ...row, prompt: "Another?" }].map((each) => `${JSON.stringify(each)}\n`).join(""),
  );
  const { stdout } = await cria("preferences", "import", pairs, "--test", heldOut, "--out", out);
  expect(stdout).toContain("1 dropped from the test: 1 prompts are in train, 0 for the most part\n");
  expect(stdout).toContain("39 to train on and 1 to test with");
});

test("stats show the columns of the paper's table, as text and as JSON", async () => {
  const { stdout } = await cria("preferences", "stats", pairs);
  expect(stdout).toMatchInlineSnapshot(`
    "             comparisons  turns  words/example  words/prompt  words/response  longer
    pairs.jsonl           40    1.0            5.0           3.0             1.5    100%

    pairs.jsonl
      strength  significantly  10   25%
                better         10   25%
                slightly       10   25%
                negligibly     10   25%
      safety    both-safe      40  100%
      judge     not stated     40  100%
    "
  `);
  const { stdout: json } = await cria("preferences", "stats", pairs, "--json");
  expect(JSON.parse(json)).toMatchObject({ file: pairs, unit: "words", comparisons: 40, turns: 1 });
});

test("the help has examples", async () => {
  for (const name of ["import", "stats"]) {
    const { stdout, code } = await cria("preferences", name, "--help");
    expect(code).toBe(0);
    expect(stdout).toContain("$ cria preferences");
  }
});
