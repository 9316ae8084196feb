import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { embeddedFolder } from "../preference/databases.ts";
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

describe("a store", () => {
  let store: string;
  beforeAll(async () => {
    const made = await embeddedFolder();
    store = join(folder, "store");
    renameSync(join(made, "store"), store);
    rmSync(made, { recursive: true });
  }, 120_000);
  const counted = (stdout: string): number =>
    [...stdout.matchAll(/^(\d+) comparisons? in the closed batch/gm)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );

  test("takes a file once, in whatever form it comes; stats and export have it", async () => {
    const transcripts = join(folder, "harmless.jsonl");
    const rows = [1, 2, 3].map((i) => ({
      chosen: `\n\nHuman: Is ${i} odd?\n\nAssistant: I cannot say ${i}.`,
      rejected: `\n\nHuman: Is ${i} odd?\n\nAssistant: Guess ${i}!`,
    }));
    writeFileSync(transcripts, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const importing = (...words: string[]) => cria("preferences", "import", ...words, "--store", store);
    const first = await importing(transcripts, "--test-share", "0");
    expect([first.stderr, counted(first.stdout)]).toEqual(["", 3]);
    expect(first.stdout).toContain('3 comparisons in the closed batch "harmless safety train"');
    const again = await importing(transcripts, "--test-share", "0.9", "--seed", "2", "--batch", "again");
    expect(again.stdout).toContain(`3 are in ${store} already\nnothing was added to ${store}\n`);
    const pulled = join(folder, "pulled.parquet");
    await cria("preferences", "export", pulled, "--store", store, "--batch", "harmless safety train");
    expect((await importing(pulled)).stdout).toContain("nothing was added");
    const { stdout } = await cria("preferences", "stats", "--store", store, "--json");
    expect(JSON.parse(stdout)).toMatchObject({
      batch: "harmless safety train",
      comparisons: 3,
      judges: { "people (hh-rlhf)": 3 },
    });
  });

  test("wants to know who preferred", async () => {
    const silent = await cria("preferences", "import", pairs, "--store", store);
    expect(silent.code).toBe(1);
    expect(silent.stderr).toMatch(
      /39 of 39 comparisons do not say who preferred\n {2}Say it for them, such as --judge/,
    );
    const said = await cria("preferences", "import", pairs, "--store", store, "--judge", "judge.js (script)");
    expect([said.stderr, counted(said.stdout)]).toEqual(["", 39]);
  });

  test.each([
    [["import", "PAIRS"], /nothing says where the comparisons go\n {2}Give --out DIR/],
    [
      ["import", "PAIRS", "--out", "x", "--batch", "b"],
      /--batch names batches of a store, and there is none/,
    ],
    [
      ["import", "PAIRS", "--out", "x", "--test-share", "1"],
      /the share held out \(1\) is not at least 0 and below 1/,
    ],
    [["stats"], /there is nothing to count\n {2}Name files of pairs, or give --store DIR/],
    [["stats", "PAIRS", "--store", "STORE"], /there are both --store and a file/],
    [["stats", "--store", "none"], /there is no annotation store in none/],
    [["export", "out.jsonl", "--store", "none"], /there is no annotation store in none/],
    [
      ["export", "out.jsonl", "--store", "STORE", "--batch", "week"],
      /there is no batch "week" in .*\n {2}There are /,
    ],
    [
      ["export", "out.jsonl", "--store", "STORE", "--batch", "harmless safety train", "--split", "test"],
      /no comparison in .* is to be exported\n {2}Compare first, or ask for other batches/,
    ],
    [["export", "out.txt", "--store", "STORE"], /out.txt: trl is not written to a file of this kind/],
  ])("refuses %o, and says the mend", async (words, message) => {
    const paths: Record<string, string> = { PAIRS: pairs, STORE: store };
    const { stderr, code } = await cria("preferences", ...words.map((word) => paths[word] ?? word));
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
  });
});
