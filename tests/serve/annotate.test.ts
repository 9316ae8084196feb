import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { invite } from "../../src/preference/annotation/annotators.ts";
import { closeBatch, openBatch, type Batch } from "../../src/preference/annotation/batches.ts";
import type { Database } from "../../src/preference/database.ts";
import { createAnnotation, type Annotation } from "../../src/serve/annotate/annotation.ts";
import { createApp } from "../../src/serve/app.ts";
import type { LoggedRequest } from "../../src/serve/request-log.ts";
import { cloudRoutes } from "../../src/serve/routes/cloud.ts";
import type { AnswerRequest } from "../../src/preference/annotation/answers.ts";
import { openEmbeddedStore, type OpenedStore } from "../preference/databases.ts";
import { events, json, problemOf, type LeadCard, type TaskView } from "./annotation-client.ts";
import { noEngine } from "./no-engine.ts";

let store: OpenedStore;
let database: Database;
let annotation: Annotation;
let app: ReturnType<typeof createApp>;
const leadKey = "only-the-lead-has-it";
const reports: string[] = [];
const log: LoggedRequest[] = [];
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
  annotation = createAnnotation({
    database,
    variants,
    random: createRandom(5),
    report: (reason) => reports.push(reason),
    answersOf: () =>
      async function* (request) {
        generated.push(request);
        if (request.prompt.at(-1)!.content === "fail") throw new Error("the process of secret/new ended");
        yield `first half of ${request.variant.place}, `;
        await half;
        yield "second half";
      },
  });
  const file = { bytes: new Uint8Array([49]), type: "text/html", isImmutable: false };
  app = createApp({
    engine: noEngine,
    apiKeys: [leadKey],
    annotation: annotation.routes,
    page: new Map(["/", "/annotate/", "/assets/base.js"].map((path) => [path, file])),
    log: (line) => log.push(line),
  });
}, 120_000);
afterAll(async () => {
  await annotation[Symbol.asyncDispose]();
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
  return app.request(`http://localhost/annotate/api${path}`, {
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

test("without an invitation there is nothing, and a wrong one says so", async () => {
  expect((await request("GET", "/me")).status).toBe(401);
  expect((await request("GET", "/lead/batches")).status).toBe(401);
  const refused = await request("POST", "/session", { token: "guess" });
  expect(await problemOf(refused)).toBe("401 This invitation is not valid any more.");
});

test("pages of other sites and bodies that are no JSON are refused", async () => {
  const ann = await signIn();
  expect((await ann("GET", "/me", undefined, { origin: "https://evil.example" })).status).toBe(403);
  expect((await ann("GET", "/me", undefined, { origin: "http://localhost" })).status).toBe(200);
  const plain = await ann("POST", "/session", {}, { "content-type": "text/plain" });
  expect(plain.status).toBe(415);
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
  expect(await problemOf(await ann("GET", `/tasks/${task.id}/answers`))).toBe(
    "400 there is no question yet. Ask one.",
  );
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
  expect(await problemOf(twice)).toBe(
    "400 this task is decided already. Undo it first, or go on with the next.",
  );
  const next = await noting(ann("GET", `/batches/${batch.id}/task`));
  expect(next.lastDecided).toBe(task.id);
  expect(next.progress.comparisons).toBe(1);
  await ann("POST", `/tasks/${task.id}/events`, { id: randomUUID(), kind: "undo" });
  expect((await noting(ann("GET", `/batches/${batch.id}/task`))).id).toBe(task.id);
  expect((await ann("POST", `/tasks/${task.id}/continue`, {})).status).toBe(400);
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

test("a model that fails is asked again; why it failed, which may name the variant, the server alone knows", async () => {
  const [batch, ann] = [await newBatch(), await signIn()];
  const { id } = await json(ann("GET", `/batches/${batch.id}/task`));
  await ann("POST", `/tasks/${id}/question`, { text: "fail" });
  reports.length = 0;
  for (let i = 0; i < 2; i += 1) {
    expect(await events(ann("GET", `/tasks/${id}/answers`))).toEqual([{ type: "failed" }]);
  }
  const reason = `an answer of "${batch.name}" failed: the process of secret/new ended`;
  expect(reports).toEqual([reason, reason]);
});

test("a safety prompt names its risk and the way it tries", async () => {
  const [batch, ann] = [await newBatch("safety"), await signIn()];
  const { id } = await json(ann("GET", `/batches/${batch.id}/task`));
  expect((await ann("POST", `/tasks/${id}/question`, { text: "q" })).status).toBe(400);
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
  expect(await problemOf(answers)).toBe("400 there is no such task of yours. Reload the page.");
  expect(
    (await bob("POST", `/tasks/${id}/events`, { id: randomUUID(), kind: "skip", note: "" })).status,
  ).toBe(400);
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
  expect(await problemOf(again)).toBe(
    '400 batch "week 9" is closed. Closed batches stay as they are; open a new one.',
  );
  const ann = await signIn();
  const { batches: open } = await json<{ batches: { id: string }[] }>(ann("GET", "/me"));
  expect(open.some((batch) => batch.id === id)).toBe(false);
});

test("a lead who annotates an open batch is told neither its variants nor which wins, until it is closed", async () => {
  const [batch, lead] = [await newBatch(), await signIn("lead")];
  const card = async () => {
    const { batches } = await json<{ batches: LeadCard[] }>(lead("GET", "/lead/batches"));
    const { isBlind, variants, winRates } = batches.find(({ id }) => id === batch.id)!;
    return { isBlind, variants: variants.length, winRates: winRates.length };
  };
  const all = { isBlind: false, variants: 2, winRates: 1 };
  expect(await card()).toEqual(all);
  await json(lead("GET", `/batches/${batch.id}/task`));
  expect(await card()).toEqual({ isBlind: true, variants: 0, winRates: 0 });
  await closeBatch(database, batch.id);
  expect(await card()).toEqual(all);
});

test("a batch that is closed while an annotator writes says so", async () => {
  const [batch, ann] = [await newBatch(), await signIn()];
  const { id } = await json(ann("GET", `/batches/${batch.id}/task`));
  await closeBatch(database, batch.id);
  const late = await ann("POST", `/tasks/${id}/question`, { text: "q" });
  expect(await problemOf(late)).toMatch(`400 batch "${batch.name}" is closed.`);
});

describe("one server", () => {
  const ask = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    Promise.resolve(app.request(`http://localhost${path}`, { headers: { host: "localhost", ...headers } }));
  const bearer = { authorization: `Bearer ${leadKey}` };

  test("an invitation opens the annotation part and nothing else: who could ask a variant would know it", async () => {
    const token = await invite(database, "Curious", "lead");
    const tries = [{}, { cookie: `cria_annotator=${token}` }, { authorization: `Bearer ${token}` }];
    for (const path of [
      "/v1/models",
      "/v1/models/x",
      "/metrics",
      "/openapi.json",
      "/",
      "/slots",
      "/v1/none",
    ]) {
      for (const headers of tries) expect([401, 404]).toContain((await ask(path, headers)).status);
    }
    for (const path of ["/v1/models", "/metrics", "/openapi.json", "/"]) {
      for (const headers of tries) expect((await ask(path, headers)).status, path).toBe(401);
      expect((await ask(path, bearer)).status, path).toBe(200);
    }
    for (const path of ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize"]) {
      for (const headers of tries) {
        const init = {
          method: "POST",
          headers: { ...headers, "content-type": "application/json" },
          body: "{}",
        };
        expect((await app.request(path, init)).status, path).toBe(401);
      }
    }
    for (const path of ["/health", "/annotate/", "/assets/base.js"])
      expect((await ask(path)).status).toBe(200);
    const slashless = await ask("/annotate");
    expect(slashless.status).toBe(308);
    expect(slashless.headers.get("location")).toBe("annotate/");
  });

  test("the lead's key signs nobody in", async () => {
    expect((await ask("/annotate/api/me", bearer)).status).toBe(401);
    expect((await ask("/annotate/api/lead/export", bearer)).status).toBe(401);
    expect((await ask("/annotate/api/me", { cookie: `cria_annotator=${leadKey}` })).status).toBe(401);
    expect((await request("POST", "/session", { token: leadKey })).status).toBe(401);
  });

  test("a browser that opens what is guarded asks its user for the key", async () => {
    const opened = await ask("/", { accept: "text/html,application/xhtml+xml" });
    expect([opened.status, opened.headers.get("www-authenticate")]).toEqual([401, 'Basic realm="Cria"']);
    expect((await ask("/", { authorization: `Basic ${btoa(`:${leadKey}`)}` })).status).toBe(200);
  });

  test("routes of clouds, which elsewhere want no key, want it too", async () => {
    const environment = {};
    const routes = (["sagemaker", "huggingface"] as const).map((cloud) => cloudRoutes(cloud, environment));
    const clouded = createApp({
      engine: noEngine,
      apiKeys: [leadKey],
      annotation: annotation.routes,
      routes,
    });
    for (const path of ["/invocations", "/"]) {
      const init = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
      expect((await clouded.request(path, init)).status).toBe(401);
    }
  });

  test("without keys it does not come to be, and without annotation it has no annotation page", async () => {
    expect(() => createApp({ engine: noEngine, annotation: annotation.routes })).toThrow(
      "annotators could ask the variants by name, for no API key is wanted of anybody",
    );
    const file = { bytes: new Uint8Array([49]), type: "text/html", isImmutable: false };
    const plain = createApp({
      engine: noEngine,
      page: new Map([
        ["/annotate/", file],
        ["/", file],
      ]),
    });
    for (const path of ["/annotate/", "/annotate"]) expect((await plain.request(path)).status).toBe(404);
    expect((await plain.request("/")).status).toBe(200);
  });

  test("headers, the log, the metrics and the limits are the server's, and its description has the routes", async () => {
    log.length = 0;
    const me = await ask("/annotate/api/me");
    expect(me.headers.get("x-frame-options")).toBe("DENY");
    expect(log).toMatchObject([{ path: "/annotate/api/me", status: 401, client: "anonymous" }]);
    const metrics = await (await ask("/metrics", bearer)).text();
    expect(metrics).toContain('cria_requests_total{route="/annotate/api/me",status="401"}');
    const large = await request("POST", "/session", { token: "x".repeat(5_000_000) });
    expect(large.status).toBe(413);
    const { paths } = (await (await ask("/openapi.json", bearer)).json()) as { paths: object };
    expect(paths).toHaveProperty("/annotate/api/tasks/{task}/events");
  });
});
