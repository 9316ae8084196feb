/**
 * Tasks: a conversation so far, a question that the annotator writes, and two answers to it. What stands behind the left
 * and the right one is drawn when the task is made, with the seed of their sampling, so a server that dies while the
 * answers stream gives the same ones again.
 */

import { randomUUID } from "node:crypto";
import type { Random } from "../../corpus/random.ts";
import { checkDialog, strip, type Dialog } from "../../dialog/message.ts";
import { ConfigError } from "../../errors/errors.ts";
import { storable, type Database, type Queries } from "../database.ts";
import type { Batch } from "./batches.ts";
import type { AttackStyle, RiskCategory } from "./guidelines.ts";

export type Side = "left" | "right";

export interface Task {
  readonly id: string;
  readonly batchId: string;
  readonly annotatorId: string;
  /** Another annotator's task whose question and answers this one has, to see how far the two agree. */
  readonly overlapOf: string | null;
  /** The turns before the question: of the task that this one goes on from, with the answer chosen there. */
  readonly history: Dialog;
  readonly question: string | null;
  readonly risk: RiskCategory | null;
  readonly attack: AttackStyle | null;
  /** Places of the variants. */
  readonly leftVariant: number;
  readonly rightVariant: number;
  readonly seed: number;
  /** Both are there or neither is. */
  readonly left: string | null;
  readonly right: string | null;
}

export interface Question {
  readonly text: string;
  /** Both only where the batch is about safety. */
  readonly risk?: RiskCategory;
  readonly attack?: AttackStyle;
}

/** Batches that an annotator has tasks in. */
export async function annotatedBatches(queries: Queries, annotatorId: string): Promise<ReadonlySet<string>> {
  const rows = await queries.query<{ id: string }>(
    "select distinct batch_id as id from tasks where annotator_id = $1",
    [annotatorId],
  );
  return new Set(rows.map(({ id }) => id));
}

/**
 * What the annotator is to do next in an open batch: a task that was begun, or undone; else, every so often, one that
 * others have decided; else a new one.
 *
 * @throws {ConfigError} when the batch is closed.
 */
export async function nextTask(
  database: Database,
  { batch, annotatorId, random }: { batch: Batch; annotatorId: string; random: Random },
): Promise<Task> {
  return database.transaction(async (queries) => {
    // Two pages of one annotator get the same task.
    await queries.query("select pg_advisory_xact_lock(hashtext($1))", [annotatorId]);
    const [begun] = await queries.query<Task>(
      `${taskRows} where t.annotator_id = $1 and t.batch_id = $2
         and not exists (select from decisions d where d.task_id = t.id and d.kind <> 'undo')
       order by t.number limit 1`,
      [annotatorId, batch.id],
    );
    if (begun !== undefined) return begun;
    const overlap = await overlapFor(queries, batch, annotatorId);
    return overlap === undefined
      ? insertTask(queries, { batch, annotatorId, ...drawVariants(batch, random), history: [] })
      : copyTask(queries, overlap, { annotatorId, random });
  });
}

/** A task of this annotator. @throws {ConfigError} when it is somebody else's, or none. */
export async function taskOf(queries: Queries, annotatorId: string, id: string): Promise<Task> {
  const [task] = await queries.query<Task>(`${taskRows} where t.id = $1 and t.annotator_id = $2`, [
    id,
    annotatorId,
  ]);
  if (task !== undefined) return task;
  throw new ConfigError("there is no such task of yours", { mend: "Reload the page." });
}

/** The task of a script for a prompt, which is made where there is none. */
export async function scriptTask(
  database: Database,
  prompt: Dialog,
  { batch, annotatorId, random }: { batch: Batch; annotatorId: string; random: Random },
): Promise<Task> {
  const history = prompt.slice(0, -1);
  const text = strip(prompt.at(-1)!.content);
  const [known] = await database.query<Task>(
    `${taskRows} where t.batch_id = $1 and t.annotator_id = $2 and t.history = $3::jsonb and t.question = $4`,
    [batch.id, annotatorId, JSON.stringify(history), text],
  );
  if (known !== undefined) return known;
  const drawn = drawVariants(batch, random);
  const task = await database.transaction(async (queries) => {
    const made = await insertTask(queries, { batch, annotatorId, ...drawn, history });
    await queries.query("update tasks set question = $2, asked_at = now() where id = $1", [made.id, text]);
    return made;
  });
  return { ...task, question: text };
}

/** A task that goes on from a decided one: its history ends with the answer that was chosen there. */
export async function continueTask(
  database: Database,
  from: Task,
  { batch, chosen, random }: { batch: Batch; chosen: Side; random: Random },
): Promise<Task> {
  const history = [...promptOf(from), { role: "assistant" as const, content: from[chosen]! }];
  return database.transaction((queries) =>
    insertTask(queries, {
      batch,
      annotatorId: from.annotatorId,
      parentId: from.id,
      ...drawVariants(batch, random),
      history,
    }),
  );
}

/** @throws {ConfigError} when it has a question already, or the question cannot be one of Llama 2's chat format. */
export async function ask(database: Database, task: Task, question: Question): Promise<Task> {
  const text = storable(strip(question.text));
  checkDialog([...task.history, { role: "user", content: text }], "the conversation");
  const asked = await database.query(
    `update tasks set question = $2, risk = $3, attack = $4, asked_at = now()
     where id = $1 and question is null returning id`,
    [task.id, text, question.risk ?? null, question.attack ?? null],
  );
  const now = await taskOf(database, task.annotatorId, task.id);
  // The same question again is a page that did not hear of its success.
  if (asked.length === 0 && now.question !== text) {
    throw new ConfigError("this task has a question already", { mend: "Reload the page." });
  }
  return now;
}

/** Keeps both answers, or, where another page was faster, what it kept. */
export async function saveAnswers(
  database: Database,
  task: Task,
  answers: { readonly left: string; readonly right: string },
): Promise<Task> {
  await database.query(
    `insert into answers (task_id, side, content) values ($1, 'left', $2), ($1, 'right', $3)
     on conflict do nothing`,
    [task.id, storable(answers.left), storable(answers.right)],
  );
  return taskOf(database, task.annotatorId, task.id);
}

/** What the variants answered to. */
export function promptOf(task: Task): Dialog {
  return [...task.history, { role: "user", content: task.question! }];
}

// --- internal ---

const taskRows = `
  select t.id, t.batch_id as "batchId", t.annotator_id as "annotatorId", t.overlap_of as "overlapOf", t.history,
    t.question, t.risk, t.attack, t.left_variant as "leftVariant", t.right_variant as "rightVariant", t.seed,
    l.content as left, r.content as right
  from tasks t
    left join answers l on l.task_id = t.id and l.side = 'left'
    left join answers r on r.task_id = t.id and r.side = 'right'`;

interface NewTask {
  readonly batch: Batch;
  readonly annotatorId: string;
  readonly parentId?: string;
  readonly overlapOf?: string;
  readonly leftVariant: number;
  readonly rightVariant: number;
  readonly seed: number;
  readonly history: Dialog;
}

async function insertTask(queries: Queries, task: NewTask): Promise<Task> {
  const id = randomUUID();
  await queries.query(
    `insert into tasks (id, batch_id, annotator_id, parent_id, overlap_of, history, left_variant, right_variant, seed)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      id,
      task.batch.id,
      task.annotatorId,
      task.parentId ?? null,
      task.overlapOf ?? null,
      JSON.stringify(task.history),
      task.leftVariant,
      task.rightVariant,
      task.seed,
    ],
  );
  return taskOf(queries, task.annotatorId, id);
}

function drawVariants(
  { variants }: Batch,
  random: Random,
): Pick<Task, "leftVariant" | "rightVariant" | "seed"> {
  const leftVariant = random.int(variants.length);
  const other = random.int(variants.length - 1);
  return {
    leftVariant,
    rightVariant: other < leftVariant ? other : other + 1,
    seed: random.int(2 ** 31 - 1),
  };
}

/** The oldest task of others for this annotator to repeat, when it is time for one. */
async function overlapFor(queries: Queries, batch: Batch, annotatorId: string): Promise<string | undefined> {
  const [counts] = await queries.query<{ all: number; repeated: number }>(
    `select count(*)::int as all, count(overlap_of)::int as repeated from tasks
     where annotator_id = $1 and batch_id = $2`,
    [annotatorId, batch.id],
  );
  const due = Math.floor(batch.overlapShare * (counts!.all + 1));
  if (counts!.repeated >= due) return undefined;
  const [origin] = await queries.query<{ id: string }>(
    `select t.id from tasks t join decisions d on d.task_id = t.id and d.kind = 'compare'
     where t.batch_id = $2 and t.annotator_id <> $1 and t.overlap_of is null
       and not exists (select from tasks c where c.overlap_of = t.id and c.annotator_id = $1)
     order by (select count(*) from tasks c where c.overlap_of = t.id), t.number limit 1`,
    [annotatorId, batch.id],
  );
  return origin?.id;
}

/** Question and answers of another's task, on sides drawn anew. */
async function copyTask(
  queries: Queries,
  origin: string,
  { annotatorId, random }: { annotatorId: string; random: Random },
): Promise<Task> {
  const id = randomUUID();
  const isSwapped = random.int(2) === 1;
  await queries.query(
    `insert into tasks (id, batch_id, annotator_id, overlap_of, history, left_variant, right_variant, seed, question,
       risk, attack, asked_at)
     select $2, batch_id, $3, id, history, ${isSwapped ? "right_variant, left_variant" : "left_variant, right_variant"},
       seed, question, risk, attack, now() from tasks where id = $1`,
    [origin, id, annotatorId],
  );
  await queries.query(
    `insert into answers (task_id, side, content)
     select $2, ${isSwapped ? "case side when 'left' then 'right' else 'left' end" : "side"}, content
     from answers where task_id = $1`,
    [origin, id],
  );
  return taskOf(queries, annotatorId, id);
}
