import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { memoryOf, summariseModel } from "../../src/cli/model-summary.ts";
import { summaryRows } from "../../src/cli/model-summary-text.ts";
import { readModelFiles } from "../../src/model/load.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";
import { cria } from "./memory-terminal.ts";

const tokenizer = tinyTokenizer();
// Rows of 256 numbers, so that every type has whole blocks; 1024 tokens are four steps of the cache.
const config = {
  ...tinyConfig,
  dim: 256,
  hiddenDim: 256,
  nHeads: 4,
  nKvHeads: 2,
  headDim: 64,
  vocabSize: 320,
  maxSeqLen: 1024,
  ropeScaling: { type: "linear", factor: 4 },
} as const;
/** Two layers of keys and values, two heads of 64 numbers in f32: 2 · 2 · 128 · 4 bytes a token. */
const tokenBytes = 2048;
const template = "{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}";

let folder: string;
let model: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-summary-"));
  model = join(folder, "model");
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  saveCheckpoint(model, { weights, tokenizer, run: { step: 1 } });
  rmSync(join(model, "tokenizer.json"));
  const added = {
    262: { content: "<|im_start|>", special: true },
    263: { content: "<note>", special: false, normalized: false },
  };
  const settings = { added_tokens_decoder: added, chat_template: `${template}\nmore` };
  writeFileSync(join(model, "tokenizer_config.json"), JSON.stringify(settings));
});
afterAll(() => rmSync(folder, { recursive: true }));

const bytesOfWeights = (): number => memoryOf(readModelFiles(model), 1e12).weightBytes;

test("what is said of a model that fits", () => {
  expect(summaryRows(summariseModel(model, 8e9)!).map((row) => row.join("  "))).toMatchInlineSnapshot(`
    [
      "RoPE  θ = 10000, scaling: linear, by 4",
      "vocabulary  264 pieces of 320 rows; 56 ids are not used, and never drawn",
      "special tokens  <s> 1 (BOS), </s> 2 (EOS), <|im_start|> 262",
      "added tokens  <note> 263",
      "chat template  its own",
      "  first line  {% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}",
      "memory  5.90 MB, and 8.00 GB are free",
      "  weights  3.81 MB",
      "  cache  2.10 MB for 1024 tokens in f32",
      "fits  yes",
    ]
  `);
});

test("`cria inspect` shows it, and --json has its numbers", async () => {
  const { stdout } = await cria("inspect", model);
  expect(stdout).toContain("Model\n  RoPE");
  expect(stdout).toContain("fits");
  const { stdout: json } = await cria("inspect", model, "--json");
  expect(JSON.parse(json)).toMatchObject({
    model: {
      rope: "θ = 10000, scaling: linear, by 4",
      vocabulary: { pieces: 264, rows: 320, unused: 56, added: [{ id: 263, text: "<note>" }] },
      memory: { cacheBytes: 1024 * tokenBytes, cacheType: "f32", fits: true },
    },
  });
});

describe("a model that does not fit", () => {
  test("to the byte", () => {
    const needs = bytesOfWeights() + 1024 * tokenBytes;
    expect(memoryOf(readModelFiles(model), needs).fits).toBe(true);
    expect(memoryOf(readModelFiles(model), needs - 1)).toMatchObject({ fits: false, longestContext: 768 });
  });

  test("is told the longest context that would, and the best type that would", () => {
    const summary = summariseModel(model, bytesOfWeights() + 600 * tokenBytes)!;
    expect(summary.memory).toMatchObject({ longestContext: 512, smallerType: { type: "f16" } });
    expect(summaryRows(summary).at(-1)![1]).toMatch(
      /^no; it would with --context 512, or converted with --type f16 \([\d.]+ MB\)$/,
    );
  });

  test("a smaller type when the weights alone are too large", () => {
    // A cache in f16 is half of one in f32; half of the weights, as f16 has them, are too much beside it.
    const freeBytes = 512 * tokenBytes + bytesOfWeights() / 3;
    const { smallerType, longestContext } = memoryOf(readModelFiles(model), freeBytes);
    expect(longestContext).toBe(0);
    expect(smallerType!.type).toBe("q8_0");
    // 8.5 bits for 32, but the norms' f32 stay.
    expect(smallerType!.bytes / bytesOfWeights()).toBeCloseTo(8.5 / 32, 2);
  });

  test("or that nothing helps", () => {
    expect(summaryRows(summariseModel(model, 1000)!).at(-1)).toEqual(["fits", "no, in no type"]);
  });
});

test("what cannot be read is said, and the rest is shown", () => {
  writeFileSync(join(model, "added_tokens.json"), "[]");
  const rows = summaryRows(summariseModel(model, 8e9)!);
  rmSync(join(model, "added_tokens.json"));
  expect(rows[1]![1]).toMatch(/^not read: .*added_tokens.json: is not a JSON object$/);
  expect(rows.at(-1)).toEqual(["fits", "yes"]);
});

test("files that are no whole model have no summary", () => {
  expect(summariseModel(join(model, "model.safetensors"))).toBeUndefined();
});
