/** `cria reward` and `cria reward score`, from comparisons in a file to scores. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openBackend } from "../../src/tensor/backend.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";
import { cria } from "./memory-terminal.ts";

let folder: string;
let recipe: string;

const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-reward-cli-"));
  const tokenizer = tinyTokenizer();
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, { ...tinyConfig, vocabSize: tokenizer.vocabSize });
  saveCheckpoint(join(folder, "chat"), { weights, tokenizer, run: { stage: "sft", step: 1 } });
  // 20 prompts, two comparisons of each: whole conversations are held out.
  const pairs = Array.from({ length: 40 }, (_, i) => ({
    prompt: `Question ${"abcdefghijklmnopqrst"[i % 20]}?`,
    chosen: `Yes, ${i}.`,
    rejected: "No.",
    margin: i % 4,
    safety: i % 2 === 0 ? "chosen-safe" : "both-unsafe",
  }));
  writeFileSync(join(folder, "pairs.jsonl"), lines(pairs));
  const others = Array.from({ length: 9 }, (_, i) => ({ prompt: `Other ${i}`, chosen: "a", rejected: "b" }));
  writeFileSync(join(folder, "others.jsonl"), lines(others));
  recipe = join(folder, "reward.yaml");
  writeFileSync(
    recipe,
    `model: ${join(folder, "chat")}\nquality: safety\ndata: [${join(folder, "pairs.jsonl")}]\n` +
      `other_data: [${join(folder, "others.jsonl")}]\nvalidation_fraction: 0.2\nseq_len: 48\nbatch_size: 8\n` +
      `micro_batch_size: 4\nlr: 5e-3\nepochs: 4\nthreads: 1\nout: ${folder}\n`,
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

test("trains, measures, and scores", async () => {
  const trained = await cria("reward", recipe, "--name", "run", "--json");
  expect([trained.stderr.includes("Training a reward model"), trained.code]).toEqual([true, 0]);
  const outcome = JSON.parse(trained.stdout) as {
    checkpoint: string;
    pairs: number;
    drawn: number;
    leaking: number;
    evaluations: {
      name: string;
      evaluation: { accuracy: { of: number; share: number }; byStrength: object[] };
    }[];
  };
  const [{ name, evaluation }] = outcome.evaluations as [(typeof outcome.evaluations)[0]];
  expect([name, evaluation.accuracy.of]).toEqual(["held out", 8]);
  expect(evaluation.accuracy.share).toBe(1);
  // 40 less 8 held out, less those that share their prompts; and a tenth of others.
  expect(outcome.leaking).toBeGreaterThan(0);
  expect(outcome.drawn).toBe(Math.round((32 - outcome.leaking) / 9));
  expect(outcome.pairs).toBe(32 - outcome.leaking + outcome.drawn);
  const report = readFileSync(join(folder, "run", "report.html"), "utf8");
  for (const part of [
    "Ranking loss",
    "Calibration",
    "Scores, held out",
    "significantly",
    "recall of σ &lt; 0.15",
  ])
    expect(report).toContain(part);
  expect(existsSync(join(folder, "run", "evaluation.json"))).toBe(true);

  const answers = join(folder, "answers.jsonl");
  writeFileSync(
    answers,
    lines([
      { prompt: "Question a?", answer: "Yes, 7." },
      { prompt: [{ role: "user", content: "Question a?" }], answer: "No." },
      {
        messages: [
          { role: "user", content: "Question a?" },
          { role: "assistant", content: "Yes, 7." },
        ],
      },
    ]),
  );
  const scored = await cria(
    "reward",
    "score",
    outcome.checkpoint,
    "--file",
    answers,
    "--json",
    "--threads",
    "1",
  );
  expect([scored.stderr, scored.code]).toEqual(["", 0]);
  const scores = scored.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { score: number; sigmoid: number });
  expect(scores).toHaveLength(3);
  expect(scores[0]!.score).toBeGreaterThan(scores[1]!.score);
  expect(scores[2]).toEqual(scores[0]);
  expect(scores[0]!.sigmoid).toBeCloseTo(1 / (1 + Math.exp(-scores[0]!.score)), 12);
});

test("a chat model does not score, and a bad line is named", async () => {
  const answers = join(folder, "bad.jsonl");
  writeFileSync(answers, lines([{ prompt: "?", answer: "!" }, { prompt: "?" }]));
  const bad = await cria("reward", "score", join(folder, "chat"), "--file", answers);
  expect(bad.stderr.replaceAll(folder, "")).toMatchInlineSnapshot(`
    "Error: /bad.jsonl: line 2: "answer" is missing, not text
      Give "answer" as a JSON string.
    "
  `);
  writeFileSync(answers, lines([{ prompt: "?", answer: "!" }]));
  const chat = await cria("reward", "score", join(folder, "chat"), "--file", answers);
  expect(chat.stderr.replaceAll(folder, "")).toMatchInlineSnapshot(`
    "Error: /chat: the model has no head that scores: it predicts the next token
      Give a reward model, as \`cria reward\` makes them of a chat model.
    "
  `);
});
