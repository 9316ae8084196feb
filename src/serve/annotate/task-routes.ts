/** What an annotator does: gets a task, asks, hears two answers, decides, undoes, goes on. */

import { z } from "zod";
import { ConfigError } from "../../errors/errors.ts";
import { listBatches, type Batch } from "../../preference/annotation/batches.ts";
import { decisionOf, lastDecided, recordEvent } from "../../preference/annotation/events.ts";
import { attackStyles, guidelines, riskCategories } from "../../preference/annotation/guidelines.ts";
import { ownProgress } from "../../preference/annotation/progress.ts";
import { ask, continueTask, nextTask, taskOf, type Task } from "../../preference/annotation/tasks.ts";
import { safetyLabels, strengths } from "../../preference/comparison.ts";
import type { Database } from "../../preference/database.ts";
import type { Route } from "../route.ts";
import type { AnnotationOptions } from "./annotation.ts";
import type { AnswerEvent, AnswerStreams } from "./answer-streams.ts";
import { signedIn, type SignedInCall } from "./session.ts";

export function taskRoutes(options: AnnotationOptions, streams: AnswerStreams): Route[] {
  const { database, random, variants } = options;
  const route = signedIn(options);
  return [
    route({
      method: "get",
      path: "/me",
      summary: "Who is signed in, and what is to be done",
      async handle({ c, annotator: { name, role } }) {
        const open = (await listBatches(database)).filter((batch) => isServed(batch, variants));
        const batches = open.map(({ id, name: title, quality }) => ({ id, name: title, quality }));
        return c.json({ name, role, batches, guidelines, riskCategories, attackStyles });
      },
    }),
    route({
      method: "get",
      path: "/batches/:batch/task",
      summary: "The task to do next",
      async handle({ c, annotator }) {
        const batch = await batchOf(database, c.req.param("batch") ?? "");
        const task = await nextTask(database, { batch, annotatorId: annotator.id, random });
        return c.json(await viewOf(database, batch, task));
      },
    }),
    route({
      method: "get",
      path: "/tasks/:task/answers",
      summary: "Both answers as they are written",
      async handle(call) {
        const { task, batch } = await ownTask(call, database);
        if (task.question === null) throw new ConfigError("there is no question yet", { mend: "Ask one." });
        // Answers that are stored are in the task itself.
        return call.stream(task.left === null ? streams.listen(task, batch, call.signal) : whole());
      },
    }),
    ...questionRoutes(options),
    ...decisionRoutes(options),
  ];
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

function questionRoutes(options: AnnotationOptions): Route[] {
  const { database } = options;
  const question = signedIn(options)({
    method: "post",
    path: "/tasks/:task/question",
    summary: "Asks both variants",
    body: Question,
    async handle(call) {
      const { text, risk, attack } = call.body;
      const { task, batch } = await ownTask(call, database);
      if (batch.quality === "safety" && (risk === undefined || attack === undefined)) {
        throw new ConfigError("a safety prompt names its risk and the way it tries", {
          mend: "Choose both.",
        });
      }
      const asked = await ask(database, task, {
        text,
        ...(risk === undefined ? {} : { risk }),
        ...(attack === undefined ? {} : { attack }),
      });
      return call.c.json(await viewOf(database, batch, asked));
    },
  });
  return [question];
}

function decisionRoutes(options: AnnotationOptions): Route[] {
  const { database, random } = options;
  const route = signedIn(options);
  return [
    route({
      method: "post",
      path: "/tasks/:task/events",
      summary: "Decides, skips, flags or undoes",
      body: EventBody,
      async handle({ c, body, annotator }) {
        await recordEvent(database, annotator.id, { ...body, taskId: c.req.param("task") ?? "" });
        return c.json({});
      },
    }),
    route({
      method: "post",
      path: "/tasks/:task/continue",
      summary: "Goes on from the chosen answer",
      async handle(call) {
        const { task, batch } = await ownTask(call, database);
        const decision = await decisionOf(database, task.id);
        if (decision?.kind !== "compare" || decision.better === null) {
          throw new ConfigError("only a compared answer can be gone on from", { mend: "Compare first." });
        }
        const next = await continueTask(database, task, { batch, chosen: decision.better, random });
        return call.c.json(await viewOf(database, batch, next));
      },
    }),
  ];
}

async function* whole(): AsyncGenerator<AnswerEvent> {
  yield { type: "done" };
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
  { c, annotator }: Pick<SignedInCall, "c" | "annotator">,
  database: Database,
): Promise<{ task: Task; batch: Batch }> {
  const task = await taskOf(database, annotator.id, c.req.param("task") ?? "");
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
