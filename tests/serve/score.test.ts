/** `/v1/score`: reward models over HTTP, each in a process of its own. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ScoreProcess } from "../../src/cli/score-process.ts";
import { createWeights } from "../../src/model/weights.ts";
import { openRewardModel } from "../../src/reward/scorer.ts";
import { createApp } from "../../src/serve/app.ts";
import { scoreRoutes } from "../../src/serve/routes/score.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { createRandom } from "../../src/corpus/random.ts";
import { initialise } from "../../src/model/initialise.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig } from "../tiny-model.ts";
import { localEngine, type LocalEngine } from "./local-engine.ts";
import { tinyFolder, type TinyFolder } from "./tiny-served.ts";

let served: TinyFolder;
let engine: LocalEngine;
let folder: string;
let model: string;
let scorer: ScoreProcess;
let app: ReturnType<typeof createApp>;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-score-"));
  model = join(folder, "reward");
  const tokenizer = tinyTokenizer();
  using backend = openBackend({ threads: 1 });
  using weights = createWeights(backend, { ...tinyConfig, vocabSize: tokenizer.vocabSize }, "scalar");
  const random = createRandom(1);
  initialise(weights, () => random.next(), 0.3);
  saveCheckpoint(model, { weights, tokenizer, run: { stage: "reward", step: 1 } });
  served = tinyFolder();
  engine = localEngine(served.path);
  scorer = new ScoreProcess(model, ["--threads", "1"]);
  app = createApp({
    engine,
    limits: { inputs: 4 },
    routes: [scoreRoutes(new Map([["judge", (answers) => scorer.score(answers)]]))],
  });
});
afterAll(async () => {
  scorer[Symbol.dispose]();
  await engine.close();
  served[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

async function post(body: unknown): Promise<{ status: number; json: unknown }> {
  const response = await app.request("/v1/score", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, json: await response.json() };
}

const conversation = [
  { role: "user", content: "Who?" },
  { role: "assistant", content: "I." },
  { role: "user", content: "Why?" },
];

test("scores are those of the model in this process, for texts and for conversations", async () => {
  using own = openRewardModel(model, { threads: 1 });
  const expected = await own.score([
    { prompt: [{ role: "user", content: "Who?" }], answer: "It is I." },
    { prompt: conversation as never, answer: "Because." },
  ]);
  const { status, json } = await post({
    input: [
      { prompt: "Who?", answer: "It is I." },
      { prompt: conversation, answer: "Because." },
    ],
  });
  expect(status).toBe(200);
  const { data } = json as { data: { index: number; score: number; probability: number }[] };
  expect(json).toMatchObject({ object: "list", model: "judge" });
  for (const [i, { index, score, probability }] of data.entries()) {
    expect(index).toBe(i);
    expect(score).toBeCloseTo(expected[i]!, 5);
    expect(probability).toBeCloseTo(1 / (1 + Math.exp(-score)), 10);
  }
});

test("requests at the same time each have their own scores", async () => {
  const ask = (answer: string) => post({ input: [{ prompt: "Who?", answer }] });
  const alone = [await ask("I."), await ask("You, and you.")];
  const scoreOf = ({ json }: { json: unknown }): number =>
    (json as { data: { score: number }[] }).data[0]!.score;
  const together = await Promise.all([ask("I."), ask("You, and you."), ask("I.")]);
  expect(scoreOf(together[0])).toBeCloseTo(scoreOf(alone[0]!), 5);
  expect(scoreOf(together[1])).toBeCloseTo(scoreOf(alone[1]!), 5);
  expect(scoreOf(together[2])).toBeCloseTo(scoreOf(alone[0]!), 5);
});

describe("it is refused", () => {
  test("to score by a model that is not there", async () => {
    const { status, json } = await post({ model: "other", input: [{ prompt: "?", answer: "!" }] });
    expect([status, json]).toMatchObject([404, { error: { code: "model_not_found" } }]);
  });

  test("to score more answers than the limit", async () => {
    const input = Array.from({ length: 5 }, () => ({ prompt: "?", answer: "!" }));
    expect(await post({ input })).toMatchObject({
      status: 400,
      json: { error: { message: "5 answers, of which 4 are the most" } },
    });
  });

  test("to score what is no conversation, which ends nobody else's request", async () => {
    const [bad, good] = await Promise.all([
      post({ input: [{ prompt: conversation.slice(0, 2), answer: "!" }] }),
      post({ input: [{ prompt: "?", answer: "!" }] }),
    ]);
    expect(bad).toMatchObject({ status: 400, json: { error: { param: "input" } } });
    expect((bad.json as { error: { message: string } }).error.message).toContain("is already an answer");
    expect(good.status).toBe(200);
  });
});

test("a process that dies is started again by the next request", async () => {
  using other = new ScoreProcess(model, ["--threads", "1"]);
  const [first] = await other.score([{ prompt: "?", answer: "!" }]);
  process.kill(other.pid!, "SIGKILL");
  await expect(other.score([{ prompt: "?", answer: "!" }])).rejects.toThrow(
    "the reward model's process ended (SIGKILL)",
  );
  expect((await other.score([{ prompt: "?", answer: "!" }]))[0]).toBeCloseTo(first!, 6);
});

test("a process that cannot start says why", async () => {
  using other = new ScoreProcess(join(folder, "nothing"));
  await expect(other.score([{ prompt: "?", answer: "!" }])).rejects.toThrow("there is no model at");
});

test("more answers than may wait are refused, and those that wait are scored", async () => {
  using other = new ScoreProcess(model, ["--threads", "1"], 2);
  const answer = { prompt: "?", answer: "!" };
  const first = other.score([answer, answer, answer]);
  await expect(other.score([answer])).rejects.toMatchObject({ problem: { status: 429, code: "queue_full" } });
  expect(await first).toHaveLength(3);
  expect(await other.score([answer, answer])).toHaveLength(2);
});
