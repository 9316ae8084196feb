/** Models with more rows than their tokenizer has pieces: the rows behind are never drawn, and are no text. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeSamples } from "../../src/cli/stages/samples.ts";
import { encodePrompt } from "../../src/dialog/llama2-chat.ts";
import { answerSampler, type AnswerSource } from "../../src/generate/answers.ts";
import { argmax } from "../../src/generate/sampling/argmax.ts";
import { loadModel } from "../../src/generate/loaded-model.ts";
import { convertModel } from "../../src/model/convert.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openWeights, readModelFiles } from "../../src/model/load.ts";
import { rollOut } from "../../src/ppo/rollout.ts";
import type { GenerateEvent } from "../../src/serve/engine.ts";
import { ServedModel } from "../../src/serve/worker/served-model.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { openTokenizer, tokenizerOfModel } from "../../src/tokenizer/open.ts";
import { unusedIds } from "../../src/tokenizer/tokenizer.ts";
import { loadCheckpointWeights, saveCheckpoint } from "../../src/train/checkpoint.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";

const tokenizer = tinyTokenizer();
const pieces = tokenizer.vocabSize;
const rows = Math.ceil((pieces + 1) / 64) * 64;
const config = { ...tinyConfig, vocabSize: rows };

let folder: string;
let model: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-padded-"));
  model = join(folder, "model");
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  // Padding rows so long that one of them has the largest logit whatever is read.
  const head = weights.head.readF32();
  for (let i = pieces * config.dim; i < head.length; i += 1) head[i]! *= 1000;
  weights.head.write(head);
  saveCheckpoint(model, { weights, tokenizer, run: { step: 1 } });
});
afterAll(() => rmSync(folder, { recursive: true }));

test("the padding would win if it were not banned", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = openWeights(backend, readModelFiles(model));
  using decoder = new Decoder(backend, weights);
  expect(argmax(await decoder.read([1, 20, 30]))).toBeGreaterThanOrEqual(pieces);
});

describe.each(["the folder", "a GGUF file of it"])("of %s", (kind) => {
  let path: string;
  beforeAll(async () => {
    path = kind === "the folder" ? model : join(folder, "model.gguf");
    if (path === model) return;
    await convertModel({ files: readModelFiles(model), tokenizer, out: path, mix: "f32", threads: 1 });
  });

  test("they are those behind the last piece, and decode to nothing", () => {
    const own = tokenizerOfModel(path, rows);
    expect(own).toMatchObject({ vocabSize: pieces, rows });
    expect(unusedIds(own)).toEqual(Array.from({ length: rows - pieces }, (_, i) => pieces + i));
    expect(own.decode([pieces, 100, rows - 1])).toBe(tokenizer.decode([100]));
    expect(own.pieceBytes(pieces)).toEqual(new Uint8Array(0));
    expect(() => own.decode([rows])).toThrow(
      `token id ${rows} is not one of this tokenizer's, which are 0 to ${rows - 1}`,
    );
  });

  test.each([0, 1])("at temperature %d none is drawn, nor among the most probable", async (temperature) => {
    using opened = await loadModel(path, { threads: 1 });
    const settings = { temperature, topP: 1, maxTokens: 40, seed: 1, topLogprobs: 5 };
    const ids: number[] = [];
    for await (const event of opened.complete("a", settings)) {
      if (event.type !== "token") continue;
      ids.push(event.id, ...event.logprobs!.top.map(({ id }) => id));
    }
    expect(ids.length).toBeGreaterThan(6);
    expect(Math.max(...ids)).toBeLessThan(pieces);
  });

  test("the server draws none", async () => {
    using served = new ServedModel({ path, device: "cpu", threads: 1, parallel: 2, queue: 2 });
    const events = await new Promise<GenerateEvent[]>((resolve) => {
      const all: GenerateEvent[] = [];
      const sampling = { temperature: 1, topK: 0, topP: 1 };
      const prompt = { type: "tokens", tokens: [1, 20] } as const;
      const request = { model: "tiny", client: "a", prompt, count: 2, maxTokens: 20, stop: [], sampling };
      served.generate({ ...request, ignoresEnd: true, topLogprobs: 3 }, (event) => {
        all.push(event);
        if (event.type === "done" || event.type === "failed") resolve(all);
      });
    });
    expect(events.at(-1)).toMatchObject({ type: "done", usage: { completionTokens: 40 } });
    expect(JSON.stringify(events)).not.toContain("Infinity");
    const drawn = JSON.stringify(events)
      .match(/"id":(\d+)/g)!
      .map((id) => Number(id.slice(5)));
    expect(Math.max(...drawn)).toBeLessThan(pieces);
  });
});

describe("of weights that are trained", () => {
  const prompt = [{ role: "user", content: "Why?" }] as const;

  async function withTrained(body: (source: AnswerSource) => Promise<void>): Promise<void> {
    using backend = openBackend({ threads: 1 });
    using weights = loadCheckpointWeights(backend, model);
    await body({ backend, weights, tokenizer });
  }

  test("answers that stages learn from have none", () =>
    withTrained(async (source) => {
      const sample = answerSampler(source, { maxTokens: 12, topP: 1 });
      const texts: string[] = [];
      for await (const { text } of sample([{ prompt, temperature: 1, seeds: [1, 2, 3] }])) texts.push(text);
      // Rows without a piece are no text, and nothing but they would be drawn.
      expect(texts.every((text) => text.length > 3)).toBe(true);
    }));

  test("rollouts of PPO have none", () =>
    withTrained(async (source) => {
      const tokens = encodePrompt(prompt, tokenizer);
      const sampling = { temperature: 1, topK: 0, topP: 1 };
      const options = { maxTokens: 12, maxSequences: 2, sampling, temperature: 1, seeds: [1, 2] };
      const asked = { prompt: { dialog: prompt, isSafety: false }, tokens };
      const rollouts = await rollOut(source, [asked, asked], options);
      for (const { answer } of rollouts) expect(Math.max(...answer)).toBeLessThan(pieces);
    }));

  test("samples of a run have none", () =>
    withTrained(async (source) => {
      const options = { kind: "text", prompts: ["A"], maxTokens: 12, seed: 1 } as const;
      const [sample] = await writeSamples(source, options, new AbortController().signal);
      expect(sample!.text.length).toBeGreaterThan(3);
    }));
});

test("a tokenizer that is larger than the model is still refused", () => {
  expect(() => tokenizerOfModel(model, pieces - 1)).toThrow(`has ${pieces} pieces, the model ${pieces - 1}`);
  expect(openTokenizer(model)).toMatchObject({ vocabSize: pieces, rows: pieces });
});
