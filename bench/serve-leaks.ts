/** Ten thousand small requests of every kind to one server: neither its process nor the model's may grow. */

import type { BackendOptions } from "../src/tensor/backend.ts";
import type { BenchResult } from "./result.ts";
import { stream } from "./serve-load.ts";
import { benchModel } from "./serve-model.ts";
import { memoryOf, startServer, type Memory } from "./serve-process.ts";

const requests = Number(process.env["CRIA_BENCH_REQUESTS"] ?? 10_000);
const clients = 16;

export async function benchServeLeaks({ threads = 1 }: BackendOptions): Promise<BenchResult> {
  using model = benchModel({ dim: 64, nLayers: 2 });
  const server = await startServer(model.path, { threads, parallel: clients, cells: clients * 128 });
  try {
    const memory: (Memory & { readonly after: number })[] = [];
    const ends: Record<string, number> = {};
    let sent = 0;
    const client = async (): Promise<void> => {
      while (sent < requests) {
        const i = sent;
        sent += 1;
        const end = await kinds[i % kinds.length]!(server.url, i);
        ends[end] = (ends[end] ?? 0) + 1;
        if ((i + 1) % (requests / 10) === 0) memory.push({ after: i + 1, ...memoryOf(server.child.pid!) });
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    const listed = (name: keyof Memory): string => memory.map((at) => at[name]).join(", ");
    return {
      rows: [
        [
          "answers",
          Object.entries(ends)
            .map(([end, count]) => `${count} ${end}`)
            .join(", "),
        ],
        [`server's memory, MB, after each ${requests / 10}`, listed("server")],
        [`model's memory, MB, after each ${requests / 10}`, listed("model")],
      ],
      json: { requests, clients, ends, memory },
    };
  } finally {
    server.child.kill("SIGTERM");
  }
}

// --- internal ---

/** @returns how it ended. */
type Ask = (url: string, i: number) => Promise<string>;

const bodyOf = (i: number): object => ({
  messages: [{ role: "user", content: `Question ${i}: ${"why ".repeat(i % 12)}` }],
  max_tokens: 4 + (i % 5),
  seed: i,
});

const visit = {
  type: "function",
  function: { name: "visit", parameters: { type: "object", properties: { city: { enum: ["Rome"] } } } },
};

const streamed: Ask = async (url, i) => (await stream({ url, body: bodyOf(i) })).end;
const chat = (url: string, body: object): Promise<string> => post(`${url}/v1/chat/completions`, body);

const kinds: readonly Ask[] = [
  streamed,
  streamed,
  streamed,
  async (url, i) => (await stream({ url, body: { ...bodyOf(i), max_tokens: 64 }, leaveAfter: 2 })).end,
  (url, i) => chat(url, { ...bodyOf(i), n: 2, logprobs: true, top_logprobs: 3 }),
  // Each time another grammar.
  (url, i) => chat(url, { ...bodyOf(i), max_tokens: 40, json_schema: { enum: [`${i}`, { i }] } }),
  (url, i) => chat(url, { ...bodyOf(i), max_tokens: 40, tools: [visit], stop: [String(i)] }),
  (url, i) => post(`${url}/v1/completions`, { prompt: [`Once ${i}`, "upon"], max_tokens: 3, logprobs: 1 }),
  (url, i) => post(`${url}/v1/embeddings`, { input: [`text ${i}`, "a".repeat(i % 40)] }),
  // Refused by the server, or by the model.
  (url, i) =>
    chat(url, i % 20 < 10 ? { ...bodyOf(i), temperature: -1 } : { ...bodyOf(i), json_schema: { enum: [] } }),
];

async function post(url: string, body: object): Promise<string> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  await response.text();
  return String(response.status);
}
