/** Others' comparisons in the annotation store, on the embedded database and, where there is one, on a server. */

import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { closeBatch, listBatches } from "../../src/preference/annotation/batches.ts";
import { exportComparisons } from "../../src/preference/annotation/export.ts";
import { importComparisons } from "../../src/preference/annotation/import.ts";
import { batchProgress } from "../../src/preference/annotation/progress.ts";
import { openStore } from "../../src/preference/annotation/store.ts";
import type { Comparison } from "../../src/preference/comparison.ts";
import type { Database } from "../../src/preference/database.ts";
import {
  embeddedFolder,
  openEmbeddedStore,
  openServerStore,
  postgresPrograms,
  type OpenedStore,
} from "./databases.ts";

describe("embedded", () => importTests(openEmbeddedStore));
const programs = postgresPrograms();
if ("missing" in programs) test.skip(`server (${programs.missing})`, () => {});
else describe("server", () => importTests(openServerStore));

function comparison(question: string, rest: Partial<Comparison> = {}): Comparison {
  const prompt = [{ role: "user" as const, content: question }];
  return { prompt, chosen: "yes", rejected: "no", quality: "helpfulness", judge: "people (a set)", ...rest };
}

function importTests(open: () => Promise<OpenedStore>): void {
  let store: OpenedStore;
  let database: Database;
  beforeAll(async () => {
    store = await open();
    database = store.database;
  }, 120_000);
  afterAll(() => store.close());

  const first: Comparison = comparison("first?", { strength: "better", safety: "both-safe" });
  const safe = comparison("second?", {
    quality: "safety",
    judge: "judge.js (script)",
    chosen: "a \0 \uD800 b",
  });
  const held = comparison("third?");

  test("are closed batches by split and quality, which say where they are from and who preferred", async () => {
    const plan = { name: "set", source: "set.jsonl", train: [first, safe], test: [held] };
    expect(await importComparisons(database, plan)).toEqual({
      batches: [
        { name: "set helpfulness train", comparisons: 1 },
        { name: "set safety train", comparisons: 1 },
        { name: "set helpfulness test", comparisons: 1 },
      ],
      known: 0,
      leaking: 0,
    });
    const batches = await listBatches(database);
    expect(batches).toHaveLength(3);
    for (const batch of batches) {
      expect(batch).toMatchObject({ source: "set.jsonl", variants: [], closedAt: expect.any(Date) as Date });
    }
    const batch = batches.find(({ name }) => name === "set helpfulness train")!;
    expect(await batchProgress(database, batch)).toMatchObject({
      annotators: [],
      judges: [{ name: "people (a set)", comparisons: 1 }],
      strengths: { better: 1 },
      safety: { "both-safe": 1 },
    });
  });

  test("come out as they went in, but for what Postgres cannot keep", async () => {
    const { comparisons } = await exportComparisons(database);
    const kept = { ...safe, chosen: "a \uFFFD \uFFFD b" };
    expect(comparisons).toHaveLength(3);
    expect(comparisons).toEqual(expect.arrayContaining([first, kept, held]));
    expect((await exportComparisons(database, { split: "test" })).comparisons).toEqual([held]);
    expect((await exportComparisons(database, { quality: "safety" })).comparisons).toEqual([kept]);
    expect((await exportComparisons(database, { batches: ["set safety train"] })).comparisons).toEqual([
      kept,
    ]);
  });

  test("are not added twice, nor across the splits", async () => {
    const twice = {
      name: "twice",
      source: "x",
      train: [first, safe, held],
      test: [{ ...first, chosen: "YES!" }],
    };
    expect(await importComparisons(database, twice)).toEqual({ batches: [], known: 4, leaking: 0 });
    const other = { chosen: "other" };
    const leaking = {
      train: [comparison("third?", other)],
      test: [comparison("first?", other), comparison("new?")],
    };
    expect(await importComparisons(database, { name: "more", source: "x", ...leaking })).toEqual({
      batches: [{ name: "more helpfulness test", comparisons: 1 }],
      known: 0,
      leaking: 2,
    });
  });

  test("an import that cannot end leaves nothing behind", async () => {
    const plan = {
      name: "more",
      source: "x",
      train: [comparison("a new one?")],
      test: [comparison("another?")],
    };
    await expect(importComparisons(database, plan)).rejects.toThrow(
      'there is a batch "more helpfulness test" already',
    );
    expect((await listBatches(database)).map(({ name }) => name)).not.toContain("more helpfulness train");
    expect((await exportComparisons(database)).comparisons).toHaveLength(4);
  });

  test.each([
    ["update imported_comparisons set chosen = 'x'", "imported_comparisons are only added to"],
    ["delete from imported_comparisons", "imported_comparisons are only added to"],
    ["truncate imported_comparisons", "imported_comparisons are only added to"],
    ["update batches set source = null where name like 'set%'", /batch "set .*" is closed/],
    [
      `insert into imported_comparisons (batch_id, place, prompt, chosen, rejected, judge)
       select id, 9, '[]', 'a', 'b', 'c' from batches where source is not null`,
      /batch ".*" is closed/,
    ],
  ])("cannot be changed by any statement: %s", async (statement, message) => {
    await expect(database.query(statement)).rejects.toThrow(message);
  });

  test("a batch that is closed cannot be closed again", async () => {
    const [batch] = await listBatches(database);
    await expect(closeBatch(database, batch!.id)).rejects.toThrow("is closed");
  });
}

test("killed in the middle, an import has added nothing; killed at its end, all", async () => {
  const folder = await embeddedFolder();
  const store = join(folder, "store");
  const importer = fileURLToPath(new URL("importer.ts", import.meta.url));
  const left = async (moment: "middle" | "end"): Promise<number[]> => {
    const child = spawn(process.execPath, ["--import", "tsx", importer, store, moment]);
    const ended = new Promise((done) => child.once("close", done));
    const said = await new Promise((say) => child.stdout.once("data", (text) => say(String(text))));
    child.kill("SIGKILL");
    await ended;
    expect(said).toBe(`${moment}\n`);
    await using database = await openStore({ folder: store });
    const { comparisons } = await exportComparisons(database);
    const closed = (await listBatches(database)).filter(({ closedAt }) => closedAt !== null);
    return [closed.length, comparisons.length];
  };
  expect(await left("middle")).toEqual([0, 0]);
  expect(await left("end")).toEqual([1, 2000]);
  rmSync(folder, { recursive: true });
}, 600_000);
