/** What OpenAI's own client and Vercel's AI SDK make of the server, over a port and with the model in its process. */

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, stepCountIs, streamText, tool as defineTool } from "ai";
import {
  OpenAI,
  type APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  NotFoundError,
} from "openai";
import { z } from "zod";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startServer, type StartedServer } from "../../src/serve/start.ts";
import { tinyFolder, type TinyFolder } from "./tiny-served.ts";

const key = "a-key-of-24-characters--";
const place = {
  type: "object",
  properties: { city: { enum: ["Paris", "Rome"] }, isHot: { type: "boolean" } },
  required: ["city", "isHot"],
  additionalProperties: false,
};
/** All that is of the schema. */
const places = ["Paris", "Rome"].flatMap((city) => [true, false].map((isHot) => ({ city, isHot })));
const placeFormat = {
  type: "json_schema",
  json_schema: { name: "place", schema: place, strict: true },
} as const;
const tool = {
  type: "function",
  function: { name: "visit", description: "Visits.", parameters: place },
} as const;

const messages: OpenAI.ChatCompletionMessageParam[] = [
  { role: "system", content: "Answer." },
  { role: "user", content: [{ type: "text", text: "hi" }] },
];

let folder: TinyFolder;
let server: StartedServer;
let openai: OpenAI;
beforeAll(async () => {
  folder = tinyFolder(2048);
  server = await startServer({
    models: [{ path: folder.path }],
    model: { device: "cpu", threads: 1, parallel: 8, queue: 16 },
    host: "127.0.0.1",
    port: 0,
    apiKeys: [key],
    report: () => {},
  });
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: key, maxRetries: 0 });
});
afterAll(async () => {
  await server.close(1);
  folder[Symbol.dispose]();
});

async function isIdle(): Promise<boolean> {
  const metrics = await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${key}` } });
  return (await metrics.text()).includes('cria_texts_running{model="tiny"} 0');
}

describe("OpenAI's client:", () => {
  const options = { model: "tiny", messages, temperature: 0, max_tokens: 12 } as const;

  test("a chat completion", async () => {
    const answer = await openai.chat.completions.create(options);
    expect(answer.choices[0]!.message).toMatchObject({ role: "assistant", content: expect.any(String) });
    expect(answer.usage!.completion_tokens).toBe(12);
  });

  test("a stream says what the whole answer says", async () => {
    const whole = await openai.chat.completions.create(options);
    const stream = await openai.chat.completions.create({
      ...options,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      ({ usage } = chunk);
    }
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(usage!.completion_tokens).toBe(12);
  });

  test("its stream helper puts the answer together", async () => {
    const runner = openai.chat.completions.stream({ ...options, n: 2, seed: 1, temperature: 1 });
    const final = await runner.finalChatCompletion();
    expect(final.choices).toHaveLength(2);
    const whole = await openai.chat.completions.create({ ...options, n: 2, seed: 1, temperature: 1 });
    for (const { index, message } of whole.choices) {
      expect(final.choices.find((choice) => choice.index === index)!.message.content).toBe(message.content);
    }
  });

  test("the same seed gives the same text, another seed another", async () => {
    const ask = async (seed: number): Promise<string | null> =>
      (await openai.chat.completions.create({ ...options, temperature: 1, top_p: 1, seed })).choices[0]!
        .message.content;
    expect(await ask(7)).toBe(await ask(7));
    expect(await ask(7)).not.toBe(await ask(8));
  });

  test("stop, logit_bias, logprobs", async () => {
    const a = 3 + "a".codePointAt(0)!;
    const answer = await openai.chat.completions.create({
      ...options,
      logit_bias: { [a]: 100 },
      stop: ["aaaa"],
      logprobs: true,
      top_logprobs: 2,
    });
    expect(answer.choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "" } });
    const { content } = answer.choices[0]!.logprobs!;
    expect(content!.map(({ token }) => token)).toEqual(["a", "a", "a", "a"]);
    expect(content![0]!.bytes).toEqual([97]);
    expect(content![0]!.top_logprobs).toHaveLength(2);
  });

  test("plain completions: a text, several, tokens, streamed and echoed", async () => {
    const { choices } = await openai.completions.create({
      model: "tiny",
      prompt: ["a", "b"],
      n: 2,
      max_tokens: 3,
    });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    const echoed = await openai.completions.create({
      model: "tiny",
      prompt: "a b",
      echo: true,
      max_tokens: 3,
      logprobs: 1,
    });
    expect(echoed.choices[0]!.text).toMatch(/^a b/);
    expect(echoed.choices[0]!.logprobs!.tokens).toHaveLength(3);
    expect(echoed.choices[0]!.logprobs!.text_offset![0]).toBe(3);
    const prompt = [1, 100, 101];
    const whole = await openai.completions.create({ model: "tiny", prompt, temperature: 0, max_tokens: 9 });
    let text = "";
    const stream = await openai.completions.create({
      model: "tiny",
      prompt,
      temperature: 0,
      max_tokens: 9,
      stream: true,
    });
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? "";
    expect(text).toBe(whole.choices[0]!.text);
  });

  test("embeddings have length 1, and the same in both encodings", async () => {
    const input = ["a whale", "a ship", "a whale"];
    const { data } = await openai.embeddings.create({ model: "tiny", input });
    const floats = await openai.embeddings.create({ model: "tiny", input, encoding_format: "float" });
    for (const [i, { embedding }] of data.entries()) {
      expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
      expect(floats.data[i]!.embedding).toEqual([...embedding]);
    }
    expect(data[0]!.embedding).toEqual(data[2]!.embedding);
    expect(data[0]!.embedding).not.toEqual(data[1]!.embedding);
  });

  test("an answer held to a JSON Schema is of it, streamed and whole", async () => {
    const held = { ...options, max_tokens: 200, response_format: placeFormat };
    const answer = await openai.chat.completions.create(held);
    expect(answer.choices[0]!.finish_reason).toBe("stop");
    expect(places).toContainEqual(JSON.parse(answer.choices[0]!.message.content!));
    const stream = openai.chat.completions.stream(held);
    expect(await stream.finalContent()).toBe(answer.choices[0]!.message.content);
  });

  test("a JSON object is begun as one", async () => {
    const answer = await openai.chat.completions.create({
      ...options,
      response_format: { type: "json_object" },
    });
    expect(answer.choices[0]!.message.content).toMatch(/^\{/);
  });

  test("a tool that must be called is called, streamed and whole, and its result is taken", async () => {
    const calling = { ...options, max_tokens: 300, tools: [tool], tool_choice: "required" as const };
    const answer = await openai.chat.completions.create({ ...calling, parallel_tool_calls: false });
    const { message, finish_reason: reason } = answer.choices[0]!;
    expect(reason).toBe("tool_calls");
    expect(message.content).toBeNull();
    const [call] = message.tool_calls!;
    expect(call).toMatchObject({ type: "function", function: { name: "visit" } });
    const { function: called } = call as OpenAI.ChatCompletionMessageFunctionToolCall;
    expect(places).toContainEqual(JSON.parse(called.arguments));
    const streamed = await openai.chat.completions
      .stream({ ...calling, parallel_tool_calls: false })
      .finalMessage();
    expect(streamed.tool_calls![0]).toMatchObject({
      function: { name: "visit", arguments: called.arguments },
    });
    const next = await openai.chat.completions.create({
      ...options,
      tools: [tool],
      messages: [...messages, message, { role: "tool", tool_call_id: call!.id, content: "It was sunny." }],
    });
    expect(next.choices[0]!.message.content).not.toBe("");
  });

  test("a function may be named, and none may be called", async () => {
    const named = { type: "function", function: { name: "visit" } } as const;
    const calling = { ...options, max_tokens: 300, tools: [tool], tool_choice: named };
    const answer = await openai.chat.completions.create(calling);
    expect(answer.choices[0]!.message.tool_calls).toHaveLength(1);
    const silent = await openai.chat.completions.create({ ...calling, tool_choice: "none" });
    expect(silent.choices[0]!.message.tool_calls).toBeUndefined();
    const wrong = { ...calling, tool_choice: { type: "function", function: { name: "fly" } } } as const;
    await expect(openai.chat.completions.create(wrong)).rejects.toThrow(/tool_choice names fly/);
  });

  test("with tools and a format an answer is a call, or a text of the format", async () => {
    const mark = 3 + "<".codePointAt(0)!;
    const held = {
      ...options,
      max_tokens: 300,
      tools: [tool],
      parallel_tool_calls: false,
      response_format: placeFormat,
    };
    const calling = { ...held, logit_bias: { [mark]: 100 } };
    const called = (await openai.chat.completions.create(calling)).choices[0]!;
    expect(called).toMatchObject({ finish_reason: "tool_calls", message: { content: null } });
    const [call] = called.message.tool_calls as OpenAI.ChatCompletionMessageFunctionToolCall[];
    expect(places).toContainEqual(JSON.parse(call!.function.arguments));
    const silent = { ...held, logit_bias: { [mark]: -100 } };
    const said = (await openai.chat.completions.create(silent)).choices[0]!;
    expect(said.finish_reason).toBe("stop");
    expect(said.message.tool_calls).toBeUndefined();
    expect(places).toContainEqual(JSON.parse(said.message.content!));
    expect(await openai.chat.completions.stream(silent).finalContent()).toBe(said.message.content);
    const streamed = await openai.chat.completions.stream(calling).finalMessage();
    expect(streamed.tool_calls).toMatchObject([{ function: call!.function }]);
    // What must be a call is one, and what may not be is of the format.
    const must = await openai.chat.completions.create({ ...silent, tool_choice: "required" });
    expect(must.choices[0]!.message.tool_calls).toHaveLength(1);
    const none = await openai.chat.completions.create({ ...calling, tool_choice: "none" });
    expect(places).toContainEqual(JSON.parse(none.choices[0]!.message.content!));
  });

  test("the list of models", async () => {
    const models = await openai.models.list();
    expect(models.data.map(({ id }) => id)).toEqual(["tiny"]);
    expect((await openai.models.retrieve("tiny")).object).toBe("model");
  });

  test("errors are of the class that belongs to them", async () => {
    const stranger = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "wrong", maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toThrow(AuthenticationError);
    await expect(openai.chat.completions.create({ ...options, model: "gpt" })).rejects.toThrow(NotFoundError);
    await expect(openai.models.retrieve("gpt")).rejects.toThrow(NotFoundError);
    const wrong = openai.chat.completions.create({ ...options, temperature: -1 });
    await expect(wrong).rejects.toThrow(BadRequestError);
    await expect(wrong).rejects.toMatchObject({ param: "temperature", type: "invalid_request_error" });
    const long = [{ role: "user", content: "long ".repeat(1000) }] as const;
    await expect(openai.chat.completions.create({ ...options, messages: [...long] })).rejects.toMatchObject({
      code: "context_length_exceeded",
      param: "messages",
    } satisfies Partial<APIError>);
    const prompt = "long ".repeat(1000);
    await expect(openai.completions.create({ model: "tiny", prompt })).rejects.toMatchObject({
      code: "context_length_exceeded",
      param: "prompt",
    });
  });

  test("an answer can be broken off, streamed or not", async () => {
    const endless = { ...options, max_tokens: 2000, logit_bias: { 2: -1000, 1: -1000 } };
    const stream = await openai.chat.completions.create({ ...endless, stream: true });
    let pieces = 0;
    for await (const _ of stream) {
      pieces += 1;
      if (pieces === 5) break;
    }
    expect(pieces).toBe(5);
    const controller = new AbortController();
    const whole = openai.chat.completions.create(endless, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await expect(whole).rejects.toThrow(APIUserAbortError);
    await expect.poll(isIdle, { timeout: 5000 }).toBe(true);
  });
});

describe("Vercel's AI SDK:", () => {
  const provider = (): ReturnType<typeof createOpenAICompatible> =>
    createOpenAICompatible({ name: "cria", baseURL: `${server.url}/v1`, apiKey: key, includeUsage: true });

  test("a text, with its usage", async () => {
    const { text, usage, finishReason } = await generateText({
      model: provider()("tiny"),
      prompt: "hi",
      maxOutputTokens: 8,
      temperature: 0,
    });
    expect(text).not.toBe("");
    expect(usage.outputTokens).toBe(8);
    expect(finishReason).toBe("length");
  });

  test("a stream", async () => {
    const options = { model: provider()("tiny"), prompt: "hi", maxOutputTokens: 8, temperature: 0 };
    const { textStream, usage } = streamText(options);
    let text = "";
    for await (const piece of textStream) text += piece;
    expect(text).toBe((await generateText(options)).text);
    expect((await usage).outputTokens).toBe(8);
  });

  test("an object of a schema", async () => {
    const { object } = await generateObject({
      model: createOpenAICompatible({
        name: "cria",
        baseURL: `${server.url}/v1`,
        apiKey: key,
        supportsStructuredOutputs: true,
      })("tiny"),
      schema: z.strictObject({ city: z.enum(["Paris", "Rome"]), isHot: z.boolean() }),
      prompt: "hi",
      temperature: 0,
    });
    expect(places).toContainEqual(object);
  });

  test("a call of a tool, and the answer after it", async () => {
    const visited: unknown[] = [];
    const { steps } = await generateText({
      model: provider()("tiny"),
      prompt: "hi",
      temperature: 0,
      maxOutputTokens: 300,
      tools: {
        visit: defineTool({
          description: "Visits.",
          inputSchema: z.strictObject({ city: z.enum(["Paris", "Rome"]), isHot: z.boolean() }),
          execute: async (input) => {
            visited.push(input);
            return "It was sunny.";
          },
        }),
      },
      toolChoice: "required",
      stopWhen: stepCountIs(2),
    });
    expect(steps).toHaveLength(2);
    expect(steps[0]!.finishReason).toBe("tool-calls");
    expect(places).toContainEqual(visited[0]);
  });

  test("a stream that is broken off ends, and its place is free", async () => {
    const controller = new AbortController();
    let isAborted = false;
    const { fullStream } = streamText({
      model: provider()("tiny"),
      prompt: "hi",
      maxOutputTokens: 2000,
      temperature: 0,
      abortSignal: controller.signal,
    });
    let pieces = 0;
    for await (const part of fullStream) {
      if (part.type === "text-delta" && (pieces += 1) === 5) controller.abort();
      isAborted ||= part.type === "abort";
    }
    expect(isAborted).toBe(true);
    await expect.poll(isIdle, { timeout: 5000 }).toBe(true);
  });

  test("embeddings", async () => {
    const model = provider().embeddingModel("tiny");
    const { embeddings } = await embedMany({ model, values: ["a", "b"] });
    expect(embeddings).toHaveLength(2);
  });

  test("an error", async () => {
    const model = createOpenAICompatible({ name: "cria", baseURL: `${server.url}/v1`, apiKey: "wrong" })(
      "tiny",
    );
    await expect(generateText({ model, prompt: "hi", maxRetries: 0 })).rejects.toThrow(
      "This API key is not known.",
    );
  });
});
