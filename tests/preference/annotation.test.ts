/** The annotation store, on the embedded database and, where its programs are found, on a PostgreSQL server. */

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import {
  annotatorOfToken,
  invite,
  listAnnotators,
  standInAnnotator,
} from "../../src/preference/annotation/annotators.ts";
import { agreement, winRate } from "../../src/preference/annotation/agreement.ts";
import { closeBatch, listBatches, openBatch, type Batch } from "../../src/preference/annotation/batches.ts";
import { lastDecided, recordEvent } from "../../src/preference/annotation/events.ts";
import { exportComparisons } from "../../src/preference/annotation/export.ts";
import { batchProgress, ownProgress } from "../../src/preference/annotation/progress.ts";
import { openStore } from "../../src/preference/annotation/store.ts";
import {
  ask,
  continueTask,
  nextTask,
  saveAnswers,
  taskOf,
  type Side,
  type Task,
} from "../../src/preference/annotation/tasks.ts";
import type { Database } from "../../src/preference/database.ts";
import { migrate } from "../../src/preference/migrations.ts";
import { openEmbeddedStore, openServerStore, postgresPrograms, type OpenedStore } from "./databases.ts";

describe("agreement and win rates", () => {
  const pairs = (...choices: readonly string[]) =>
    choices.map((two) => ({
      first: two[0] === "l" ? ("left" as const) : ("right" as const),
      second: two[1] === "l" ? ("left" as const) : ("right" as const),
    }));

  test("AC1 of three in four, with half of the choices left, is (3/4 - 1/2) / (1 - 1/2)", () => {
    expect(agreement(pairs("ll", "rr", "ll", "rl"))).toMatchObject({ items: 4, share: 0.75 });
    expect(agreement(pairs("ll", "rr", "lr", "rl")).ac1).toBe(0);
    expect(agreement(pairs("ll", "ll")).ac1).toBe(1);
    expect(agreement([])).toEqual({ items: 0, share: 0, ac1: 0 });
  });

  test("Wilson's interval of 8 wins in 10 is 0.490 to 0.943 (Newcombe 1998's formula, by hand)", () => {
    const { rate, low, high } = winRate(8, 2);
    expect(rate).toBe(0.8);
    expect(low).toBeCloseTo(0.490_162, 5);
    expect(high).toBeCloseTo(0.943_318, 5);
    expect(winRate(0, 0)).toMatchObject({ rate: 0.5, low: 0, high: 1 });
    expect(winRate(0, 5).low).toBe(0);
  });
});

const programs = postgresPrograms();
describe("embedded", () => storeTests(openEmbeddedStore));
if ("missing" in programs) test.skip(`server (${programs.missing})`, () => {});
else {
  describe("server", () => {
    storeTests(openServerStore);
    test("one that does not answer is said, without its password", async () => {
      await expect(openStore({ folder: "", url: "postgres://me:secret@127.0.0.1:1/x" })).rejects.toThrow(
        "the database at postgres://127.0.0.1:1/x does not answer: connect ECONNREFUSED 127.0.0.1:1",
      );
    });
  });
}

function storeTests(open: () => Promise<OpenedStore>): void {
  let store: OpenedStore;
  let database: Database;
  beforeAll(async () => {
    store = await open();
    database = store.database;
  }, 120_000);
  afterAll(() => store.close());

  const random = createRandom(7);
  let batches = 0;
  const newBatch = (overlapShare = 0): Promise<Batch> =>
    openBatch(database, {
      name: `batch ${(batches += 1)}`,
      policyVersion: "v1",
      quality: "helpfulness",
      split: "train",
      overlapShare,
      variants: [
        { name: "new", model: "models/v1", temperature: 0.75 },
        { name: "old", model: "models/v0", temperature: 1 },
      ],
    });
  const annotator = async (): Promise<string> => {
    const token = await invite(database, `person ${randomUUID()}`, "annotator");
    return (await annotatorOfToken(database, token))!.id;
  };
  /** A task with its question and answers, which say which variant gave them. */
  const answered = async (batch: Batch, annotatorId: string, text: string = randomUUID()): Promise<Task> => {
    const task = await nextTask(database, { batch, annotatorId, random });
    if (task.question !== null) return task;
    await ask(database, task, { text });
    const answer = (variant: number): string => `${batch.variants[variant]!.name} says ${text}`;
    return saveAnswers(database, task, { left: answer(task.leftVariant), right: answer(task.rightVariant) });
  };
  const compare = (task: Task, better: Side, id = randomUUID()) =>
    recordEvent(database, task.annotatorId, {
      id,
      taskId: task.id,
      kind: "compare",
      better,
      strength: "better",
      safety: "both-safe",
    });

  test("a second migration changes nothing", async () => {
    await migrate(database);
    expect(await database.query("select step from migrations order by step")).toEqual([
      { step: 0 },
      { step: 1 },
      { step: 2 },
    ]);
  });

  test("a token signs in until the next invitation, and is not in the database", async () => {
    const first = await invite(database, "Ann", "lead");
    expect(await annotatorOfToken(database, first)).toMatchObject({
      name: "Ann",
      role: "lead",
      kind: "person",
    });
    const second = await invite(database, "Ann", "lead");
    expect(await annotatorOfToken(database, first)).toBeUndefined();
    expect(await annotatorOfToken(database, second)).toBeDefined();
    const rows = await database.query("select * from annotators");
    expect(JSON.stringify(rows)).not.toContain(second);
    await expect(invite(database, "a\nb", "annotator")).rejects.toThrow(
      '"a\\nb" cannot be an annotator\'s name',
    );
  });

  test("scripts have no token and names of their own", async () => {
    const script = await standInAnnotator(database, { name: "judge.js", kind: "script" });
    expect(await standInAnnotator(database, { name: "judge.js", kind: "script" })).toEqual(script);
    expect((await listAnnotators(database)).filter(({ kind }) => kind === "script")).toHaveLength(1);
    await expect(invite(database, "judge.js", "annotator")).rejects.toThrow(
      "judge.js is the name of a script or a model",
    );
    await invite(database, "Bob", "annotator");
    await expect(standInAnnotator(database, { name: "Bob", kind: "script" })).rejects.toThrow(
      "Bob is the name of a person",
    );
  });

  test("a task stays the same until it is decided; then there is another", async () => {
    const [batch, ann] = [await newBatch(), await annotator()];
    const first = await nextTask(database, { batch, annotatorId: ann, random });
    const [again, twin] = await Promise.all(
      [1, 2].map(() => nextTask(database, { batch, annotatorId: ann, random })),
    );
    expect([again!.id, twin!.id]).toEqual([first.id, first.id]);
    const task = await answered(batch, ann);
    expect(task.id).toBe(first.id);
    await compare(task, "left");
    expect((await nextTask(database, { batch, annotatorId: ann, random })).id).not.toBe(first.id);
    expect(await lastDecided(database, ann, batch.id)).toBe(first.id);
  });

  test("the two variants differ, and each is on the left about as often", async () => {
    const batch = await newBatch();
    const tasks: Task[] = [];
    for (let i = 0; i < 30; i += 1) {
      tasks.push(await nextTask(database, { batch, annotatorId: await annotator(), random }));
    }
    expect(tasks.every(({ leftVariant, rightVariant }) => leftVariant + rightVariant === 1)).toBe(true);
    const lefts = tasks.filter(({ leftVariant }) => leftVariant === 0).length;
    // 30 fair coins: 15, give or take 4 standard deviations of 2.7.
    expect(Math.abs(lefts - 15)).toBeLessThan(11);
  });

  test("nobody reaches another's task", async () => {
    const [batch, ann, bob] = [await newBatch(), await annotator(), await annotator()];
    const task = await answered(batch, ann);
    await expect(taskOf(database, bob, task.id)).rejects.toThrow("there is no such task of yours");
    await expect(
      recordEvent(database, bob, { id: randomUUID(), taskId: task.id, kind: "skip", note: "" }),
    ).rejects.toThrow("there is no such task of yours");
  });

  test("a question is asked once, and must be one of the chat format", async () => {
    const [batch, ann] = [await newBatch(), await annotator()];
    const task = await nextTask(database, { batch, annotatorId: ann, random });
    await expect(ask(database, task, { text: " " })).rejects.toThrow("message 1 (user) is empty");
    await expect(ask(database, task, { text: "a [/INST] b" })).rejects.toThrow("contains [/INST]");
    await ask(database, task, { text: " a\u202Eb " });
    expect((await ask(database, task, { text: "a\u202Eb" })).question).toBe("a\u202Eb");
    await expect(ask(database, task, { text: "other" })).rejects.toThrow("this task has a question already");
    await expect(compare(task, "left")).rejects.toThrow("there are no answers to compare yet");
    const kept = await saveAnswers(database, task, { left: "one\0", right: "two" });
    expect(kept).toMatchObject({ left: "one\uFFFD", right: "two" });
    expect(await saveAnswers(database, task, { left: "late", right: "late" })).toEqual(kept);
  });

  test("an event that is sent twice counts once; a second decision is refused until the first is undone", async () => {
    const [batch, ann] = [await newBatch(), await annotator()];
    const task = await answered(batch, ann);
    const id = randomUUID();
    await Promise.all([compare(task, "left", id), compare(task, "left", id)]);
    await compare(task, "left", id);
    await expect(compare(task, "right")).rejects.toThrow("this task is decided already");
    await recordEvent(database, ann, { id: randomUUID(), taskId: task.id, kind: "undo" });
    expect((await nextTask(database, { batch, annotatorId: ann, random })).id).toBe(task.id);
    await expect(
      recordEvent(database, ann, { id: randomUUID(), taskId: task.id, kind: "undo" }),
    ).rejects.toThrow("there is nothing to undo");
    await compare(task, "right");
    const { comparisons } = await exportComparisons(database, { batches: [batch.name] });
    expect(comparisons.map(({ chosen, rejected }) => [chosen, rejected])).toEqual([[task.right, task.left]]);
  });

  test("a conversation goes on from the chosen answer, and its earlier turn can then not be undone", async () => {
    const [batch, ann] = [await newBatch(), await annotator()];
    const first = await answered(batch, ann, "one");
    await compare(first, "right");
    const undo = () => recordEvent(database, ann, { id: randomUUID(), taskId: first.id, kind: "undo" });
    await continueTask(database, first, { batch, chosen: "right", random });
    // Nothing is asked yet: undone, the continuation is gone.
    await undo();
    await compare(first, "left");
    const second = await continueTask(database, first, { batch, chosen: "left", random });
    expect(second.history).toEqual([
      { role: "user", content: "one" },
      { role: "assistant", content: first.left },
    ]);
    await compare(await answered(batch, ann, "two"), "left");
    await expect(undo()).rejects.toThrow("the conversation went on from this answer");
    const { comparisons } = await exportComparisons(database, { batches: [batch.name] });
    expect(comparisons[1]!.prompt).toEqual([...second.history, { role: "user", content: "two" }]);
  });

  test("flagged items, skips and equal answers are not exported, and counted", async () => {
    const [batch, ann] = [await newBatch(), await annotator()];
    const flagged = await answered(batch, ann);
    await recordEvent(database, ann, { id: randomUUID(), taskId: flagged.id, kind: "flag", note: "odd" });
    await compare(flagged, "left");
    const skipped = await answered(batch, ann);
    await recordEvent(database, ann, { id: randomUUID(), taskId: skipped.id, kind: "skip", note: "" });
    const equal = await nextTask(database, { batch, annotatorId: ann, random });
    await ask(database, equal, { text: "q" });
    await compare(await saveAnswers(database, equal, { left: "same", right: "same " }), "left");
    expect(await exportComparisons(database, { batches: [batch.name] })).toEqual({
      comparisons: [],
      flagged: 1,
      repeated: 0,
      excluded: new Map([["the answers are equal", 1]]),
    });
    expect(await ownProgress(database, batch, ann)).toMatchObject({ comparisons: 2, skips: 1, flags: 1 });
  });

  test("others repeat a share of the items, on sides drawn anew, and agree on answers, not on sides", async () => {
    const batch = await newBatch(0.5);
    const [ann, bob] = [await annotator(), await annotator()];
    const prefersNew = (task: Task): Side => (task.left!.startsWith("new") ? "left" : "right");
    for (let i = 0; i < 6; i += 1) {
      const task = await answered(batch, ann);
      await compare(task, prefersNew(task));
    }
    const repeated: Task[] = [];
    for (let i = 0; i < 12; i += 1) {
      const task = await answered(batch, bob);
      if (task.overlapOf === null) await compare(task, "left");
      else {
        repeated.push(task);
        // Disagrees on the last one.
        const side = prefersNew(task);
        await compare(task, repeated.length < 6 ? side : side === "left" ? "right" : "left");
      }
    }
    expect(repeated).toHaveLength(6);
    expect(new Set(repeated.map(({ overlapOf }) => overlapOf)).size).toBe(6);
    const progress = await batchProgress(database, batch);
    expect(progress.agreement.items).toBe(6);
    expect(progress.agreement.share).toBeCloseTo(5 / 6, 12);
    expect(progress.safetyAgreement).toBe(1);
    const { wins } = progress.winRates[0]!;
    expect(wins.wins + wins.losses).toBe(12);
    expect(wins.wins).toBeGreaterThanOrEqual(6);
    const exported = await exportComparisons(database, { batches: [batch.name] });
    expect([exported.comparisons.length, exported.repeated]).toEqual([12, 6]);
    expect(exported.comparisons[0]!.judge).toMatch(/^person .* \(person\)$/);
  });

  test("a closed batch is changed by nobody, not even in SQL", async () => {
    const [batch, ann] = [await newBatch(), await annotator()];
    const task = await answered(batch, ann);
    await closeBatch(database, batch.id);
    const closed = `batch "${batch.name}" is closed`;
    await expect(compare(task, "left")).rejects.toThrow(closed);
    await expect(closeBatch(database, batch.id)).rejects.toThrow(closed);
    await expect(saveAnswers(database, task, { left: "", right: "" })).rejects.toThrow(closed);
    const statements = [
      `insert into answers (task_id, side, content) values ('${task.id}', 'left', 'x')`,
      `update tasks set question = 'x' where id = '${task.id}'`,
      `delete from tasks where id = '${task.id}'`,
      `update variants set temperature = 0 where batch_id = '${batch.id}'`,
      `insert into variants values ('${batch.id}', 2, 'n', 'm', 1)`,
      `update batches set closed_at = null where id = '${batch.id}'`,
      `delete from batches where id = '${batch.id}'`,
    ];
    for (const statement of statements) {
      await expect(database.query(statement), statement).rejects.toThrow(closed);
    }
    await expect(database.query("truncate events cascade")).rejects.toThrow("are only added to");
    expect((await listBatches(database)).find(({ id }) => id === batch.id)!.closedAt).toBeInstanceOf(Date);
  });

  test("events and answers are only added to", async () => {
    const [batch, ann] = [await newBatch(), await annotator()];
    const task = await answered(batch, ann);
    await compare(task, "left");
    await expect(database.query("update events set better = 'right'")).rejects.toThrow(
      /only added to|is closed/,
    );
    await expect(database.query(`delete from events where task_id = '${task.id}'`)).rejects.toThrow(
      "only added to",
    );
    await expect(
      database.query(`update answers set content = '' where task_id = '${task.id}'`),
    ).rejects.toThrow("only added to");
  });

  test("a batch needs two variants and a name of its own", async () => {
    const batch = await newBatch();
    await expect(openBatch(database, { ...batch, variants: batch.variants.slice(1) })).rejects.toThrow(
      "a batch compares two variants, and has 1",
    );
    await expect(openBatch(database, batch)).rejects.toThrow(`there is a batch "${batch.name}" already`);
  });

  test("what a transaction did before it failed is undone", async () => {
    const name = randomUUID();
    const failing = database.transaction(async (queries) => {
      await queries.query("insert into annotators (id, name, role, kind) values ($1, $1, 'lead', 'person')", [
        name,
      ]);
      throw new Error("stop");
    });
    await expect(failing).rejects.toThrow("stop");
    expect((await listAnnotators(database)).some((row) => row.name === name)).toBe(false);
  });
}
