import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { invite } from "../../src/preference/annotation/annotators.ts";
import { closeBatch, openBatch, type Batch } from "../../src/preference/annotation/batches.ts";
import type { Database } from "../../src/preference/database.ts";
import { createAnnotationApp, type AnnotationApp } from "../../src/serve/annotate/app.ts";
import type { AnswerRequest } from "../../src/preference/annotation/answers.ts";
import { openEmbeddedStore, type OpenedStore } from "../preference/databases.ts";

let store: OpenedStore;
let database: Database;
let annotation: AnnotationApp;
/** Settles before an answer's second half. */
let half: Promise<void> = Promise.resolve();
const generated: AnswerRequest[] = [];

const variants = [
  { name: "secret-new", model: "secret/new", temperature: 0.75 },
  { name: "secret-old", model: "secret/old", temperature: 1 },
];

beforeAll(async () => {
  store = await openEmbeddedStore();
  database = store.database;
  annotation = createAnnotationApp({
    database,
    variants,
    random: createRandom(5),
    async *generate(request) {
      generated.push(request);
      if (request.prompt.at(-1)!.content === "fail") throw new Error("the model's process ended");
      yield `first half of ${request.variant.place}, `;
      await half;
      yield "second half";
    },
  });
}, 120_000);
afterAll(async () => {
  annotation[Symbol.dispose]();
  await store.close();
});

let batches = 0;
const newBatch = (quality: Batch["quality"] = "helpfulness"): Promise<Batch> =>
  openBatch(database, {
    name: `batch ${(batches += 1)}`,
    policyVersion: "v1",
    quality,
    split: "train",
    overlapShare: 0,
    variants,
  });

type Ask = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Response>;

async function request(...[method, path, body, headers = {}]: Parameters<Ask>): Promise<Response> {
  return annotation.app.request(`http://localhost/annotate/api${path}`, {
    method,
    headers: {
      host: "localhost",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function signIn(role: "annotator" | "lead" = "annotator"): Promise<Ask> {
  const token = await invite(database, `${role} ${randomUUID()}`, role);
  const response = await request("POST", "/session", { token });
  const [cookie] = response.headers.getSetCookie();
  expect(cookie).toMatch(/^cria_annotator=.+; Max-Age=2592000; Path=\/annotate; HttpOnly; SameSite=Strict$/);
  return (method, path, body, headers) =>
    request(method, path, body, { cookie: cookie!.split(";")[0]!, ...headers });
}

interface TaskView {
  id: string;
  question: string | null;
  left: string | null;
  right: string | null;
  history: unknown[];
  progress: { comparisons: number };
  lastDecided: string | null;
}

const json = async <T = TaskView>(response: Promise<Response>): Promise<T> =>
  (await (await response).json()) as T;

async function events(response: Promise<Response>): Promise<Record<string, unknown>[]> {
  const text = await (await response).text();
  return text
    .split("\n")
    .filter((line) => line.startsWith("data:"))
    .map((line) => JSON.parse(line.slice(5)) as Record<string, unknown>);
}

test("without an invitation there is nothing, and a wrong one says so", async () => {
  expect((await request("GET", "/me")).status).toBe(401);
  expect((await request("GET", "/lead/batches")).status).toBe(401);
  const refused = await request("POST", "/session", { token: "guess" });
  expect([refused.status, await refused.json()]).toEqual([
    401,
    { error: "This invitation is not valid any more." },
  ]);
});

test("pages of other sites and bodies that are no JSON are refused", async () => {
  const ann = await signIn();
  expect((await ann("GET", "/me", undefined, { origin: "https://evil.example" })).status).toBe(403);
  expect((await ann("GET", "/me", undefined, { origin: "http://localhost" })).status).toBe(200);
  const plain = await ann("POST", "/session", {}, { "content-type": "text/plain" });
  expect(plain.status).toBe(400);
  expect((await ann("POST", `/tasks/${randomUUID()}/events`, { kind: "compare" })).status).toBe(400);
});

test("a task from question to decision, undo and continuation; the page never learns the variants", async () => {
  const [batch, ann] = [await newBatch(), await signIn()];
  const seen: string[] = [];
  const noting = async (response: Promise<Response>): Promise<TaskView> => {
    const text = await (await response).text();
    seen.push(text);
    return JSON.parse(text) as TaskView;
  };
  const task = await noting(ann("GET", `/batches/${batch.id}/task`));
  expect(task).toMatchObject({ question: null, left: null, history: [], lastDecided: null });
  expect(await json(ann("GET", `/tasks/${task.id}/answers`))).toMatchObject({
    error: "there is no question yet",
  });
  await noting(ann("POST", `/tasks/${task.id}/question`, { text: "What is a cria?" }));
  const streamed = await events(ann("GET", `/tasks/${task.id}/answers`));
  expect(streamed.at(-1)).toEqual({ type: "done" });
  const answered = await noting(ann("GET", `/batches/${batch.id}/task`));
  const said = (side: string): string =>
    streamed
      .filter((event) => event["side"] === side)
      .map((event) => event["text"])
      .join("");
  expect([answered.left, answered.right]).toEqual([said("left"), said("right")]);
  expect(new Set([said("left"), said("right")])).toEqual(
    new Set(["first half of 0, second half", "first half of 1, second half"]),
  );
  // Asked again, the stored answers are not made anew.
  const before = generated.length;
  expect(await events(ann("GET", `/tasks/${task.id}/answers`))).toEqual([{ type: "done" }]);
  expect(generated.length).toBe(before);

  const compare = { kind: "compare", better: "left", strength: "better", safety: "both-safe" };
  expect((await ann("POST", `/tasks/${task.id}/events`, { id: randomUUID(), ...compare })).status).toBe(200);
  const twice = await ann("POST", `/tasks/${task.id}/events`, { id: randomUUID(), ...compare });
  expect([twice.status, await twice.json()]).toEqual([
    409,
    { error: "this task is decided already", mend: "Undo it first, or go on with the next." },
  ]);
  const next = await noting(ann("GET", `/batches/${batch.id}/task`));
  expect(next.lastDecided).toBe(task.id);
  expect(next.progress.comparisons).toBe(1);
  await ann("POST", `/tasks/${task.id}/events`, { id: randomUUID(), kind: "undo" });
  expect((await noting(ann("GET", `/batches/${batch.id}/task`))).id).toBe(task.id);
  expect((await ann("POST", `/tasks/${task.id}/continue`, {})).status).toBe(409);
  await ann("POST", `/tasks/${task.id}/events`, { id: randomUUID(), ...compare });
  const continued = await noting(ann("POST", `/tasks/${task.id}/continue`, {}));
  expect(continued.history).toEqual([
    { role: "user", content: "What is a cria?" },
    { role: "assistant", content: answered.left },
  ]);
  expect(seen.join("\n")).not.toContain("secret");
  expect(seen.join("\n")).not.toContain("ariant");
});

test("a page that comes late hears what was said before, and a page that leaves stops nothing", async () => {
  const [batch, ann] = [await newBatch(), await signIn()];
  const { id } = await json(ann("GET", `/batches/${batch.id}/task`));
  await ann("POST", `/tasks/${id}/question`, { text: "slowly" });
  let release = (): void => {};
  half = new Promise((resolve) => {
    release = resolve;
  });
  const before = generated.length;
  const first = await ann("GET", `/tasks/${id}/answers`);
  const reader = first.body!.getReader();
  await reader.read();
  await reader.cancel();
  const second = events(ann("GET", `/tasks/${id}/answers`));
  await sleep(20);
  release();
  expect((await second).map((event) => event["type"])).toEqual(["text", "text", "text", "text", "done"]);
  expect(generated.length - before).toBe(2);
});

test("a model that fails is said to the page, and asked again at the next request", async () => {
  const [batch, ann] = [await newBatch(), await signIn()];
  const { id } = await json(ann("GET", `/batches/${batch.id}/task`));
  await ann("POST", `/tasks/${id}/question`, { text: "fail" });
  const failed = { type: "failed", message: "the model's process ended" };
  expect(await events(ann("GET", `/tasks/${id}/answers`))).toEqual([failed]);
  expect(await events(ann("GET", `/tasks/${id}/answers`))).toEqual([failed]);
});

test("a safety prompt names its risk and the way it tries", async () => {
  const [batch, ann] = [await newBatch("safety"), await signIn()];
  const { id } = await json(ann("GET", `/batches/${batch.id}/task`));
  expect((await ann("POST", `/tasks/${id}/question`, { text: "q" })).status).toBe(409);
  expect(
    (await ann("POST", `/tasks/${id}/question`, { text: "q", risk: "rain", attack: "logic" })).status,
  ).toBe(400);
  expect(
    await json(ann("POST", `/tasks/${id}/question`, { text: "q", risk: "illicit", attack: "logic" })),
  ).toMatchObject({ risk: "illicit", attack: "logic" });
});

test("nobody reaches another's task, and only the lead the lead's pages", async () => {
  const [batch, ann, bob] = [await newBatch(), await signIn(), await signIn()];
  const { id } = await json(ann("GET", `/batches/${batch.id}/task`));
  const answers = await bob("POST", `/tasks/${id}/question`, { text: "q" });
  expect([answers.status, await answers.json()]).toMatchObject([
    409,
    { error: "there is no such task of yours" },
  ]);
  expect(
    (await bob("POST", `/tasks/${id}/events`, { id: randomUUID(), kind: "skip", note: "" })).status,
  ).toBe(409);
  for (const path of ["/lead/batches", "/lead/export"]) expect((await bob("GET", path)).status).toBe(403);
  expect((await bob("POST", "/lead/invitations", { name: "x", role: "lead" })).status).toBe(403);
});

test("the lead opens a batch, invites, sees what is done, exports and closes", async () => {
  const lead = await signIn("lead");
  const draft = { name: "week 9", policyVersion: "v9", quality: "safety", split: "test", overlapShare: 0.1 };
  const { id } = await json<{ id: string }>(lead("POST", "/lead/batches", draft));
  const { token } = await json<{ token: string }>(
    lead("POST", "/lead/invitations", { name: "New person", role: "annotator" }),
  );
  expect((await request("POST", "/session", { token })).status).toBe(200);
  const { batches: all } = await json<{ batches: { id: string; name: string; annotators: unknown[] }[] }>(
    lead("GET", "/lead/batches"),
  );
  expect(all.find((batch) => batch.id === id)).toMatchObject({
    name: "week 9",
    split: "test",
    annotators: [],
  });
  const exported = await lead("GET", "/lead/export?batch=batch%201");
  expect(exported.headers.get("content-disposition")).toBe('attachment; filename="preferences.jsonl"');
  const [row] = (await exported.text())
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as object);
  expect(row).toMatchObject({
    prompt: [{ role: "user", content: "What is a cria?" }],
    strength: "better",
    margin: 2 / 3,
    judge: expect.stringMatching(/^annotator .* \(person\)$/) as string,
  });
  expect((await lead("POST", `/lead/batches/${id}/close`, {})).status).toBe(200);
  const again = await lead("POST", `/lead/batches/${id}/close`, {});
  expect(await again.json()).toEqual({
    error: 'batch "week 9" is closed',
    mend: "Closed batches stay as they are; open a new one.",
  });
  const ann = await signIn();
  const { batches: open } = await json<{ batches: { id: string }[] }>(ann("GET", "/me"));
  expect(open.some((batch) => batch.id === id)).toBe(false);
});

test("a batch that is closed while an annotator writes says so", async () => {
  const [batch, ann] = [await newBatch(), await signIn()];
  const { id } = await json(ann("GET", `/batches/${batch.id}/task`));
  await closeBatch(database, batch.id);
  const late = await ann("POST", `/tasks/${id}/question`, { text: "q" });
  expect(await late.json()).toMatchObject({ error: `batch "${batch.name}" is closed` });
});
