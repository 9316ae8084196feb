/** Chat completions over HTTP, by a tiny model in this process. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApp } from "../../src/serve/app.ts";
import { localEngine, type LocalEngine } from "./local-engine.ts";
import { tinyFolder, type TinyFolder } from "./tiny-served.ts";

let folder: TinyFolder;
let engine: LocalEngine;
let app: ReturnType<typeof createApp>;
beforeAll(() => {
  folder = tinyFolder();
  engine = localEngine(folder.path);
  app = createApp({ engine });
});
afterAll(async () => {
  await engine.close();
  folder[Symbol.dispose]();
});

interface Chunk {
  readonly choices: readonly {
    readonly index: number;
    readonly delta: { readonly role?: string; readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
}

const messages = [{ role: "user", content: "hi" }];

interface Answer {
  readonly choices: readonly [Choice, ...Choice[]];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  };
  readonly error: { readonly message: string };
}

interface Choice {
  readonly message: { readonly content: string };
  readonly finish_reason: string;
  readonly logprobs: { readonly content: readonly Report[] };
}

interface Report {
  readonly token: string;
  readonly logprob: number;
  readonly top_logprobs: readonly { readonly token: string; readonly logprob: number }[];
}

async function ask(body: object): Promise<{ status: number; json: Answer; text: string }> {
  const response = await app.request("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages, ...body }),
  });
  const text = await response.text();
  const json = (text.startsWith("{") ? JSON.parse(text) : {}) as Answer;
  return { status: response.status, json, text };
}

async function chunksOf(body: object): Promise<{ chunks: Chunk[]; ending: string }> {
  const { text } = await ask({ ...body, stream: true });
  const lines = text.split("\n\n").filter((line) => line !== "");
  const ending = lines.pop()!;
  return { chunks: lines.map((line) => JSON.parse(line.replace(/^data: /, "")) as Chunk), ending };
}

test("an answer has the shape of OpenAI's", async () => {
  const { status, json } = await ask({ max_tokens: 8, temperature: 0 });
  expect(status).toBe(200);
  expect(json).toMatchObject({
    object: "chat.completion",
    model: "tiny",
    choices: [{ index: 0, message: { role: "assistant" }, finish_reason: "length", logprobs: null }],
    usage: { completion_tokens: 8, total_tokens: json.usage.prompt_tokens + 8 },
  });
  expect(json.choices[0].message.content).not.toBe("");
});

describe("a stream", () => {
  test("says piece by piece what the whole answer says, and ends with [DONE]", async () => {
    const whole = await ask({ max_tokens: 30, temperature: 0 });
    const { chunks, ending } = await chunksOf({ max_tokens: 30, temperature: 0 });
    const text = chunks.map((chunk) => chunk.choices[0]!.delta.content ?? "").join("");
    expect(text).toBe(whole.json.choices[0].message.content);
    expect(chunks[0]!.choices[0]!.delta).toEqual({ role: "assistant", content: "" });
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe("length");
    expect(ending).toBe("data: [DONE]");
  });

  test("ends with the usage, when it is asked for", async () => {
    const options = { max_tokens: 4, temperature: 0 };
    expect((await chunksOf(options)).chunks.every((chunk) => chunk.usage === undefined)).toBe(true);
    const { chunks } = await chunksOf({ ...options, stream_options: { include_usage: true } });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 4 } });
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
  });
});

describe("choices and seeds:", () => {
  test("text i of n is the text of seed + i alone", async () => {
    const three = await ask({ max_tokens: 12, temperature: 1, top_p: 1, seed: 5, n: 3 });
    const texts = three.json.choices.map((choice) => choice.message.content);
    expect(new Set(texts).size).toBe(3);
    for (const [i, text] of texts.entries()) {
      const one = await ask({ max_tokens: 12, temperature: 1, top_p: 1, seed: 5 + i });
      expect(one.json.choices[0].message.content).toBe(text);
    }
    expect(three.json.usage.completion_tokens).toBe(36);
  });

  test("requests at the same time say what they say alone", async () => {
    const asks = Array.from({ length: 8 }, (_, seed) => ({ seed, max_tokens: 20 + seed, temperature: 1 }));
    const alone = [];
    for (const body of asks) alone.push((await ask(body)).json.choices[0].message.content);
    const together = await Promise.all(
      asks.map(async (body) => (await ask(body)).json.choices[0].message.content),
    );
    expect(together).toEqual(alone);
  });
});

test("a stop string ends the text before it, also across tokens", async () => {
  const whole = (await ask({ max_tokens: 40, temperature: 0 })).json.choices[0].message.content;
  const stop = whole.slice(5, 8);
  const { json } = await ask({ max_tokens: 40, temperature: 0, stop: [stop, "never said"] });
  expect(json.choices[0].message.content).toBe(whole.slice(0, whole.indexOf(stop)));
  expect(json.choices[0].finish_reason).toBe("stop");
});

test("log-probabilities are reported of each token, the most probable first", async () => {
  const { json } = await ask({ max_tokens: 5, temperature: 0, logprobs: true, top_logprobs: 3 });
  const { content } = json.choices[0].logprobs;
  expect(content).toHaveLength(5);
  for (const { token, logprob, top_logprobs: top } of content) {
    expect(top).toHaveLength(3);
    // At temperature 0 the most probable token is the one.
    expect(top[0]).toMatchObject({ token, logprob });
    expect(top[0]!.logprob).toBeGreaterThanOrEqual(top[1]!.logprob);
  }
});

test("a bias of -100 is as good as a ban, and a bias of 100 as an order", async () => {
  const a = 3 + "a".codePointAt(0)!;
  const { json } = await ask({ max_tokens: 5, temperature: 1, logit_bias: { [a]: 1000 } });
  expect(json.choices[0].message.content).toBe("aaaaa");
});

test("a text that fills the context ends there", async () => {
  const { json } = await ask({ temperature: 0, ignore_eos: true });
  expect(json.choices[0].finish_reason).toBe("length");
  expect(json.usage.total_tokens).toBe(257);
});

describe("a request that cannot be right is refused with a reason:", () => {
  test.each([
    [{ messages: [] }, "messages", /expected array to have >=1 items/],
    [
      { messages: [{ role: "user", content: 3 }] },
      "messages.0.content",
      /wants a text or a list of text parts/,
    ],
    [{ messages: [{ role: "wizard", content: "x" }] }, "messages.0.role", /Invalid/],
    [{ temperature: -1 }, "temperature", />=0/],
    [{ top_logprobs: 30, logprobs: true }, "top_logprobs", /<=20/],
    [{ n: 100 }, "n", /n \(100\) is above 16/],
    [{ messages: [{ role: "assistant", content: "x" }] }, undefined, /message 1 is from "assistant"/],
    [{ logit_bias: { 9999: 1 } }, undefined, /token 9999, and the vocabulary has/],
    [{ messages: [{ role: "user", content: "long ".repeat(100) }] }, "messages", /context has room for 255/],
  ])("%o", async (body, param, message) => {
    const { status, json } = await ask(body);
    expect(status).toBe(400);
    expect(json.error).toMatchObject({ type: "invalid_request_error", param: param ?? null });
    expect(json.error.message).toMatch(message);
  });

  test("a model that is not there", async () => {
    expect((await ask({ model: "gpt" })).json.error).toMatchObject({
      code: "model_not_found",
      param: "model",
    });
  });

  test("a body that is not JSON, or says that it is something else", async () => {
    const post = (body: string, type: string) =>
      app.request("/v1/chat/completions", { method: "POST", headers: { "content-type": type }, body });
    expect((await post("{", "application/json")).status).toBe(400);
    expect((await post("{}", "text/plain")).status).toBe(415);
  });
});
