/** A Llama that scores: its head, its files, and what refuses it. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { causalAttention, causalMask } from "../../src/model/attention.ts";
import { scalars, withScalarHead } from "../../src/model/heads.ts";
import { finalStates } from "../../src/model/llama.ts";
import { readModelFiles } from "../../src/model/load.ts";
import { headKind, type LlamaWeights } from "../../src/model/weights.ts";
import { openBackend, type Backend } from "../../src/tensor/backend.ts";
import { Graph } from "../../src/tensor/graph.ts";
import { loadCheckpointWeights, saveCheckpoint } from "../../src/train/checkpoint.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";

const tokenizer = tinyTokenizer();
const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };
const random = (): (() => number) => {
  const generator = createRandom(5);
  return () => generator.next();
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-heads-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A chat model on disk. */
function chatModel(isTied = false): string {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, { ...config, isTied });
  const path = join(folder, "chat");
  saveCheckpoint(path, { weights, tokenizer, run: { stage: "sft", step: 1 } });
  return path;
}

/** The score of a text up to each of its tokens, and the states it is of. */
async function scoresOf(backend: Backend, weights: LlamaWeights, ids: Int32Array) {
  using g = new Graph("scores", backend);
  const seq = ids.length;
  const tokens = g.constant(ids, [seq], { dtype: "i32", limit: weights.config.vocabSize });
  const positions = g.constant(
    Int32Array.from({ length: seq }, (_, i) => i),
    [seq],
    { dtype: "i32" },
  );
  const mask = causalMask(g, seq);
  const states = finalStates(g, weights, {
    batch: 1,
    seq,
    tokens,
    positions,
    attend: (inputs) => causalAttention(g, inputs, mask),
  });
  const scores = scalars(g, states, weights.head);
  g.output(states);
  g.output(scores);
  g.allocate();
  await g.compute();
  return { scores: scores.readF32(), states: states.readF32() };
}

describe.each([
  ["a head of its own", false],
  ["a tied head", true],
])("of a chat model with %s", (_, isTied) => {
  test("all is kept but the head, which becomes one row", () => {
    const path = chatModel(isTied);
    using backend = openBackend({ threads: 1 });
    using chat = loadCheckpointWeights(backend, path);
    using scoring = withScalarHead(backend, readModelFiles(path), random());
    expect(headKind(chat)).toBe("next-token");
    expect(headKind(scoring)).toBe("scalar");
    expect(scoring.head).toBe(scoring.byName["score.weight"]);
    expect(scoring.head.shape).toEqual([1, config.dim]);
    const kept = Object.keys(chat.byName).filter((name) => name !== "output.weight");
    expect(Object.keys(scoring.byName)).toEqual([...kept, "score.weight"]);
    for (const name of kept) expect(scoring.byName[name]!.readF32()).toEqual(chat.byName[name]!.readF32());
  });

  test("the directory that is saved loads as what it was, number for number", () => {
    const path = chatModel(isTied);
    using backend = openBackend({ threads: 1 });
    using scoring = withScalarHead(backend, readModelFiles(path), random());
    saveCheckpoint(join(folder, "reward"), {
      weights: scoring,
      tokenizer,
      run: { stage: "reward", step: 1 },
    });
    using loaded = loadCheckpointWeights(backend, join(folder, "reward"), "scalar");
    expect(Object.keys(loaded.byName)).toEqual(Object.keys(scoring.byName));
    for (const [name, tensor] of Object.entries(scoring.byName))
      expect(loaded.byName[name]!.readF32()).toEqual(tensor.readF32());
  });
});

test("the score of a token is its state times the head's row", async () => {
  const path = chatModel();
  using backend = openBackend({ threads: 1 });
  using weights = withScalarHead(backend, readModelFiles(path), random());
  const { scores, states } = await scoresOf(backend, weights, randomTokens(6, config.vocabSize, 2));
  const head = weights.head.readF32();
  expect(scores).toHaveLength(6);
  for (const [i, score] of scores.entries()) {
    const expected = head.reduce((sum, w, d) => sum + w * states[i * config.dim + d]!, 0);
    expect(score).toBeCloseTo(expected, 5);
  }
});

test("the same seed gives the same head, of standard deviation 1 / √(dim + 1)", () => {
  const path = chatModel();
  using backend = openBackend({ threads: 1 });
  using a = withScalarHead(backend, readModelFiles(path), random());
  using b = withScalarHead(backend, readModelFiles(path), random());
  const values = a.head.readF32();
  expect(b.head.readF32()).toEqual(values);
  const deviation = Math.sqrt(values.reduce((sum, w) => sum + w * w, 0) / values.length);
  expect(deviation * Math.sqrt(config.dim + 1)).toBeGreaterThan(0.7);
  expect(deviation * Math.sqrt(config.dim + 1)).toBeLessThan(1.3);
});

test("config.json is a sequence classifier's with one label, and its pad token is not EOS", () => {
  const path = chatModel();
  using backend = openBackend({ threads: 1 });
  using weights = withScalarHead(backend, readModelFiles(path), random());
  saveCheckpoint(join(folder, "reward"), { weights, tokenizer, run: { stage: "reward", step: 1 } });
  expect(JSON.parse(readFileSync(join(folder, "reward", "config.json"), "utf8"))).toMatchObject({
    architectures: ["LlamaForSequenceClassification"],
    id2label: { 0: "score" },
    label2id: { score: 0 },
    pad_token_id: tokenizer.unkId,
    eos_token_id: tokenizer.eosId,
  });
});

describe("it is refused", () => {
  const refusal = (path: string, head: "next-token" | "scalar"): unknown => {
    try {
      return readModelFiles(path, head);
    } catch (error) {
      const { message, mend } = error as { message: string; mend: string };
      return [message.replaceAll(folder, ""), mend];
    }
  };

  test("to chat with a reward model", () => {
    const path = chatModel();
    using backend = openBackend({ threads: 1 });
    using weights = withScalarHead(backend, readModelFiles(path), random());
    saveCheckpoint(join(folder, "reward"), { weights, tokenizer, run: { stage: "reward", step: 1 } });
    expect(refusal(join(folder, "reward"), "next-token")).toMatchInlineSnapshot(`
      [
        "/reward: the model scores answers (it is a LlamaForSequenceClassification) and writes none",
        "Give a chat model here; \`cria reward score\` takes this one.",
      ]
    `);
  });

  test("to score with a chat model", () => {
    expect(refusal(chatModel(), "scalar")).toMatchInlineSnapshot(`
      [
        "/chat: the model has no head that scores: it predicts the next token",
        "Give a reward model, as \`cria reward\` makes them of a chat model.",
      ]
    `);
  });

  test("to score with a classifier of two labels", () => {
    const path = join(folder, "labels");
    mkdirSync(path);
    const json = JSON.parse(readFileSync(join(chatModel(), "config.json"), "utf8")) as object;
    const labels = { architectures: ["LlamaForSequenceClassification"], id2label: { 0: "no", 1: "yes" } };
    writeFileSync(join(path, "config.json"), JSON.stringify({ ...json, ...labels }));
    expect(refusal(path, "scalar")).toMatchInlineSnapshot(`
      [
        "/labels/config.json: the model has 2 labels, not one score",
        "Give a reward model: a LlamaForSequenceClassification with num_labels 1.",
      ]
    `);
  });
});
