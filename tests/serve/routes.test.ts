/** The smaller endpoints, the clouds' and the OpenAPI document, by a tiny model in this process. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApp } from "../../src/serve/app.ts";
import { cloudRoutes } from "../../src/serve/routes/cloud.ts";
import { localEngine, type LocalEngine } from "./local-engine.ts";
import { tinyFolder, type TinyFolder } from "./tiny-served.ts";

let folder: TinyFolder;
let engine: LocalEngine;
let app: ReturnType<typeof createApp>;
let isOpen = true;
beforeAll(() => {
  folder = tinyFolder();
  engine = localEngine(folder.path);
  const environment = { AIP_PREDICT_ROUTE: "/aip/predict", AIP_HEALTH_ROUTE: "/aip/health" };
  app = createApp({
    engine,
    isOpen: () => isOpen,
    routes: [
      cloudRoutes("sagemaker", {}),
      cloudRoutes("azure", {}),
      cloudRoutes("huggingface", {}),
      cloudRoutes("vertex", environment),
    ],
  });
});
afterAll(async () => {
  await engine.close();
  folder[Symbol.dispose]();
});

async function post(path: string, body: unknown): Promise<{ status: number; json: unknown }> {
  const response = await app.request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, json: await response.json() };
}

const chat = { messages: [{ role: "user", content: "hi" }], max_tokens: 3, temperature: 0 };

test("a text becomes tokens and the tokens the text", async () => {
  const { json } = await post("/tokenize", { content: "a né" });
  const { tokens } = json as { tokens: number[] };
  expect(await post("/detokenize", { tokens })).toMatchObject({ json: { content: "a né" } });
  const special = await post("/tokenize", { content: "a", add_special: true, with_pieces: true });
  expect(special.json).toEqual({
    tokens: [
      { id: 1, piece: "<s>" },
      { id: 260, piece: "▁a" },
    ],
  });
});

test("a conversation becomes the prompt that the model reads", async () => {
  const messages = [
    { role: "system", content: "S" },
    { role: "user", content: "a" },
    { role: "assistant", content: "b" },
    { role: "user", content: "c" },
  ];
  const { json } = await post("/apply-template", { messages });
  expect(json).toEqual({
    prompt: "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\na [/INST] b </s><s>[INST] c [/INST]",
  });
});

test("ids that are not in the vocabulary are refused", async () => {
  const { status, json } = await post("/detokenize", { tokens: [99_999] });
  expect(status).toBe(400);
  expect(json).toMatchObject({ error: { message: "token 99999 is not one of 262 tokens", param: "tokens" } });
});

test("embeddings of texts that are too long are refused", async () => {
  const { status, json } = await post("/v1/embeddings", { input: ["a", "long ".repeat(100)] });
  expect(status).toBe(400);
  expect(json).toMatchObject({ error: { param: "input", code: "context_length_exceeded" } });
});

test("the metrics say what was done, in Prometheus' format", async () => {
  await post("/v1/chat/completions", chat);
  const text = await (await app.request("/metrics")).text();
  expect(text).toMatch(/^cria_requests_total\{route="\/v1\/chat\/completions",status="200"\} [1-9]/m);
  expect(text).toMatch(/^cria_first_token_seconds_bucket\{le="\+Inf"\} [1-9]/m);
  expect(text).toMatch(/^cria_completion_tokens_total\{model="tiny"\} [1-9]/m);
  for (const line of text.trim().split("\n")) {
    expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{[^}]*\})? [-+.e\d]+)$/);
  }
});

test("a server that is being stopped lives, and is not ready", async () => {
  isOpen = false;
  expect((await app.request("/health")).status).toBe(200);
  expect((await app.request("/ready")).status).toBe(503);
  expect((await app.request("/ping")).status).toBe(503);
  isOpen = true;
  expect((await app.request("/ready")).status).toBe(200);
});

test("the OpenAPI document describes every route, and what it takes", async () => {
  const document = (await (await app.request("/openapi.json")).json()) as {
    paths: Record<string, Record<string, { requestBody?: { content: Record<string, { schema: object }> } }>>;
  };
  for (const path of ["/v1/completions", "/v1/embeddings", "/v1/models/{id}", "/health", "/invocations"]) {
    expect(Object.keys(document.paths)).toContain(path);
  }
  const body = document.paths["/v1/chat/completions"]!["post"]!.requestBody!;
  expect(body.content["application/json"]!.schema).toMatchObject({
    required: ["messages"],
    properties: { temperature: {}, stream: {} },
  });
});

describe("clouds:", () => {
  test("SageMaker pings, and invokes chats and plain completions", async () => {
    expect((await app.request("/ping")).status).toBe(200);
    expect((await post("/invocations", chat)).json).toMatchObject({ object: "chat.completion" });
    expect((await post("/invocations", { prompt: "a" })).json).toMatchObject({ object: "text_completion" });
    expect((await post("/invocations", { prompt: 1 })).status).toBe(400);
  });

  test("Azure ML scores", async () => {
    expect((await post("/score", chat)).json).toMatchObject({ object: "chat.completion" });
  });

  test("Hugging Face's endpoints go on with a text, the text before it or not", async () => {
    const whole = await post("/", { inputs: "a b", parameters: { max_new_tokens: 3, do_sample: false } });
    const [{ generated_text: text }] = whole.json as [{ generated_text: string }];
    expect(text.startsWith("a b")).toBe(true);
    const rest = await post("/", {
      inputs: "a b",
      parameters: { max_new_tokens: 3, do_sample: false, return_full_text: false },
    });
    expect(rest.json).toEqual([{ generated_text: text.slice(3) }]);
  });

  test("Vertex predicts instances with shared parameters, and passes raw bodies on", async () => {
    expect((await app.request("/aip/health")).status).toBe(200);
    const { json } = await post("/aip/predict", {
      instances: [{ messages: chat.messages }, { prompt: "a" }],
      parameters: { max_tokens: 2, ignore_eos: true },
    });
    const { predictions } = json as { predictions: unknown[] };
    expect(predictions).toMatchObject([
      { object: "chat.completion", usage: { completion_tokens: 2 } },
      { object: "text_completion", usage: { completion_tokens: 2 } },
    ]);
    expect((await post("/aip/predict", chat)).json).toMatchObject({ object: "chat.completion" });
  });

  test("none of these routes is there unless asked for", async () => {
    const plain = createApp({ engine });
    for (const path of ["/ping", "/invocations", "/score", "/predict"]) {
      expect((await plain.request(path)).status).toBe(404);
    }
  });
});
