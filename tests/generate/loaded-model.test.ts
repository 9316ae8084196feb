/** Opening a model: what a checkpoint says when it is opened again, and that nothing is left open when it fails. */

import { cpSync, mkdtempSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { liveArenas } from "../../src/engine/library.ts";
import type { TextEvent } from "../../src/generate/generate.ts";
import { loadModel } from "../../src/generate/loaded-model.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";

const tokenizer = tinyTokenizer();
const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };

let folder: string;
let model: string;
let logits: Float32Array;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "cria-load-"));
  model = join(folder, "model");
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  saveCheckpoint(model, { weights, tokenizer, run: { step: 1 } });
  using decoder = new Decoder(backend, weights);
  logits = await decoder.read([1, 20, 30]);
});
afterEach(() => rmSync(folder, { recursive: true }));

test("a model that was saved says the same when it is opened, bit for bit", async () => {
  using opened = await loadModel(model, { threads: 1 });
  expect(opened.files.config).toEqual(config);
  expect(opened.tokenizer.encode("a b")).toEqual(tokenizer.encode("a b"));
  expect(await opened.decoder.read([1, 20, 30])).toEqual(logits);
});

test("the event loop goes on while weights are copied", async () => {
  let hasTurned = false;
  setImmediate(() => (hasTurned = true));
  using _ = await loadModel(model, { threads: 1 });
  expect(hasTurned).toBe(true);
});

test("a longer or shorter context may be asked for", async () => {
  using short = await loadModel(model, { threads: 1, contextTokens: 16 });
  expect(short.decoder.contextTokens).toBe(16);
  using own = await loadModel(model, { threads: 1 });
  expect(own.decoder.contextTokens).toBe(config.maxSeqLen);
});

test("disposing twice is safe", async () => {
  const opened = await loadModel(model, { threads: 1 });
  opened[Symbol.dispose]();
  opened[Symbol.dispose]();
});

describe("when it cannot be opened, nothing stays open:", () => {
  test.each([
    ["a context that is too long", { contextTokens: 2 ** 40 }, /^arena "kv cache" needs/],
    ["a context that is none", { contextTokens: 0.5 }, /^a context of 0.5 tokens is no positive integer$/],
    ["a device that is not there", { device: "tpu" }, /^there is no device "tpu"$/],
    ["a tokenizer that is not there", { tokenizer: "/absent/tokenizer.model" }, /does not exist$/],
  ])("%s", async (_title, options, message) => {
    await expect(loadModel(model, { threads: 1, ...options })).rejects.toThrow(message);
    expect(liveArenas()).toEqual([]);
  });

  test("a signal that is aborted while weights are copied", async () => {
    // Queries and keys are turned, and so are copied one after the other.
    const loading = new AbortController();
    const opening = loadModel(model, { threads: 1, signal: loading.signal });
    loading.abort(new Error("no longer wanted"));
    await expect(opening).rejects.toThrow("no longer wanted");
    expect(liveArenas()).toEqual([]);
  });

  test("weights that were cut short", async () => {
    const cut = join(folder, "cut");
    cpSync(model, cut, { recursive: true });
    truncateSync(join(cut, "model.safetensors"), 40_000);
    await expect(loadModel(cut, { threads: 1 })).rejects.toThrow(
      /its data ends at byte \d+, the file at 40000$/,
    );
    expect(liveArenas()).toEqual([]);
  });
});

describe("as a library", () => {
  const said = async (events: AsyncIterable<TextEvent>): Promise<string> => {
    let text = "";
    for await (const event of events) text += event.text;
    return text;
  };

  test("an answer follows from its seed, also when several are asked for at once", async () => {
    await using opened = await loadModel(model, { threads: 1 });
    const settings = { seed: 3, maxTokens: 8, temperature: 1, topP: 1 };
    const ask = (content: string) => said(opened.chat([{ role: "user", content }], settings));
    const [first, second, again] = await Promise.all([ask("Who?"), ask("Why?"), ask("Who?")]);
    expect(again).toBe(first);
    expect(second).not.toBe(first);
    const completed = await Promise.all([0, 1].map(() => said(opened.complete("The", settings))));
    expect(completed[0]).toBe(completed[1]);
  });

  test("whoever stops listening gives the model back, and an aborted text ends so", async () => {
    await using opened = await loadModel(model, { threads: 1 });
    for await (const event of opened.complete("The", { seed: 1 })) {
      expect(event.type).toBe("token");
      break;
    }
    const events: TextEvent[] = [];
    for await (const event of opened.complete("The", { signal: AbortSignal.abort() })) events.push(event);
    expect(events).toEqual([{ type: "done", reason: "aborted", text: "" }]);
  });

  test("a text is held to a schema, to JSON or to a grammar, in a chat and out of it", async () => {
    await using opened = await loadModel(model, { threads: 1 });
    const settings = { seed: 1, temperature: 1, topP: 1, maxTokens: 60 };
    const schema = {
      type: "object",
      properties: { a: { enum: [1, 22] } },
      required: ["a"],
      additionalProperties: false,
    };
    const question = [{ role: "user", content: "Why?" }] as const;
    const held = { ...settings, format: { type: "json-schema", schema } } as const;
    for (const events of [opened.chat(question, held), opened.complete("It is ", held)]) {
      expect([{ a: 1 }, { a: 22 }]).toContainEqual(JSON.parse(await said(events)));
    }
    const grammar = { ...settings, format: { type: "gbnf", grammar: 'root ::= "ab" | "ba"' } } as const;
    expect(["ab", "ba"]).toContain(await said(opened.complete("It is ", grammar)));
    const json = { ...settings, format: { type: "json" } } as const;
    expect(await said(opened.complete("It is ", json))).toMatch(/^\{/);
    expect(() => opened.complete("x", { format: { type: "json-schema", schema: { type: "nul" } } })).toThrow(
      '"nul", which is no type',
    );
  });

  test("embeddings have length 1, and are the text's", async () => {
    await using opened = await loadModel(model, { threads: 1 });
    const [mean, again, last, other] = [
      await opened.embed("a b"),
      await opened.embed("a b", "mean"),
      await opened.embed("a b", "last"),
      await opened.embed("c"),
    ];
    expect(mean).toEqual(again);
    expect(mean).not.toEqual(last);
    expect(mean).not.toEqual(other);
    for (const vector of [mean, last, other]) expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
  });
});
