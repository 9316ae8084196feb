/** The whole server: a port, and the model in a process of its own, which may die. */

import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startServer, type StartedServer } from "../../src/serve/start.ts";
import { tinyFolder, type TinyFolder } from "./tiny-served.ts";

let folder: TinyFolder;
let server: StartedServer;
const reported: string[] = [];
beforeAll(async () => {
  folder = tinyFolder(4096);
  server = await startServer({
    models: [{ path: folder.path }, { id: "second", path: folder.path }],
    model: { device: "cpu", threads: 1, parallel: 4, queue: 2 },
    host: "127.0.0.1",
    port: 0,
    report: (message) => reported.push(message),
  });
});
afterAll(async () => {
  await server.close(1);
  folder[Symbol.dispose]();
});

function post(path: string, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(server.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

const messages = [{ role: "user", content: "hi" }];
const long = { messages, temperature: 0, ignore_eos: true, stream: true };

interface Model {
  readonly id: string;
  readonly state: string;
}

async function models(): Promise<readonly Model[]> {
  return ((await (await fetch(`${server.url}/v1/models`)).json()) as { data: Model[] }).data;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(new RegExp(`^${name}{model="tiny"} (.*)$`, "m").exec(text)![1]);
}

/** Those that this process started. */
function enginePids(): number[] {
  const lines = execFileSync("ps", ["-o", "pid=,args=", "--ppid", String(process.pid)], { encoding: "utf8" });
  return lines
    .split("\n")
    .filter((line) => line.includes("worker.js"))
    .map((line) => Number.parseInt(line, 10));
}

test("a model is opened by the first request for it, and the other is not", async () => {
  expect((await models()).map(({ state }) => state)).toEqual(["unloaded", "unloaded"]);
  const response = await post("/v1/chat/completions", { messages, max_tokens: 3 });
  expect(response.status).toBe(200);
  expect((await models()).map(({ state }) => state)).toEqual(["ready", "unloaded"]);
});

describe("when the model's process is killed,", () => {
  test("its requests end with an error, and the next one is answered within seconds", async () => {
    const streams = await Promise.all([
      post("/v1/chat/completions", long),
      post("/v1/chat/completions", long),
    ]);
    const readers = streams.map((stream) => stream.body!.getReader());
    for (const reader of readers) await reader.read();
    const [pid] = enginePids();
    process.kill(pid!, "SIGKILL");
    const killed = performance.now();
    for (const reader of readers) {
      let text = "";
      for (let step = await reader.read(); !step.done; step = await reader.read()) {
        text += new TextDecoder().decode(step.value);
      }
      const last = text.trim().split("\n\n").at(-1)!;
      expect(JSON.parse(last.replace("data: ", ""))).toMatchObject({
        error: { type: "server_error", code: "engine_died" },
      });
    }
    const next = await post("/v1/chat/completions", { messages, max_tokens: 3 });
    expect(next.status).toBe(200);
    expect(performance.now() - killed).toBeLessThan(20_000);
    expect(reported).toEqual(["the process of tiny ended (SIGKILL); it is started again"]);
    expect(await metric("cria_model_deaths_total")).toBe(1);
  });
});

test("a client that leaves frees its place", async () => {
  const controller = new AbortController();
  const stream = await post("/v1/chat/completions", long, controller.signal);
  const reader = stream.body!.getReader();
  await reader.read();
  controller.abort();
  await reader.read().catch(() => {});
  await expect.poll(async () => metric("cria_texts_running"), { timeout: 5000 }).toBe(0);
});

test("who comes when the queue is full is told when to come again", async () => {
  const filling = new AbortController();
  const places = await post("/v1/chat/completions", { ...long, n: 4 }, filling.signal);
  const waiting = [1, 2].map(() => post("/v1/chat/completions", { ...long, max_tokens: 5 }));
  await expect.poll(async () => metric("cria_requests_waiting")).toBe(2);
  const refused = await post("/v1/chat/completions", long);
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  expect(await refused.json()).toMatchObject({ error: { type: "rate_limit_error", code: "queue_full" } });
  filling.abort();
  await places.text().catch(() => {});
  for (const response of waiting) expect(await (await response).text()).toContain("[DONE]");
});

test("two models compute in turn", async () => {
  const ask = async (model: string): Promise<unknown> => {
    const response = await post("/v1/chat/completions", { model, messages, temperature: 0, max_tokens: 30 });
    return ((await response.json()) as { choices: unknown }).choices;
  };
  const [first, second] = await Promise.all([ask("tiny"), ask("second")]);
  expect(second).toEqual(first);
});
