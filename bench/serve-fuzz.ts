/**
 * Hostile requests: bodies whose fields are wrong, bodies whose bytes are wrong, headers and paths that are wrong.
 * Nothing may crash, hang, or be answered with 500. `serve-fuzz` has an engine behind the HTTP layer that writes at
 * once what it is asked; `serve-fuzz-model` has a tiny model in the same process, which reads prompts and grammars.
 */

import { createRandom, type Random } from "../src/corpus/random.ts";
import type { BackendOptions } from "../src/tensor/backend.ts";
import { createApp } from "../src/serve/app.ts";
import type { Engine } from "../src/serve/engine.ts";
import { cloudRoutes } from "../src/serve/routes/cloud.ts";
import { localEngine } from "../tests/serve/local-engine.ts";
import { tinyFolder } from "../tests/serve/tiny-served.ts";
import type { BenchResult } from "./result.ts";

/** Each request is made of its number; CRIA_FUZZ_FROM and CRIA_FUZZ_COUNT choose some. */
const first = Number(process.env["CRIA_FUZZ_FROM"] ?? 0);
const count = Number(process.env["CRIA_FUZZ_COUNT"] ?? 100_000);
const atOnce = 8;
const longestMs = 20_000;

export function benchServeFuzz(_options: BackendOptions): Promise<BenchResult> {
  return fuzz(echoEngine);
}

export async function benchServeFuzzModel(_options: BackendOptions): Promise<BenchResult> {
  using folder = tinyFolder();
  const engine = localEngine(folder.path, { parallel: 8, queue: 64 });
  const result = await fuzz(engine);
  await engine.close();
  return result;
}

// --- internal ---

async function fuzz(engine: Engine): Promise<BenchResult> {
  const failures: unknown[] = [];
  const app = createApp({
    engine,
    limits: { maxTokens: 4, bodyBytes: 64 * 1024, choices: 4, inputs: 8, requestSeconds: 10 },
    wantsLoopbackHost: true,
    routes: [cloudRoutes("sagemaker", {}), cloudRoutes("vertex", {}), cloudRoutes("huggingface", {})],
    report: (error) => failures.push(error),
  });
  const statuses = new Map<number, number>();
  let slowestMs = 0;
  let early = 0;
  const worker = async (from: number): Promise<void> => {
    for (let i = from; i < count; i += atOnce) {
      if (i > count / 2) early ||= process.memoryUsage.rss();
      const [path, init] = hostileRequest(createRandom(first + i));
      const start = performance.now();
      const status = await statusOf(app.request(path, init), first + i);
      slowestMs = Math.max(slowestMs, performance.now() - start);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, (_, i) => worker(i)));
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(0);
  const byStatus = [...statuses].sort(([a], [b]) => a - b);
  const wrong = byStatus.reduce(
    (sum, [status, times]) => sum + (status === 500 || status < 0 ? times : 0),
    0,
  );
  return {
    rows: [
      ["requests", String(count)],
      [
        "by status (-1: no answer in 20 s)",
        byStatus.map(([status, times]) => `${status}: ${times}`).join(", "),
      ],
      ["answered with 500, or not at all", String(wrong)],
      [
        "errors that were not foreseen",
        String(failures.length) + (failures.length > 0 ? `: ${String(failures[0])}` : ""),
      ],
      ["slowest answer, ms", slowestMs.toFixed(0)],
      ["memory, MB, at half and at the end", `${mb(early)}, ${mb(process.memoryUsage.rss())}`],
    ],
    json: {
      count,
      statuses: Object.fromEntries(byStatus),
      failures: failures.length,
      slowestMs: Math.round(slowestMs),
    },
  };
}

/** Writes what it is asked, a word at a time. */
const echoEngine: Engine = {
  models: () => [{ id: "tiny", state: "ready", deaths: 0 }],
  load: async () => ({
    contextTokens: 256,
    vocabSize: 262,
    parameters: 1,
    fileBytes: 1,
    packedBytes: 0,
    cacheBytes: 0,
    threads: 1,
  }),
  async *generate({ prompt, count: texts }) {
    const text = JSON.stringify(prompt).slice(0, 200);
    yield { type: "accepted", promptTokens: text.length };
    for (let index = 0; index < texts; index += 1) {
      for (const word of text.split(" ")) yield { type: "text", index, text: word };
      yield { type: "finished", index, reason: "stop" };
    }
    yield { type: "done", usage: { promptTokens: 1, cachedTokens: 0, completionTokens: 1 } };
    return undefined;
  },
  embed: async ({ inputs }) => ({ vectors: inputs.map(() => Float32Array.of(1, 0)), promptTokens: 1 }),
  tokenize: async ({ text }) => Array.from(text, (piece, id) => ({ id, piece })),
  detokenize: async (_model, tokens) => tokens.join(" "),
  applyTemplate: async (_model, { messages }) => JSON.stringify(messages),
  close: async () => {},
};

/** -1 when nothing came. The whole answer is read, and must be JSON or a stream of it where it says so. */
async function statusOf(answering: Response | Promise<Response>, seed: number): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), longestMs)));
  const answered = (async (): Promise<number> => {
    const response = await answering;
    const text = await response.text();
    const isJson = (response.headers.get("content-type") ?? "").startsWith("application/json");
    // HEAD has the headers alone.
    if (isJson && text !== "") JSON.parse(text);
    return response.status;
  })();
  const status = (await Promise.race([answered, late])) ?? -1;
  clearTimeout(timer);
  if (status === 500 || status === -1) console.error(`seed ${seed}: ${status}`);
  return status;
}

type Json = unknown;

const chat = {
  model: "tiny",
  messages: [
    { role: "system", content: "S" },
    { role: "user", content: [{ type: "text", text: "hi" }] },
  ],
  max_tokens: 2,
  temperature: 0.5,
  top_p: 0.9,
  top_k: 5,
  min_p: 0.1,
  typical_p: 0.9,
  repeat_penalty: 1.1,
  mirostat: 0,
  n: 1,
  seed: 1,
  stop: ["x"],
  logprobs: true,
  top_logprobs: 2,
  logit_bias: { "65": 1 },
  stream: false,
  stream_options: { include_usage: true },
  response_format: { type: "text" },
};

const schema = {
  type: "object",
  properties: {
    a: { type: "string", pattern: "^a+$", maxLength: 5 },
    b: { anyOf: [{ type: "integer", minimum: 3 }, { $ref: "#" }] },
  },
  required: ["a"],
};

const templates: readonly (readonly [path: string, body: Json])[] = [
  ["/v1/chat/completions", chat],
  ["/v1/chat/completions", { ...chat, stream: true }],
  [
    "/v1/chat/completions",
    { ...chat, response_format: { type: "json_schema", json_schema: { name: "s", schema } } },
  ],
  [
    "/v1/chat/completions",
    {
      ...chat,
      tools: [{ type: "function", function: { name: "f", parameters: schema } }],
      tool_choice: "required",
    },
  ],
  ["/v1/chat/completions", { ...chat, grammar: 'root ::= "a" [b-d]* ("e" | root)' }],
  ["/v1/completions", { prompt: ["a", "b"], max_tokens: 2, echo: true, logprobs: 2, n: 2 }],
  ["/v1/completions", { prompt: [[1, 2], [3]], max_tokens: 2, stream: true }],
  ["/v1/embeddings", { input: ["a", "b"], encoding_format: "base64" }],
  ["/tokenize", { content: "a b", with_pieces: true }],
  ["/detokenize", { tokens: [1, 2, 3] }],
  ["/apply-template", { messages: chat.messages }],
  ["/invocations", { prompt: "a" }],
  ["/predict", { instances: [{ prompt: "a" }], parameters: { max_tokens: 1 } }],
  ["/", { inputs: "a", parameters: { max_new_tokens: 2 } }],
];

function hostileRequest(random: Random): [path: string, init: RequestInit] {
  const [path, template] = pick(random, templates);
  let body: Json = template;
  for (let times = random.int(4); times > 0; times -= 1) body = mutated(body, random);
  let bytes: Uint8Array<ArrayBuffer> = new TextEncoder().encode(JSON.stringify(body) ?? "");
  if (random.next() < 0.25) bytes = corrupted(bytes, random);
  const headers: Record<string, string> = { "content-type": "application/json", host: "localhost:8080" };
  if (random.next() < 0.1) Object.assign(headers, pick(random, hostileHeaders));
  const isPlain = random.next() < 0.95;
  return [
    isPlain ? path : hostilePath(path, random),
    isPlain ? { method: "POST", headers, body: bytes } : pick(random, oddRequests(headers, bytes)),
  ];
}

const hostileHeaders: readonly Record<string, string>[] = [
  { "content-type": "text/plain" },
  { "content-type": "application/json; charset=utf-16" },
  { "content-type": "application/x+json" },
  { "content-length": "99999999999" },
  { "content-length": "-1" },
  { host: "evil.example" },
  { host: "" },
  { host: "[::1" },
  { origin: "null" },
  { origin: "http://evil.example" },
  { origin: "\u00ff" },
  { authorization: "Bearer " },
  { authorization: `Bearer ${"x".repeat(5000)}` },
  { "transfer-encoding": "chunked" },
];

function oddRequests(headers: Record<string, string>, body: Uint8Array<ArrayBuffer>): RequestInit[] {
  return [
    { method: "GET", headers },
    { method: "PUT", headers, body },
    { method: "DELETE", headers },
    { method: "OPTIONS", headers },
    { method: "HEAD", headers },
    { method: "POST", headers },
  ];
}

function hostilePath(path: string, random: Random): string {
  const parts = [
    "/..",
    "/%2e%2e",
    "/%00",
    "//",
    "/v1/models/%ff",
    `/v1/models/${"a".repeat(3000)}`,
    "/%",
    "?a=%",
    "/metrics",
    "/openapi.json",
    "/v1/models/../../etc/passwd",
  ];
  return random.next() < 0.5 ? path + pick(random, parts) : pick(random, parts);
}

const hostileValues: readonly Json[] = [
  null,
  true,
  "",
  "\u0000",
  "\ud800",
  "[INST] <<SYS>> </s>",
  "x".repeat(20_000),
  "é\u{1f600}".repeat(500),
  -1,
  0,
  0.5,
  1e308,
  -1e308,
  2 ** 53,
  2 ** 31,
  1e-300,
  [],
  {},
  [[]],
  { __proto__: null, constructor: {} },
  nested(50),
  nested(2000),
  Array.from({ length: 3000 }, (_, i) => i),
  Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, i])),
  { $ref: "#/nowhere" },
  { $ref: "#" },
  { type: "string", pattern: "(a*)*b" },
  { type: "string", minLength: 1e9 },
  { type: "array", minItems: 1e9, items: {} },
  { allOf: [{ type: "string" }, { type: "integer" }] },
  { enum: [] },
  "root ::= root",
  'root ::= ("a" | root)* root',
  "root ::= [",
  "required",
  "user",
  "tool",
  "json_schema",
];

function nested(depth: number): Json {
  let value: Json = 1;
  for (let i = 0; i < depth; i += 1) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

/** One value at some place is another, is gone, or is there twice. */
function mutated(value: Json, random: Random): Json {
  if (typeof value !== "object" || value === null || random.next() < 0.15) return pick(random, hostileValues);
  if (Array.isArray(value)) {
    if (value.length === 0) return [pick(random, hostileValues)];
    const at = random.int(value.length);
    const kind = random.next();
    if (kind < 0.1) return value.toSpliced(at, 1);
    if (kind < 0.2) return [...value, value[at]];
    return value.with(at, mutated(value[at], random));
  }
  const keys = Object.keys(value);
  const object = value as Record<string, Json>;
  if (keys.length === 0)
    return { [pick(random, ["__proto__", "a", "type", "constructor"])]: pick(random, hostileValues) };
  const key = pick(random, keys);
  if (random.next() < 0.1)
    return Object.fromEntries(Object.entries(object).filter(([other]) => other !== key));
  return { ...object, [key]: mutated(object[key], random) };
}

/** Bytes that are not what JSON or UTF-8 has, or an end too soon. */
function corrupted(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array<ArrayBuffer> {
  const kind = random.next();
  if (kind < 0.3) return bytes.slice(0, random.int(bytes.length + 1));
  const copy = bytes.slice();
  for (let times = 1 + random.int(5); times > 0 && copy.length > 0; times -= 1)
    copy[random.int(copy.length)] = random.int(256);
  return copy;
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.int(items.length)]!;
}
