/**
 * What annotators did, as a log: an event carries an id that its page made, so one sent twice counts once, and a page
 * that never heard of its success sends again.
 */

import { ConfigError } from "../../errors/errors.ts";
import type { SafetyLabel, Strength } from "../comparison.ts";
import type { Database, Queries } from "../database.ts";
import { taskOf, type Side, type Task } from "./tasks.ts";

export type AnnotationEvent = { readonly id: string; readonly taskId: string } & (
  | {
      readonly kind: "compare";
      readonly better: Side;
      readonly strength: Strength;
      /** Undefined where a stand-in cannot tell; people say it. */
      readonly safety?: SafetyLabel | undefined;
    }
  | { readonly kind: "skip" | "flag"; readonly note: string }
  | { readonly kind: "undo" }
);

/** What stands of a task: its last comparison or skip, when no undo came after. */
export interface Decision {
  readonly kind: "compare" | "skip";
  readonly better: Side | null;
  readonly strength: Strength | null;
  readonly safety: SafetyLabel | null;
}

/**
 * Adds an event; when it returns, the event is on the disk.
 *
 * @throws {ConfigError} when the task is somebody else's, in a closed batch, or not in a state for the event.
 */
export async function recordEvent(
  database: Database,
  annotatorId: string,
  event: AnnotationEvent,
): Promise<void> {
  await database.transaction(async (queries) => {
    // Of two events on one task the second sees the first.
    await queries.query("select id from tasks where id = $1 for update", [event.taskId]);
    const task = await taskOf(queries, annotatorId, event.taskId);
    const known = await queries.query<{ task: string }>("select task_id as task from events where id = $1", [
      event.id,
    ]);
    if (known.some((row) => row.task === event.taskId)) return;
    if (event.kind !== "flag") await checkState(queries, task, event);
    const compared = event.kind === "compare" ? event : undefined;
    const note = event.kind === "skip" || event.kind === "flag" ? event.note.replaceAll("\0", "") : null;
    await queries.query(
      `insert into events (id, task_id, annotator_id, kind, better, strength, safety, note)
       values ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [
        event.id,
        event.taskId,
        annotatorId,
        event.kind,
        compared?.better ?? null,
        compared?.strength ?? null,
        compared?.safety ?? null,
        note,
      ],
    );
  });
}

/** @returns undefined where the task is not decided. */
export async function decisionOf(queries: Queries, taskId: string): Promise<Decision | undefined> {
  const [decision] = await queries.query<Decision>(
    "select kind, better, strength, safety from decisions where task_id = $1 and kind <> 'undo'",
    [taskId],
  );
  return decision;
}

/** The task that was decided last in an open batch, which an undo would open again. */
export async function lastDecided(
  queries: Queries,
  annotatorId: string,
  batchId: string,
): Promise<string | undefined> {
  const [last] = await queries.query<{ id: string }>(
    `select t.id from tasks t join decisions d on d.task_id = t.id
     where t.annotator_id = $1 and t.batch_id = $2 and d.kind <> 'undo' order by d.number desc limit 1`,
    [annotatorId, batchId],
  );
  return last?.id;
}

// --- internal ---

async function checkState(queries: Queries, task: Task, event: AnnotationEvent): Promise<void> {
  const decision = await decisionOf(queries, task.id);
  if (event.kind === "undo") {
    if (decision === undefined) {
      throw new ConfigError("there is nothing to undo on this task", { mend: "Reload the page." });
    }
    await removeContinuations(queries, task);
    return;
  }
  if (decision !== undefined) {
    throw new ConfigError("this task is decided already", { mend: "Undo it first, or go on with the next." });
  }
  if (event.kind === "compare" && (task.left === null || task.right === null)) {
    throw new ConfigError("there are no answers to compare yet", { mend: "Wait until both are complete." });
  }
}

/** Tasks that went on from the chosen answer make no sense once it is not chosen; begun ones stand in the way. */
async function removeContinuations(queries: Queries, task: Task): Promise<void> {
  const rows = await queries.query<{ id: string; question: string | null }>(
    "select id, question from tasks where parent_id = $1",
    [task.id],
  );
  if (rows.some(({ question }) => question !== null)) {
    throw new ConfigError("the conversation went on from this answer", {
      mend: "Undo the later turn first.",
    });
  }
  await queries.query("delete from tasks where parent_id = $1", [task.id]);
}
