/** What an annotator does: gets a task, asks, hears two answers, decides, undoes, goes on. */

import type { Context, Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { z } from "zod";
import { ConfigError } from "../../errors/errors.ts";
import { listBatches, type Batch } from "../../preference/annotation/batches.ts";
import { decisionOf, lastDecided, recordEvent } from "../../preference/annotation/events.ts";
import { attackStyles, guidelines, riskCategories } from "../../preference/annotation/guidelines.ts";
import { ownProgress } from "../../preference/annotation/progress.ts";
import { ask, continueTask, nextTask, taskOf, type Task } from "../../preference/annotation/tasks.ts";
import { safetyLabels, strengths } from "../../preference/comparison.ts";
import type { Database } from "../../preference/database.ts";
import type { AnswerStreams } from "./answer-streams.ts";
import { bodyOf, type AnnotationEnvironment, type AnnotationOptions } from "./http.ts";

export function taskRoutes(
  app: Hono<AnnotationEnvironment>,
  { database, random, variants }: AnnotationOptions,
  streams: AnswerStreams,
): void {
  app.get("/me", async (c) => {
    const { name, role } = c.get("annotator");
    const open = (await listBatches(database)).filter((batch) => isServed(batch, variants));
    const batches = open.map(({ id, name: title, quality }) => ({ id, name: title, quality }));
    return c.json({ name, role, batches, guidelines, riskCategories, attackStyles });
  });
  app.get("/batches/:batch/task", async (c) => {
    const annotatorId = c.get("annotator").id;
    const batch = await batchOf(database, c.req.param("batch"));
    const task = await nextTask(database, { batch, annotatorId, random });
    return c.json(await viewOf(database, batch, task));
  });
  app.post("/tasks/:task/question", async (c) => {
    const { text, risk, attack } = await bodyOf(c, Question);
    const { task, batch } = await ownTask(c, database);
    if (batch.quality === "safety" && (risk === undefined || attack === undefined)) {
      throw new ConfigError("a safety prompt names its risk and the way it tries", { mend: "Choose both." });
    }
    const asked = await ask(database, task, {
      text,
      ...(risk === undefined ? {} : { risk }),
      ...(attack === undefined ? {} : { attack }),
    });
    return c.json(await viewOf(database, batch, asked));
  });
  app.get("/tasks/:task/answers", async (c) => {
    const { task, batch } = await ownTask(c, database);
    if (task.question === null) throw new ConfigError("there is no question yet", { mend: "Ask one." });
    return streamSSE(c, async (sse) => {
      const left = new AbortController();
      sse.onAbort(() => left.abort());
      // Answers that are stored are in the task itself.
      if (task.left !== null) return sse.writeSSE({ data: JSON.stringify({ type: "done" }) });
      for await (const event of streams.listen(task, batch, left.signal)) {
        await sse.writeSSE({ data: JSON.stringify(event) });
      }
    });
  });
  decisionRoutes(app, { database, random });
}

// --- internal ---

const Question = z.strictObject({
  text: z.string().min(1).max(100_000),
  risk: z.enum(Object.keys(riskCategories) as (keyof typeof riskCategories)[]).optional(),
  attack: z.enum(Object.keys(attackStyles) as (keyof typeof attackStyles)[]).optional(),
});

const EventBody = z.discriminatedUnion("kind", [
  z.strictObject({
    id: z.uuid(),
    kind: z.literal("compare"),
    better: z.enum(["left", "right"]),
    strength: z.enum(strengths),
    safety: z.enum(safetyLabels),
  }),
  z.strictObject({ id: z.uuid(), kind: z.enum(["skip", "flag"]), note: z.string().max(2000) }),
  z.strictObject({ id: z.uuid(), kind: z.literal("undo") }),
]);

function decisionRoutes(
  app: Hono<AnnotationEnvironment>,
  { database, random }: Pick<AnnotationOptions, "database" | "random">,
): void {
  app.post("/tasks/:task/events", async (c) => {
    const event = await bodyOf(c, EventBody);
    await recordEvent(database, c.get("annotator").id, { ...event, taskId: c.req.param("task") });
    return c.json({});
  });
  app.post("/tasks/:task/continue", async (c) => {
    const { task, batch } = await ownTask(c, database);
    const decision = await decisionOf(database, task.id);
    if (decision?.kind !== "compare" || decision.better === null) {
      throw new ConfigError("only a compared answer can be gone on from", { mend: "Compare first." });
    }
    return c.json(
      await viewOf(
        database,
        batch,
        await continueTask(database, task, { batch, chosen: decision.better, random }),
      ),
    );
  });
}

/** Of a batch whose models are not served, nothing can be asked. */
function isServed(batch: Batch, served: AnnotationOptions["variants"]): boolean {
  return (
    batch.closedAt === null &&
    batch.variants.every(({ model }) => served.some((each) => each.model === model))
  );
}

async function batchOf(database: Database, id: string): Promise<Batch> {
  const batch = (await listBatches(database)).find((each) => each.id === id);
  if (batch !== undefined) return batch;
  throw new ConfigError("there is no such batch", { mend: "Reload the page." });
}

async function ownTask(
  c: Context<AnnotationEnvironment>,
  database: Database,
): Promise<{ task: Task; batch: Batch }> {
  const task = await taskOf(database, c.get("annotator").id, c.req.param("task") ?? "");
  return { task, batch: await batchOf(database, task.batchId) };
}

/** What the page may know of a task: not which variants answered, nor whether others had it too. */
async function viewOf(database: Database, batch: Batch, task: Task): Promise<Record<string, unknown>> {
  const { id, history, question, risk, attack, left, right, annotatorId } = task;
  const [progress, lastId] = await Promise.all([
    ownProgress(database, batch, annotatorId),
    lastDecided(database, annotatorId, batch.id),
  ]);
  const { repeated: _, ...shown } = progress;
  return { id, history, question, risk, attack, left, right, progress: shown, lastDecided: lastId ?? null };
}
