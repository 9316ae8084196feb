import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Comparison } from "../../src/preference/comparison.ts";
import { strengthOfMargin } from "../../src/preference/pair.ts";
import { readComparisons, type ReadComparisonsOptions } from "../../src/preference/read.ts";
import { writeComparisons } from "../../src/preference/write.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-preferences-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;

function file(records: readonly unknown[], ending = ".jsonl"): string {
  const path = join(folder, `${(files += 1)}${ending}`);
  const text = records.map((record) => `${JSON.stringify(record)}\n`).join("");
  writeFileSync(path, ending.endsWith(".gz") ? gzipSync(text) : text);
  return path;
}

function read(records: readonly unknown[], options?: ReadComparisonsOptions) {
  return readComparisons(file(records), options);
}

async function refusal(records: readonly unknown[]): Promise<string> {
  const error = await read(records).catch((error: unknown) => error);
  const { message, mend } = error as { message: string; mend: string };
  return `${message.replaceAll(folder + sep, "").replace(/^\d+/, "N")}\n  ${mend}`;
}

const user = (content: string) => ({ role: "user", content }) as const;
const assistant = (content: string) => ({ role: "assistant", content }) as const;
const transcript = (...turns: readonly string[]): string =>
  turns.map((turn, i) => `\n\n${i % 2 === 0 ? "Human" : "Assistant"}: ${turn}`).join("");

describe("hh-rlhf", () => {
  test("what the transcripts share is the prompt, of one turn or several", async () => {
    const { comparisons, format, excluded } = await read([
      { chosen: transcript("a", "b"), rejected: transcript("a", "c") },
      { chosen: transcript("a", "b", "c", "d"), rejected: transcript("a", "b", "c", "e") },
    ]);
    expect(format).toBe("hh-rlhf");
    expect(excluded.size).toBe(0);
    const about = { quality: "helpfulness", judge: "people (hh-rlhf)" };
    expect(comparisons).toEqual([
      { prompt: [user("a")], chosen: "b", rejected: "c", ...about },
      { prompt: [user("a"), assistant("b"), user("c")], chosen: "d", rejected: "e", ...about },
    ]);
  });

  test("a prefix of letters that answers share belongs to the answers", async () => {
    const { comparisons } = await read([
      { chosen: transcript("a", "Yes, do"), rejected: transcript("a", "Yes, no") },
    ]);
    expect(comparisons[0]).toMatchObject({ chosen: "Yes, do", rejected: "Yes, no" });
  });

  test("pairs that are no comparisons are counted by reason", async () => {
    const { comparisons, excluded } = await read([
      { chosen: transcript("a", "b"), rejected: transcript("a", "c") },
      { chosen: transcript("a", "x", "c", "d"), rejected: transcript("a", "y", "c", "e") },
      { chosen: transcript("a", "x", "c", "d"), rejected: transcript("a", "y") },
      { chosen: transcript("a", "b", "c"), rejected: transcript("a", "b", "d") },
      { chosen: transcript("a", "b"), rejected: transcript("a", " b ") },
      { chosen: transcript("a", " "), rejected: transcript("a", "b") },
      { chosen: transcript("a", "[INST]"), rejected: transcript("a", "b") },
    ]);
    expect(comparisons).toHaveLength(1);
    expect(Object.fromEntries(excluded)).toEqual({
      "the conversations part before their last answers": 2,
      "no answer at the end": 1,
      "the answers are equal": 1,
      "not a conversation of Llama 2's chat format": 2,
    });
  });

  test("it is read compressed, and of a path that says harmless the quality is safety", async () => {
    const path = file(
      [{ chosen: transcript("a", "b"), rejected: transcript("a", "c") }],
      "-harmless.jsonl.gz",
    );
    const { comparisons } = await readComparisons(path);
    expect(comparisons[0]!.quality).toBe("safety");
    expect((await readComparisons(path, { quality: "helpfulness" })).comparisons[0]!.quality).toBe(
      "helpfulness",
    );
  });
});

describe("TRL", () => {
  test("prompts and answers are texts, lists of messages, or whole conversations", async () => {
    const { comparisons, format } = await read(
      [
        { prompt: "a", chosen: "b", rejected: "c" },
        { prompt: [user("a")], chosen: [assistant("b")], rejected: [assistant("c")] },
        { chosen: [user("a"), assistant("b")], rejected: [user("a"), assistant("c")] },
        { prompt: [user("a")], chosen: "b", rejected: "c", margin: null },
      ],
      { judge: "me" },
    );
    expect(format).toBe("trl");
    const one: Comparison = {
      prompt: [user("a")],
      chosen: "b",
      rejected: "c",
      quality: "helpfulness",
      judge: "me",
    };
    expect(comparisons).toEqual([one, one, one, one]);
  });

  test("a margin is a strength by either of the paper's tables, or by the file's own scale", () => {
    expect([1, 2 / 3, 1 / 3, 0].map((margin) => strengthOfMargin(margin, 1))).toEqual([
      "significantly",
      "better",
      "slightly",
      "negligibly",
    ]);
    expect([3, 2, 1, 0].map((margin) => strengthOfMargin(margin, 2))).toEqual([
      "significantly",
      "better",
      "slightly",
      "negligibly",
    ]);
    expect(strengthOfMargin(4, 6)).toBe("better");
    expect(strengthOfMargin(undefined, 6)).toBeUndefined();
  });

  test("negative margins and unsafe choices are left out", async () => {
    const { excluded } = await read([
      { prompt: "a", chosen: "b", rejected: "c" },
      { prompt: "a", chosen: "b", rejected: "c", margin: -1 },
      { prompt: "a", chosen: "b", rejected: "c", safety: "chosen-unsafe" },
    ]);
    expect([...excluded.keys()]).toEqual([
      "the rejected answer is rated higher",
      "the chosen answer is the unsafe one",
    ]);
  });
});

test("ShareGPT pairs have turns before and an answer on each side", async () => {
  const { comparisons, format } = await read([
    {
      system: "s",
      conversations: [{ from: "human", value: "a" }],
      chosen: { from: "gpt", value: "b" },
      rejected: { from: "gpt", value: "c" },
    },
  ]);
  expect(format).toBe("sharegpt");
  expect(comparisons[0]!.prompt).toEqual([{ role: "system", content: "s" }, user("a")]);
  expect(comparisons[0]).toMatchObject({ chosen: "b", rejected: "c", judge: "not stated" });
});

test("AlpacaEval's annotations say which output is better and who says so", async () => {
  const record = { instruction: "a", output_1: "b", output_2: "c", annotator: "gpt" };
  const { comparisons, excluded } = await read([
    { ...record, preference: "2" },
    { ...record, preference: 1 },
    { ...record, preference: 0 },
  ]);
  expect(comparisons.map(({ chosen, rejected, judge }) => [chosen, rejected, judge])).toEqual([
    ["c", "b", "gpt"],
    ["b", "c", "gpt"],
  ]);
  expect(Object.fromEntries(excluded)).toEqual({ "neither answer is preferred": 1 });
});

describe("what was written is read back equal", () => {
  const comparisons: Comparison[] = [
    { prompt: [user("a")], chosen: "b", rejected: "c\n\nd", quality: "helpfulness", judge: "people" },
    {
      prompt: [{ role: "system", content: "s" }, user("é\u202E"), assistant("x"), user("y")],
      chosen: "b",
      rejected: "c",
      strength: "slightly",
      safety: "both-unsafe",
      quality: "safety",
      judge: "judge.js (script)",
    },
  ];
  test.each(["round.jsonl", "round.parquet"])("%s", async (name) => {
    const path = join(folder, name);
    writeComparisons(path, comparisons);
    expect((await readComparisons(path)).comparisons).toEqual(comparisons);
  });

  test("transcripts carry the texts", async () => {
    const path = join(folder, "transcripts.jsonl");
    writeComparisons(path, comparisons.slice(0, 1), "hh-rlhf");
    expect((await readComparisons(path)).comparisons).toEqual([
      { ...comparisons[0], judge: "people (hh-rlhf)" },
    ]);
    expect(() => writeComparisons(path, comparisons, "hh-rlhf")).toThrow("no place for a system message");
    expect(() => writeComparisons(join(folder, "x.csv"), comparisons)).toThrow(
      "not written to a file of this kind",
    );
  });
});

describe("what is refused", () => {
  const good = { prompt: "a", chosen: "b", rejected: "c" };
  test("names the line", async () => {
    expect(await refusal([good, { ...good, margin: "much" }])).toMatchInlineSnapshot(`
      "N.jsonl: line 2: "margin" is "much", not a number
        Give "margin" as a number, larger the clearer the preference, or leave it out."
    `);
    expect(await refusal([good, { ...good, strength: "hugely" }])).toMatchInlineSnapshot(`
      "N.jsonl: line 2: "strength" is "hugely", not one of significantly, better, slightly, negligibly
        Give one of significantly, better, slightly, negligibly, or leave "strength" out."
    `);
    expect(await refusal([good, { prompt: "a" }])).toMatchInlineSnapshot(`
      "N.jsonl: line 2: its keys are those of no known format, not of trl
        Put other formats in files of their own."
    `);
    expect(await refusal([{ text: "a" }])).toMatchInlineSnapshot(`
      "N.jsonl: the first record's keys (text) are of no known format of preferences
        Give every record the keys (chosen, rejected), (prompt, chosen, rejected), (conversations, chosen, rejected) or (instruction, output_1, output_2, preference)."
    `);
    expect(await refusal([{ ...good, rejected: "b" }])).toMatchInlineSnapshot(`
      "N.jsonl has no pair that is a comparison (1: the answers are equal)
        Give conversations that differ in their last answer."
    `);
    expect(await refusal([{ instruction: "a", output_1: "b", output_2: "c", preference: "left" }]))
      .toMatchInlineSnapshot(`
      "N.jsonl: line 1: "preference" is "left", not 0, 1, 1.5 or 2
        Give 1 or 2 for the output that is better, 0 for neither."
    `);
  });

  test("damaged files say so", async () => {
    const path = join(folder, "broken.parquet");
    writeFileSync(path, "PAR1 this is no Parquet PAR1");
    await expect(readComparisons(path)).rejects.toThrow("not a Parquet file that can be read");
    const gzip = join(folder, "broken.jsonl.gz");
    writeFileSync(gzip, "not gzip");
    await expect(readComparisons(gzip)).rejects.toThrow("not gzip");
  });
});

describeWithSharedData("published data", () => {
  test("hh-rlhf: every pair but those with a blank answer", async () => {
    const { comparisons, excluded } = await readComparisons(
      sharedFile("preferences/hh-rlhf/harmless-base.test.part1.jsonl.gz"),
    );
    expect(comparisons.length + [...excluded.values()].reduce((a, b) => a + b, 0)).toBe(1156);
    expect(Object.fromEntries(excluded)).toMatchInlineSnapshot(`
      {
        "not a conversation of Llama 2's chat format": 4,
      }
    `);
    expect(
      comparisons.every(({ quality, prompt }) => quality === "safety" && prompt.at(-1)!.role === "user"),
    ).toBe(true);
  });

  test("the ShareGPT pairs of LLaMA-Factory and AlpacaEval's annotations", async () => {
    const pairs = await readComparisons(sharedFile("preferences/llamafactory/dpo_en_demo.part1.json"));
    expect([pairs.format, pairs.comparisons.length, Object.fromEntries(pairs.excluded)])
      .toMatchInlineSnapshot(`
      [
        "sharegpt",
        210,
        {},
      ]
    `);
    const annotations = await readComparisons(
      sharedFile("preferences/alpaca_eval/alpaca-7b.annotations.json"),
    );
    expect([annotations.comparisons.length, Object.fromEntries(annotations.excluded)]).toMatchInlineSnapshot(`
      [
        789,
        {
          "neither answer is preferred": 16,
        },
      ]
    `);
  });
});
