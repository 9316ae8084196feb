/** Who is in the next pass through the model, and what happens when there is no room for all. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generateTokens } from "../../src/generate/generate.ts";
import { loadModel } from "../../src/generate/loaded-model.ts";
import type { GenerateEvent, GenerateRequest, Usage } from "../../src/serve/engine.ts";
import { FairQueue } from "../../src/serve/worker/fair-queue.ts";
import { PassBudget } from "../../src/serve/worker/pass-budget.ts";
import { ServedModel, type ServedModelOptions } from "../../src/serve/worker/served-model.ts";
import { oneAtATime, Turns } from "../../src/serve/worker/turns.ts";
import { openTokenizer } from "../../src/tokenizer/open.ts";
import { tinyFolder, type TinyFolder } from "./tiny-served.ts";

let folder: TinyFolder;
beforeAll(() => {
  folder = tinyFolder(512);
});
afterAll(() => folder[Symbol.dispose]());

function open(options: Partial<ServedModelOptions> = {}): ServedModel {
  return new ServedModel({
    path: folder.path,
    device: "cpu",
    threads: 1,
    parallel: 8,
    queue: 16,
    ...options,
  });
}

const tokens = (count: number, first = 10): number[] =>
  Array.from({ length: count }, (_, i) => first + (i % 90));

function request(prompt: readonly number[], more: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    model: "tiny",
    client: "a",
    prompt: { type: "tokens", tokens: prompt },
    count: 1,
    maxTokens: 20,
    stop: [],
    sampling: { temperature: 0, topK: 0, topP: 1 },
    ignoresEnd: true,
    ...more,
  };
}

interface Ended {
  readonly text: string;
  readonly usage: Usage;
  /** When each piece came, counted over all requests of the test. */
  readonly pieces: readonly number[];
}

let clock = 0;

function run(model: ServedModel, asked: GenerateRequest): Promise<Ended> {
  let text = "";
  const pieces: number[] = [];
  return new Promise((done, fail) => {
    model.generate(asked, (event: GenerateEvent) => {
      clock += 1;
      if (event.type === "text") {
        text += event.text;
        pieces.push(clock);
      }
      if (event.type === "failed") fail(new Error(event.problem.message));
      if (event.type === "done") done({ text, usage: event.usage, pieces });
    });
  });
}

describe("texts that do not fit into the cache together", () => {
  test("take turns, and say what they say alone", async () => {
    // 256 cells, and three texts of 40 + 120 tokens.
    using model = open({ cells: 256, contextTokens: 200 });
    const asked = [10, 11, 12].map((first) => request(tokens(40, first), { maxTokens: 120 }));
    const alone: Ended[] = [];
    for (const one of asked) alone.push(await run(model, one));
    const stepsAlone = model.stats.steps;
    const together = await Promise.all(asked.map((one) => run(model, one)));
    expect(together.map(({ text }) => text)).toEqual(alone.map(({ text }) => text));
    expect(together.map(({ usage }) => usage.completionTokens)).toEqual([120, 120, 120]);
    // They were written at the same time as far as there was room.
    expect(model.stats.steps - stepsAlone).toBeLessThan(stepsAlone);
  });

  test("a text that fills the whole cache ends there", async () => {
    using model = open({ cells: 256, contextTokens: 512 });
    const { usage } = await run(model, request(tokens(200), { maxTokens: 400 }));
    expect(usage.completionTokens).toBe(57);
  });

  test("a prompt that can never fit is refused", async () => {
    using model = open({ cells: 256, contextTokens: 512 });
    await expect(run(model, request(tokens(300)))).rejects.toThrow(
      "has 300 tokens, and the context has room for 255",
    );
  });

  test("a text that is far too long is refused before it is encoded", async () => {
    using model = open({ cells: 256, contextTokens: 512 });
    const { pieces } = openTokenizer(folder.path).model;
    const longest = Math.max(...pieces.map(({ piece }) => piece.length));
    // Two characters and a space that may not count.
    const text = "a b".repeat(longest * 150);
    await expect(run(model, request([], { prompt: { type: "text", text } }))).rejects.toThrow(
      "has at least 300 tokens, and the context has room for 255",
    );
  });

  test("no token is drawn where none is wanted", async () => {
    using model = open({});
    expect(await run(model, request(tokens(3), { maxTokens: 0 }))).toEqual({
      text: "",
      usage: { promptTokens: 3, cachedTokens: 0, completionTokens: 0 },
      pieces: [],
    });
  });
});

describe("a context that shifts", () => {
  /** What a decoder of its own writes. */
  async function written(prompt: readonly number[], contextTokens: number, keep: number): Promise<string> {
    using alone = await loadModel(folder.path, { device: "cpu", threads: 1, contextTokens });
    const bannedIds = [alone.tokenizer.eosId, alone.tokenizer.bosId];
    const options = { temperature: 0, topK: 0, topP: 1, bannedIds, maxTokens: 100, stopIds: [] };
    const ids: number[] = [];
    const shifting = { ...options, contextShift: { keep }, next: () => 0 };
    for await (const id of generateTokens(alone.decoder, prompt, shifting)) ids.push(id);
    return alone.tokenizer.decode([...prompt, ...ids]).slice(alone.tokenizer.decode(prompt).length);
  }

  test("lets a text go on past it, with the prompt's first tokens kept", async () => {
    using model = open({ cells: 256, contextTokens: 48, contextShift: { keep: 1 } });
    const prompt = tokens(20);
    const { text, usage } = await run(model, request(prompt, { maxTokens: 100 }));
    expect(usage.completionTokens).toBe(100);
    expect(text).toBe(await written(prompt, 48, 1));
    const kept = await run(model, request(prompt, { maxTokens: 100, keep: 20 }));
    expect(kept.text).toBe(await written(prompt, 48, 20));
    expect(kept.text).not.toBe(text);
  });

  test("ends it without the option, and with it after a context's tokens where no number is said", async () => {
    using model = open({ cells: 256, contextTokens: 48 });
    expect((await run(model, request(tokens(20), { maxTokens: 100 }))).usage.completionTokens).toBe(29);
    using shifting = open({ cells: 256, contextTokens: 48, contextShift: { keep: 0 } });
    const { maxTokens: _, ...endless } = request(tokens(20));
    expect((await run(shifting, endless)).usage.completionTokens).toBe(48);
  });

  test("keeps a whole prompt, even one that leaves room for one token", async () => {
    using model = open({ cells: 256, contextTokens: 48, contextShift: { keep: Number.MAX_SAFE_INTEGER } });
    const { usage } = await run(model, request(tokens(47), { maxTokens: 30 }));
    expect(usage.completionTokens).toBe(30);
  });

  test("changes no text beside others, whether they wait for cells or share a prompt", async () => {
    using model = open({ cells: 256, contextTokens: 200, contextShift: { keep: 4 } });
    const asked = [10, 11, 12].map((first) => request(tokens(150, first), { maxTokens: 120 }));
    const alone: Ended[] = [];
    for (const one of asked) alone.push(await run(model, one));
    const together = await Promise.all(asked.map((one) => run(model, one)));
    expect(together.map(({ text }) => text)).toEqual(alone.map(({ text }) => text));
    const pair = await run(model, request(tokens(30), { count: 2, maxTokens: 200 }));
    expect(pair.usage.completionTokens).toBe(400);
    expect(pair.text.length).toBe(
      2 * (await run(model, request(tokens(30), { maxTokens: 200 }))).text.length,
    );
  });

  test("shifts where all cells are full, too", async () => {
    using model = open({ cells: 256, contextTokens: 512, contextShift: { keep: 1 } });
    expect((await run(model, request(tokens(200), { maxTokens: 400 }))).usage.completionTokens).toBe(400);
  });
});

test("a long prompt is read in pieces between the next tokens of the others", async () => {
  using model = open({ cells: 4096, contextTokens: 4096 });
  const short = run(model, request(tokens(5), { maxTokens: 60 }));
  const long = run(model, request(tokens(3000, 50), { maxTokens: 1 }));
  const [first, second] = await Promise.all([short, long]);
  // The short text's tokens came while the long prompt was read, not after it.
  expect(first.pieces.filter((at) => at < second.pieces[0]!).length).toBeGreaterThan(2);
});

describe("a prompt's beginning", () => {
  test("is computed once for all texts of a request, and for later requests of the client", async () => {
    using model = open({ cells: 1024 });
    const prompt = tokens(100);
    const first = await run(model, request(prompt, { count: 3 }));
    expect(first.usage).toEqual({ promptTokens: 100, cachedTokens: 0, completionTokens: 60 });
    const again = await run(model, request([...prompt, 7, 8], { count: 1 }));
    expect(again.usage.cachedTokens).toBe(100);
    expect((await run(model, request(prompt))).usage.cachedTokens).toBe(99);
  });

  test("is not shared with another client, who could measure what was asked", async () => {
    using model = open({ cells: 1024 });
    await run(model, request(tokens(100)));
    const { usage } = await run(model, request(tokens(100), { client: "b" }));
    expect(usage.cachedTokens).toBe(0);
  });
});

test("what is cancelled tells nothing more, and its place is free", async () => {
  using model = open({ parallel: 1, cells: 1024 });
  const events: GenerateEvent[] = [];
  const cancel = model.generate(request(tokens(5), { maxTokens: 400 }), (event) => events.push(event));
  const waiting = run(model, request(tokens(6), { maxTokens: 3 }));
  await expect.poll(() => events.length).toBeGreaterThan(3);
  cancel();
  const told = events.length;
  expect((await waiting).usage.completionTokens).toBe(3);
  expect(events).toHaveLength(told);
});

test("more texts than are written at a time are refused, not waited for", async () => {
  using model = open({ parallel: 2 });
  await expect(run(model, request(tokens(3), { count: 3 }))).rejects.toThrow(
    "n (3) is above the 2 texts at a time",
  );
});

describe("a queue", () => {
  test("is fair: each client has the next turn once before any has it twice", () => {
    const queue = new FairQueue<string>();
    for (const item of ["a1", "a2", "a3", "b1", "c1", "b2"]) queue.push(item[0]!, item);
    const order: (string | undefined)[] = [];
    while (queue.size > 0) {
      expect(queue.peek()).toBeDefined();
      order.push(queue.take());
    }
    expect(order).toEqual(["a1", "b1", "c1", "a2", "b2", "a3"]);
    expect(queue.take()).toBeUndefined();
  });

  test("lets go of what is removed", () => {
    const queue = new FairQueue<string>();
    queue.push("a", "a1");
    expect(queue.remove("a1")).toBe(true);
    expect(queue.remove("a1")).toBe(false);
    expect(queue.peek()).toBeUndefined();
  });
});

describe("the room of a pass", () => {
  test("is large when nobody waits for a next token, and shared by equal parts", () => {
    const budget = new PassBudget();
    expect(budget.shares(0, [2000])).toEqual([512]);
    expect(budget.shares(0, [10, 2000, 2000])).toEqual([10, 251, 251]);
  });

  test("beside texts that are written is what 150 ms allow", () => {
    const budget = new PassBudget();
    expect(budget.shares(3, [2000])).toEqual([32]);
    for (let i = 0; i < 50; i += 1) budget.passed({ tokens: 512, texts: 1, ms: 512 });
    expect(budget.shares(3, [2000])).toEqual([150]);
  });
});

describe("turns", () => {
  test("are one at a time, in order, and a taker that leaves gives its turn up", () => {
    const turns = new Turns();
    const granted: string[] = [];
    const taker = (name: string): { grant: () => void } => ({ grant: () => granted.push(name) });
    const [a, b, c] = [taker("a"), taker("b"), taker("c")];
    for (const one of [a, b, c]) turns.want(one);
    expect(granted).toEqual(["a"]);
    turns.leave(b);
    turns.end(a);
    expect(granted).toEqual(["a", "c"]);
  });

  test("within a process too", async () => {
    const turn = oneAtATime(async () => () => {});
    const order: string[] = [];
    const work = async (name: string): Promise<void> => {
      const end = await turn();
      order.push(`${name} begins`);
      await Promise.resolve();
      order.push(`${name} ends`);
      end();
    };
    await Promise.all([work("a"), work("b")]);
    expect(order).toEqual(["a begins", "a ends", "b begins", "b ends"]);
  });
});
