/** Several models in less memory than they need together. */

import { afterAll, beforeAll, expect, test } from "vitest";
import type { GenerateEvent } from "../../src/serve/engine.ts";
import { ModelPool } from "../../src/serve/worker/model-pool.ts";
import { tinyFolder, type TinyFolder } from "./tiny-served.ts";

let folder: TinyFolder;
let pool: ModelPool;
beforeAll(() => {
  folder = tinyFolder(2048);
  const options = { path: folder.path, device: "cpu", threads: 1, parallel: 2, queue: 4 };
  const models = ["a", "b", "c"].map((id) => ({ id, options, bytes: 100 }));
  const large = { id: "large", options, bytes: 1000 };
  const broken = { id: "broken", options: { ...options, path: `${folder.path}/absent` }, bytes: 1 };
  pool = new ModelPool([...models, large, broken], { memoryBytes: 250, died: () => {} });
});
afterAll(async () => {
  await pool.close();
  folder[Symbol.dispose]();
});

const open = (): string[] => pool.models().flatMap(({ id, state }) => (state === "ready" ? [id] : []));

test("the least recently used one is closed when another needs its memory", async () => {
  await pool.load("a");
  await pool.load("b");
  expect(open()).toEqual(["a", "b"]);
  await pool.load("a");
  await pool.load("c");
  expect(open()).toEqual(["a", "c"]);
});

test("one that is at work is not closed: the next waits until it is done", async () => {
  const events: GenerateEvent[] = [];
  const work = async (model: string, maxTokens: number): Promise<void> => {
    const request = {
      model,
      client: "x",
      prompt: { type: "text", text: "hi" },
      count: 1,
      maxTokens,
      stop: [],
      sampling: { temperature: 0, topK: 0, topP: 1 },
      ignoresEnd: true,
    } as const;
    for await (const event of pool.generate(request)) events.push(event);
  };
  await Promise.all([work("a", 300), work("c", 300), work("b", 3)]);
  expect(events.filter(({ type }) => type === "done")).toHaveLength(3);
  expect(open()).toContain("b");
});

test("one that needs more than there is at all is refused", async () => {
  await expect(pool.load("large")).rejects.toThrow(
    'The model "large" needs more memory than the server may use.',
  );
});

test("one that cannot be opened says so to its clients, and the others go on", async () => {
  await expect(pool.load("broken")).rejects.toThrow("The model cannot be opened; the server's log says why.");
  expect(pool.models().at(-1)).toMatchObject({ id: "broken", state: "failed", deaths: 0 });
  await pool.load("a");
});

test("there are no others", async () => {
  await expect(pool.load("d")).rejects.toThrow('There is no model "d". There are: a, b, c, large, broken.');
});
