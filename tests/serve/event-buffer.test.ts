/** Events between who makes them and who reads them. */

import { describe, expect, test } from "vitest";
import type { GenerateEvent } from "../../src/serve/engine.ts";
import { EventBuffer } from "../../src/serve/event-buffer.ts";
import { invalid } from "../../src/serve/problem.ts";

const text = (index: number, text: string): GenerateEvent => ({ type: "text", index, text });
const end: GenerateEvent = { type: "done", usage: { promptTokens: 1, cachedTokens: 0, completionTokens: 1 } };

async function all(buffer: EventBuffer): Promise<GenerateEvent[]> {
  const events: GenerateEvent[] = [];
  for await (const event of buffer) events.push(event);
  return events;
}

test("what was not read yet grows into one event for each text, and nothing is lost", async () => {
  const buffer = new EventBuffer(() => {});
  for (const event of [text(0, "a"), text(1, "x"), text(0, "b"), text(1, "y"), end]) buffer.push(event);
  expect(await all(buffer)).toEqual([text(0, "ab"), text(1, "xy"), end]);
});

test("log-probabilities are put together with their texts", async () => {
  const buffer = new EventBuffer(() => {});
  const report = (id: number): { id: number; text: string; bytes: []; logprob: number; top: [] } => ({
    id,
    text: "",
    bytes: [],
    logprob: -1,
    top: [],
  });
  for (const id of [1, 2, 3]) buffer.push({ type: "text", index: 0, text: "", logprobs: [report(id)] });
  buffer.push(end);
  expect((await all(buffer))[0]).toMatchObject({ logprobs: [{ id: 1 }, { id: 2 }, { id: 3 }] });
});

test("a reader that waits gets each event as it comes", async () => {
  const buffer = new EventBuffer(() => {});
  const read: string[] = [];
  const reading = (async () => {
    for await (const event of buffer) if (event.type === "text") read.push(event.text);
  })();
  for (const piece of ["a", "b", "c"]) {
    buffer.push(text(0, piece));
    await new Promise((later) => setTimeout(later, 1));
  }
  buffer.push(end);
  await reading;
  expect(read).toEqual(["a", "b", "c"]);
});

describe("the reader's leaving", () => {
  test("is told once, and not after the end", async () => {
    let left = 0;
    const buffer = new EventBuffer(() => (left += 1));
    buffer.push(text(0, "a"));
    await buffer.return();
    await buffer.return();
    buffer.push(text(0, "b"));
    expect(await all(buffer)).toEqual([]);
    expect(left).toBe(1);
    const ended = new EventBuffer(() => (left += 1));
    ended.push(end);
    await ended.return();
    expect(left).toBe(1);
  });

  test("wakes it where it waits", async () => {
    const buffer = new EventBuffer(() => {});
    const waiting = buffer.next();
    await buffer.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });
});

test("a failure comes after what was written before it", async () => {
  const buffer = new EventBuffer(() => {});
  buffer.push(text(0, "a"));
  buffer.fail(invalid("no more"));
  expect((await buffer.next()).value).toEqual(text(0, "a"));
  await expect(buffer.next()).rejects.toThrow("no more");
  expect((await buffer.next()).done).toBe(true);
});

test("who reads nothing of a text beyond the bound loses the request, and the work ends", async () => {
  let left = 0;
  const buffer = new EventBuffer(() => (left += 1), 1000);
  for (let i = 0; i < 20; i += 1) buffer.push(text(0, "x".repeat(100)));
  expect(left).toBe(1);
  await expect(all(buffer)).rejects.toThrow("More than 1000 characters were written and not read.");
});
