/** The whole way from a folder of texts to a chat model, as a user walks it, on a run that takes a second. */

import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { readMetrics } from "../../src/train/metrics.ts";
import { openTokenizer } from "../../src/tokenizer/open.ts";
import { tinyText } from "../tiny-corpus.ts";
import { cria, settings, start, tinyPretraining, workFolder, type Ended, type WorkFolder } from "./cria.ts";
import { speedrun, tinyRun } from "./tiny-run.ts";

// A command that waits for what does not come is not waited for.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let work: WorkFolder;
let first: Ended;
beforeAll(async () => {
  work = workFolder();
  first = await tinyRun(work);
});
afterAll(() => work.remove());

function inRun(...parts: string[]): string {
  return join(work.folder, "runs", "tiny", ...parts);
}

describe("cria speedrun", () => {
  test("makes a model, and ends with samples, numbers and what to do next", () => {
    expect(first).toMatchObject({ code: 0, signal: null });
    expect(first.stdout).toMatch(
      /^The pretrained model goes on with a text:\n\n> the whale\n.+\n\nThe finished model answers:\n\n> /,
    );
    expect(first.stdout).toMatch(/\nPretrained on: 1920 tokens in .*\nSpeed: .* tokens\/s\n/);
    expect(first.stdout).toMatch(
      /\nHeld-out text: \d\.\d{3} bits per byte\n5-gram Kneser-Ney: \d\.\d{3} bits per byte\n/,
    );
    expect(first.stdout).toMatch(
      /\nReport: runs\/tiny\/report\.html\nChat: {3}npx cria chat runs\/tiny\/model\n$/,
    );
    expect(first.stderr).toMatch(/^Corpus: 6 documents/);
    expect(first.stderr).toMatch(/\nPretraining: 30 steps in .*\n/);
    expect(first.stderr).toMatch(/\nFine-tuning: \d+ steps in .*\n$/);
  });

  test("leaves the recipe as it was run, metrics, checkpoints, samples and the model", () => {
    expect(readdirSync(inRun()).toSorted()).toEqual([
      "checkpoints",
      "data",
      "model",
      "pretrain",
      "recipe.yaml",
      "report.html",
      "samples",
      "sft",
    ]);
    const recipe = readFileSync(inRun("recipe.yaml"), "utf8");
    expect(recipe).toContain("  steps: 30\n");
    // What nobody set stands there too: the default of Llama 2.
    expect(recipe).toContain("  beta2: 0.95\n");
    const steps = (stage: string): number[] =>
      readMetrics(inRun(stage, "metrics.jsonl")).flatMap(({ step, loss }) =>
        loss === undefined ? [] : [step],
      );
    expect(steps("pretrain")).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    expect(steps("sft").length).toBeGreaterThan(10);
    expect(readdirSync(inRun("checkpoints", "pretrain"))).toEqual(["step-00000027", "step-00000030"]);
    expect(readdirSync(inRun("samples"))).toContain("final.txt");
    expect(readdirSync(inRun("model")).toSorted()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "run.json",
      "tokenizer.json",
      "tokenizer.model",
      "tokenizer_config.json",
    ]);
  });

  test("writes a report that loads nothing from anywhere", () => {
    const html = readFileSync(inRun("report.html"), "utf8");
    expect(html).toMatch(/^<!doctype html>/i);
    expect(html).toContain("<svg");
    expect(html).not.toMatch(/(src|href|srcset|data|action)\s*=\s*["']?\s*(https?:)?\/\//i);
    expect(html).not.toMatch(/url\(|@import|<script[^>]+src|<link|<iframe|<img/i);
    for (const name of ["Corpus and tokenizer", "Pretraining", "Supervised fine-tuning"])
      expect(html).toContain(name);
  });

  test("run again retrains nothing and says the same", async () => {
    const model = inRun("checkpoints", "pretrain", "step-00000030", "model.safetensors");
    const before = {
      metrics: readFileSync(inRun("pretrain", "metrics.jsonl")),
      written: statSync(model).mtimeMs,
    };
    const again = await cria(work.folder, ...speedrun("tiny"));
    expect(again.code).toBe(0);
    expect(again.stderr).toBe("Going on after step 30 of 30\nGoing on after step 36\n");
    const { metrics, written } = before;
    expect(readFileSync(inRun("pretrain", "metrics.jsonl")).equals(metrics)).toBe(true);
    expect(statSync(model).mtimeMs).toBe(written);
    const withoutTime = (text: string): string => text.replace(/Done in .*/, "");
    expect(withoutTime(again.stdout)).toBe(withoutTime(first.stdout));
  });

  test("refuses to go on with another recipe, by what differs", async () => {
    const { code, stderr } = await cria(work.folder, ...speedrun("tiny", { lr: "0.02" }));
    expect(code).toBe(1);
    expect(stderr).toBe(
      "Error: runs/tiny was begun with another recipe: pretrain.lr was 0.01 and is 0.02\n" +
        "  Give the new run another --name, go on with the old recipe, or delete runs/tiny to start afresh.\n",
    );
  });

  test("stopped by Ctrl-C exits with 130, says how to go on, and goes on to the same model", async () => {
    const long = { steps: "200", checkpoint_every: "1000", sample_every: "0", validation_every: "0" };
    const reference = await cria(work.folder, ...speedrun("straight", long));
    expect(reference.code).toBe(0);
    const interrupted = start(work.folder, ...speedrun("stopped", long));
    await interrupted.says("Pretraining ");
    interrupted.child.kill("SIGINT");
    const { code, stderr } = await interrupted.ended;
    expect(code).toBe(130);
    expect(stderr).toContain("\nStopping; press Ctrl-C again to stop at once.\n");
    expect(stderr).toMatch(/\nStopped; the same command goes on from here\.\nInterrupted\.\n$/);
    const again = await cria(work.folder, ...speedrun("stopped", long));
    expect(again.code).toBe(0);
    const model = (name: string): Buffer =>
      readFileSync(join(work.folder, "runs", name, "model", "model.safetensors"));
    expect(model("stopped").equals(model("straight"))).toBe(true);
  });
});

test("cria pretrain stopped by Ctrl-C keeps its steps, and goes on after them", async () => {
  writeFileSync(join(work.folder, "base.yaml"), "seed: 5\n");
  const words = [
    "pretrain",
    "base.yaml",
    ...settings({ ...tinyPretraining, steps: "400", checkpoint_every: "0" }),
  ];
  const interrupted = start(work.folder, ...words);
  const metrics = join(work.folder, "runs", "base", "metrics.jsonl");
  await interrupted.says("Pretraining ");
  while (!existsSync(metrics) || readMetrics(metrics).length < 5)
    await new Promise((done) => setTimeout(done, 5));
  interrupted.child.kill("SIGINT");
  const { code, stderr } = await interrupted.ended;
  expect(code).toBe(130);
  expect(stderr).toMatch(/\nStopped; the same command goes on from here\.\nInterrupted\.\n$/);
  const [checkpoint] = readdirSync(join(work.folder, "runs", "base", "checkpoints"));
  expect(checkpoint).toMatch(/^step-00000\d{3}$/);
  const again = await cria(work.folder, ...words);
  expect(again.code).toBe(0);
  expect(again.stderr).toMatch(new RegExp(`^Going on after step ${Number(checkpoint!.slice(5))} of 400\n`));
});

describe("cria generate", () => {
  const words = ["generate", "runs/tiny/model", "-p", "the whale", "-n", "8", "--temperature", "0"];

  test("prints the prompt and its completion on standard output, and nothing else", async () => {
    const plain = await cria(work.folder, ...words);
    expect(plain.code).toBe(0);
    const json = await cria(work.folder, ...words, "--json");
    const { prompt, text, ids } = JSON.parse(json.stdout) as { prompt: string; text: string; ids: number[] };
    expect(prompt).toBe("the whale");
    expect(ids).toHaveLength(8);
    const tokenizer = openTokenizer(inRun("model"));
    expect(`the whale${text}`).toBe(tokenizer.decode([...tokenizer.encode("the whale"), ...ids]));
    expect(plain.stdout).toBe(`the whale${text}`);
    expect(plain.stderr).toMatch(/^\d+ prompt tokens, 8 tokens, [\d.]+ tokens\/s\n$/);
  });

  test("with a seed says the same again, with another something else", async () => {
    const say = async (seed: string): Promise<string> => {
      const warm = ["--temperature", "1", "--top-p", "1", "--seed", seed, "-n", "24"];
      return (await cria(work.folder, "generate", "runs/tiny/model", "-p", "a sailor", ...warm)).stdout;
    };
    const [a, b, c] = [await say("1"), await say("1"), await say("2")];
    expect(a).toBe(b);
    expect(a).not.toBe(c);
  });

  test("ends the text where the context is full", async () => {
    const { code, stdout } = await cria(work.folder, ...words, "-n", "500", "--context", "16", "--json");
    expect(code).toBe(0);
    const { ids, promptTokens } = JSON.parse(stdout) as { ids: number[]; promptTokens: number };
    // The last token is written without being read.
    expect(promptTokens + ids.length).toBeLessThanOrEqual(17);
  });
});

test("cria tokenizer encodes a file line by line, and decode gives the file back", async () => {
  const text = "the whale sees a storm.\n\n  two  spaces, 12 numbers, ünïcode 🦙\n";
  writeFileSync(join(work.folder, "lines.txt"), text);
  const encoded = await cria(
    work.folder,
    "tokenizer",
    "encode",
    "runs/tiny/model",
    "--file",
    "lines.txt",
    "--json",
  );
  expect(encoded).toMatchObject({ code: 0, stderr: "" });
  const lines = encoded.stdout.trimEnd().split("\n");
  expect(lines).toHaveLength(3);
  const tokenizer = openTokenizer(inRun("model"));
  expect(JSON.parse(lines[0]!)).toEqual([...tokenizer.encode("the whale sees a storm.")]);
  expect(lines[1]).toBe("[]");
  writeFileSync(join(work.folder, "ids.jsonl"), encoded.stdout);
  const decoded = await cria(work.folder, "tokenizer", "decode", "runs/tiny/model", "--file", "ids.jsonl");
  expect(decoded).toMatchObject({ code: 0, stdout: text, stderr: "" });
});

test("cria evaluate perplexity: what a model was trained on it predicts better than noise", async () => {
  writeFileSync(join(work.folder, "seen.txt"), tinyText(20, 1));
  writeFileSync(join(work.folder, "noise.txt"), "qzx vjk wqp zzq xkj ".repeat(40));
  const base = "runs/tiny/checkpoints/pretrain/step-00000030";
  const measure = async (file: string): Promise<Record<string, number>> => {
    const { code, stdout } = await cria(work.folder, "evaluate", "perplexity", base, file, "--json");
    expect(code).toBe(0);
    return JSON.parse(stdout) as Record<string, number>;
  };
  const [seen, noise] = await Promise.all([measure("seen.txt"), measure("noise.txt")]);
  expect(seen["bytes"]).toBe(statSync(join(work.folder, "seen.txt")).size);
  expect(seen["perplexity"]).toBeCloseTo(Math.exp(seen["loss"]!), 6);
  expect(seen["bitsPerByte"]).toBeLessThan(noise["bitsPerByte"]! - 0.5);
  const table = await cria(work.folder, "evaluate", "perplexity", base, "seen.txt");
  expect(table.stdout).toMatch(
    /^perplexity +\d+\.\d{4}\nloss, nats a token +\d\.\d{4}\nbits per byte +\d\.\d{4}\n/,
  );
});

describe("cria inspect", () => {
  test("shows a run's stages", async () => {
    const { code, stdout } = await cria(work.folder, "inspect", "runs/tiny");
    expect(code).toBe(0);
    expect(stdout.replace(/(loss +)[\d.]+/g, "$1N")).toBe(
      [
        "runs/tiny  run",
        "  pretrain step         30",
        "  pretrain loss         N",
        '  pretrain checkpoints  "step-00000027", "step-00000030"',
        "  sft step              36",
        "  sft loss              N",
        '  sft checkpoints       "step-00000036"',
        "",
      ].join("\n"),
    );
  });

  test.each([
    ["runs/tiny/model", "checkpoint"],
    ["runs/tiny/model/model.safetensors", "safetensors"],
    ["runs/tiny/model/tokenizer.model", "SentencePiece model, bpe"],
    ["runs/tiny/data", "token shards"],
  ])("%s: %s", async (path, kind) => {
    const { code, stdout } = await cria(work.folder, "inspect", path);
    expect(code).toBe(0);
    expect(stdout.split("\n")[0]).toContain(kind);
    const json = await cria(work.folder, "inspect", path, "--json");
    expect(JSON.parse(json.stdout)).toMatchObject({ path });
  });
});

test("cria doctor --json is one object with the engine, the devices and what was measured", async () => {
  const { code, stdout, stderr } = await cria(work.folder, "doctor", "--json", "--threads", "1");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const found = JSON.parse(stdout) as Record<string, unknown>;
  expect(found).toMatchObject({ threads: 1, node: process.version });
  expect(found["engine"]).toMatch(/^ggml \d/);
  expect(found["devices"]).toContainEqual(expect.stringMatching(/^CPU/));
  const { f32, bf16, f16 } = found["gflops"] as Record<string, unknown>;
  const { memoryBytes, freeDiskBytes, memoryGBps } = found;
  for (const measured of [f32, bf16, f16, memoryBytes, freeDiskBytes, memoryGBps])
    expect(measured).toBeGreaterThan(0);
});

test("cria doctor --presets --json lists shapes as numbers", async () => {
  const { code, stdout } = await cria(work.folder, "doctor", "--presets", "--json");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toContainEqual({
    preset: "llama-2-70b",
    parameters: 68_976_648_192,
    dim: 8192,
    nLayers: 80,
    nHeads: 64,
    nKvHeads: 8,
    maxSeqLen: 4096,
  });
});

test("a model folder that was moved still opens: nothing in it names its place", async () => {
  const { stdout } = await cria(
    work.folder,
    "generate",
    "runs/tiny/model",
    "-p",
    "a",
    "-n",
    "2",
    "--temperature",
    "0",
  );
  for (const file of readdirSync(inRun("model"))) {
    if (file.endsWith(".json")) expect(readFileSync(inRun("model", file), "utf8")).not.toContain(work.folder);
  }
  const elsewhere = join(work.folder, "books");
  const moved = ["generate", "../runs/tiny/model", "-p", "a", "-n", "2", "--temperature", "0"];
  expect((await cria(elsewhere, ...moved)).stdout).toBe(stdout);
  rmSync(inRun("samples"), { recursive: true });
});
