/** Whatever is wrong, the user reads one message that says what and what to do, at once, and no stack trace. */

import { execFile } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { liveArenas } from "../../src/engine/library.ts";
import { openBackend, type Backend } from "../../src/tensor/backend.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { cria } from "../cli/memory-terminal.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyText } from "../tiny-corpus.ts";
import type { LlamaConfig } from "../../src/model/config.ts";
import { createWeights } from "../../src/model/weights.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";
import { toyConfig, toyTokenizer } from "../toy-task.ts";
import { bin } from "./package.ts";
import { alignment } from "./bad-input-alignment-rows.ts";
import { conversion, damaged, models, sampling, training, usage } from "./bad-input-rows.ts";

const before = process.cwd();
let folder: string;

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "cria-bad-input-")));
  process.chdir(folder);
  makeModels();
  makeFiles();
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

function makeModels(): void {
  const tokenizer = tinyTokenizer();
  const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  saveCheckpoint("model", { weights, tokenizer, run: { step: 1, stage: "pretrain" } });
  using small = tinyWeights(backend, { ...config, vocabSize: 200 });
  saveCheckpoint("small", { weights: small, tokenizer, run: { step: 1, stage: "pretrain" } });
  makeScorers(backend, config);
  const copy = (name: string, damage: (file: (part: string) => string) => void): void => {
    cpSync("model", name, { recursive: true });
    damage((part) => join(name, part));
  };
  copy("cut", (file) => truncateSync(file("model.safetensors"), 50_000));
  copy("headless", (file) => truncateSync(file("model.safetensors"), 4));
  copy("hostile", (file) => {
    // A header that says it is 2^60 bytes long.
    const bytes = Buffer.alloc(16);
    bytes.writeBigUInt64LE(2n ** 60n);
    writeFileSync(file("model.safetensors"), bytes);
  });
  copy("not-json", (file) => writeFileSync(file("config.json"), "{hidden_size: 32}"));
  copy("no-config", (file) => rmSync(file("config.json")));
  copy("no-weights", (file) => rmSync(file("model.safetensors")));
  copy("no-tokenizer", (file) => {
    for (const name of ["tokenizer.model", "tokenizer.json"]) rmSync(file(name));
  });
  copy("cut-tokenizer", (file) => truncateSync(file("tokenizer.model"), 1000));
  copy("gpt", (file) => writeFileSync(file("config.json"), '{"model_type": "gpt2"}'));
  copy("other-shape", (file) => {
    const config = JSON.parse(readFileSync(file("config.json"), "utf8")) as object;
    writeFileSync(file("config.json"), JSON.stringify({ ...config, hidden_size: 64 }));
  });
}

/** Reward models of the tokenizer and of another one, and a chat model of that other one. */
function makeScorers(backend: Backend, config: LlamaConfig): void {
  const tokenizer = tinyTokenizer();
  const other = toyTokenizer();
  const run = { step: 1, stage: "reward" };
  using scores = createWeights(backend, config, "scalar");
  saveCheckpoint("scores", { weights: scores, tokenizer, run });
  using foreign = createWeights(backend, toyConfig(other), "scalar");
  saveCheckpoint("foreign", { weights: foreign, tokenizer: other, run });
  using stranger = createWeights(backend, toyConfig(other));
  saveCheckpoint("stranger", { weights: stranger, tokenizer: other, run });
}

function makeFiles(): void {
  writeFileSync("weights.pth", "PK\u0003\u0004");
  mkdirSync("books");
  for (let i = 1; i < 5; i += 1) writeFileSync(join("books", `${i}.txt`), tinyText(60, i));
  mkdirSync("empty");
  const gguf = Buffer.alloc(64);
  gguf.write("GGUF");
  gguf.writeUInt32LE(3, 4);
  // 2^62 tensors.
  gguf.writeBigUInt64LE(2n ** 62n, 8);
  const llama2c = Buffer.alloc(28);
  for (let i = 0; i < 7; i += 1) llama2c.writeInt32LE(2 ** 30, 4 * i);
  const message = { messages: [{ role: "user", content: "a" }] };
  const files: Record<string, string | Uint8Array> = {
    "void.txt": "",
    "short.txt": "short",
    "text.txt": tinyText(5, 1),
    "cut.gguf": "GGUF",
    "hostile.gguf": gguf,
    "text.gguf": "hello there, this is text",
    "cut.bin": Buffer.alloc(10),
    "hostile.bin": llama2c,
    "text.model": "not a model",
    "void.model": "",
    "asks.jsonl": JSON.stringify(message),
    "void.jsonl": "",
    "safety.jsonl": JSON.stringify({ prompt: "a", safety: true }),
    "calm.jsonl": JSON.stringify({ text: "Be calm." }),
    "long.jsonl": JSON.stringify({ prompt: "aa ".repeat(100) }),
    "pairs.jsonl": JSON.stringify({ prompt: "a", chosen: "b", rejected: "c" }),
    "five.js": "export default 5;",
    "length.js": "export default (answers) => answers.map(({ answer }) => answer.length);",
    "reject.yaml":
      "sampler: model\nmodel: model\nprompts: asks.jsonl\nreward: {file: length.js}\nsft: {seq_len: 32}\n",
    "distil.yaml":
      "model: model\nprompts: safety.jsonl\npreprompts: calm.jsonl\nreward: {file: length.js}\nsft: {seq_len: 32}\n",
    "ppo.yaml": "model: model\nprompts: asks.jsonl\nreward: {file: length.js}\nmax_tokens: 8\n",
    "gatt.yaml": "model: model\nquestions: asks.jsonl\ndialogs: 2\nmax_tokens: 8\nsft: {seq_len: 32}\n",
    "reward.yaml": "model: model\ndata: [pairs.jsonl]\nseq_len: 32\n",
    "rlhf.yaml":
      "model: model\nprompts: asks.jsonl\nheld_out: asks.jsonl\nversions: [{name: V1, stages: [collect, reward]}]\n" +
      "reward: {seq_len: 32}\n",
    "nonsense.jsonl": '{"nonsense": 1}\n',
    "bad.yaml": "seq_len: [\n",
    "tiny.yaml": [
      "model: {dim: 32, n_layers: 1, n_heads: 2, hidden_dim: 64, max_seq_len: 32}",
      "corpus: {sources: [{from: books}]}",
      "tokenizer: {vocab_size: 300}",
      "seq_len: 32",
      "batch_size: 1",
      "gradient_accumulation: 1",
      "steps: 3",
      "warmup_steps: 1",
      "precision: f32",
      "threads: 1",
      "",
    ].join("\n"),
    "align.yaml":
      "model: model\nprompts: asks.jsonl\nheld_out: asks.jsonl\nversions: [{name: V1, stages: [collect]}]\n",
    "tune.yaml": "model: model\ndata: asks.jsonl\nseq_len: 32\nthreads: 1\n",
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(name, content);
}

/** What is printed, with this machine's paths and numbers left out. */
async function said(...words: string[]): Promise<{ code: number; message: string; stdout: string }> {
  const { code, stdout, stderr } = await cria(...words);
  const at = stderr.indexOf("Error: ");
  return { code, stdout, message: stderr.slice(Math.max(0, at)).replaceAll(`${folder}/`, "").trimEnd() };
}

/** Memory, processors and what a text gives are this machine's and not this test's. */
function withoutNumbers(message: string): string {
  return message
    .replace(/\d+ MiB/g, "N MiB")
    .replace(/(?<=it gives |vocabulary size to )\d+(?= pieces| or less)|(?<=out to use )\d+/g, "N");
}

describe.each([
  { title: "a model", rows: models },
  { title: "a conversion", rows: conversion },
  { title: "sampling", rows: sampling },
  { title: "a command line", rows: usage },
  { title: "a training run", rows: training },
])("of $title is refused", ({ rows }) => {
  const cases = rows.map(([title, words, message, code = 1]) => ({ title, words, message, code }));

  test.each(cases)("$title", async ({ words, message, code }) => {
    const begun = performance.now();
    const answer = await said(...words);
    expect({ ...answer, message: withoutNumbers(answer.message) }).toEqual({
      code,
      message: `Error: ${withoutNumbers(message)}`,
      stdout: "",
    });
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(liveArenas()).toEqual([]);
  });
});

describe("of a stage of alignment is refused before any work", () => {
  test.each(alignment.map(([title, words, message]) => ({ title, words, message })))(
    "$title",
    async ({ words, message }) => {
      const { code, stdout, ...said } = await cria(...words);
      const stderr = said.stderr.replaceAll(`${folder}/`, "");
      expect({ code, stdout, stderr }).toEqual({ code: 1, stdout: "", stderr: `Error: ${message}\n` });
      expect(liveArenas()).toEqual([]);
    },
  );
});

describe("a run's folder", () => {
  test("that was refused for its recipe is free for a better one", async () => {
    const name = ["--name", "mended"];
    const typo = await said("pretrain", "tiny.yaml", ...name, "--set", "corpus.sources=[{from: bookz}]");
    expect(typo.code).toBe(1);
    const mended = await said("pretrain", "tiny.yaml", ...name);
    expect(mended).toMatchObject({
      code: 0,
      message: expect.stringContaining("Pretraining: 3 steps") as string,
    });
  });

  test("that was begun with another recipe is not gone on with", async () => {
    const words = ["pretrain", "tiny.yaml", "--name", "begun"];
    const begun = await said(...words, "--json");
    expect(begun.code).toBe(0);
    expect(JSON.parse(begun.stdout)).toMatchObject({
      checkpoint: "runs/begun/checkpoints/step-00000003",
      tokens: 96,
      baseline: { order: 5 },
    });
    expect(await said(...words, "--set", "lr=1")).toEqual({
      code: 1,
      stdout: "",
      message:
        "Error: runs/begun was begun with another recipe: lr was 0.0003 and is 1\n" +
        "  Give the new run another --name, go on with the old recipe, or delete runs/begun to start afresh.",
    });
  });

  test("whose checkpoint is damaged is told by the file", async () => {
    const words = ["pretrain", "tiny.yaml", "--name", "damaged"];
    expect((await said(...words)).code).toBe(0);
    const longer = [...words, "--set", "steps=3"];
    const file = join("runs", "damaged", "checkpoints", "step-00000003", "run.json");
    writeFileSync(file, "{");
    expect((await said(...longer)).message).toBe(
      `Error: ${file}, byte 0: not JSON: Expected property name or '}' in JSON at position 1${damaged}`,
    );
  });
});

/**
 * A limit on the size of files stands for a full disk, which only the superuser can make: the write fails in the
 * middle of the file, and the same lines tell the user.
 */
describe.skipIf(process.platform === "win32")("a disk without room", () => {
  const limited = async (words: readonly string[]): Promise<{ code: number; stderr: string }> => {
    const script = 'ulimit -f 100; exec "$@"';
    const command = ["-c", script, "sh", process.execPath, bin, ...words];
    try {
      const { stderr } = await promisify(execFile)("bash", command, { cwd: folder });
      return { code: 0, stderr };
    } catch (error) {
      const { code, stderr } = error as { code: number; stderr: string };
      return { code, stderr };
    }
  };

  test("ends a run at its checkpoint with one message, and leaves none half written", async () => {
    const words = ["pretrain", "tiny.yaml", "--name", "full"];
    const { code, stderr } = await limited(words);
    expect(code).toBe(1);
    const place = "runs/full/checkpoints/";
    expect(stderr.slice(stderr.indexOf("Error: ")).replace(/\.tmp-\S+-step/, "step")).toMatch(
      new RegExp(
        `^Error: ${place}step-00000003/\\S+ cannot be written: the file would exceed the size limit\n {2}Raise the limit \\(ulimit -f\\) or write smaller files\\.\n$`,
      ),
    );
    expect(readdirSync(place)).toEqual([]);
    // With room again, the same command makes the model.
    expect((await said(...words)).code).toBe(0);
    expect(existsSync(join(place, "step-00000003", "model.safetensors"))).toBe(true);
  });
});
