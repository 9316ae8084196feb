import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeGguf } from "../../src/formats/gguf-write.ts";
import { writeSafetensors } from "../../src/formats/safetensors-write.ts";
import type { TensorToWrite } from "../../src/formats/tensor-info.ts";
import { MetricsLog } from "../../src/train/metrics.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { cria } from "./memory-terminal.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-inspect-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const tensors: TensorToWrite[] = [
  { name: "a.weight", type: "f32", shape: [2, 3], data: () => new Uint8Array(24) },
  { name: "norm", type: "bf16", shape: [5], data: () => new Uint8Array(10) },
];

async function inspected(path: string): Promise<string> {
  const { code, stdout, stderr } = await cria("inspect", path);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.replaceAll(`${folder}/`, "");
}

test("a safetensors file: its tensors in an aligned table, and its metadata", async () => {
  const path = join(folder, "weights.safetensors");
  writeSafetensors(path, tensors, { format: "pt" });
  expect(await inspected(path)).toMatchInlineSnapshot(`
    "weights.safetensors  safetensors
      values  11
      size    34 B in 2 tensors
        f32   1 tensor, 24 B
        bf16  1 tensor, 10 B

    Metadata
      format  pt

    Tensors
      name      type  shape   size  offset
      a.weight  f32   [2, 3]  24 B     192
      norm      bf16  [5]     10 B     216
    "
  `);
});

test("a GGUF file: version, keys and tensors, whatever its name", async () => {
  const path = join(folder, "weights.bin");
  const tokens = Array.from({ length: 100 }, (_, i) => `t${i}`);
  writeGguf(path, {
    metadata: new Map([
      ["general.name", { type: "string", value: "evil\u001B[2J\nname" }],
      ["llama.attention.layer_norm_rms_epsilon", { type: "float32", value: 1e-5 }],
      ["tokenizer.ggml.tokens", { type: "array", items: "string", value: tokens }],
    ]),
    tensors,
  });
  expect(await inspected(path)).toMatchInlineSnapshot(`
    "weights.bin  GGUF v3
      alignment  32
      values     11
      size       34 B in 2 tensors
        f32      1 tensor, 24 B
        bf16     1 tensor, 10 B

    Metadata
      general.name                            evil�[2J⏎name
      llama.attention.layer_norm_rms_epsilon  0.00001
      tokenizer.ggml.tokens                   100 items: "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"…

    Tensors
      name      type  shape   size  offset
      a.weight  f32   [2, 3]  24 B    1344
      norm      bf16  [5]     10 B    1376
    "
  `);
});

test("--json is everything, complete and parseable", async () => {
  const path = join(folder, "again.safetensors");
  writeSafetensors(path, tensors, { format: "pt" });
  const { stdout } = await cria("inspect", path, "--json");
  expect(JSON.parse(stdout)).toMatchObject({
    kind: "safetensors",
    metadata: { format: "pt" },
    tensors: [
      { name: "a.weight", type: "f32", shape: [2, 3], bytes: 24, file: "again.safetensors" },
      { name: "norm", type: "bf16", shape: [5], bytes: 10 },
    ],
  });
});

test("a run's folder: how far it is", async () => {
  const run = join(folder, "run");
  mkdirSync(join(run, "checkpoints", "step-00000002"), { recursive: true });
  writeFileSync(join(run, "recipe.yaml"), "lr: 1\n");
  using log = new MetricsLog(join(run, "metrics.jsonl"), 0);
  log.append({ step: 2, loss: 2.5 });
  log.append({ step: 2, note: "validation" });
  expect(await inspected(run)).toMatchInlineSnapshot(`
    "run  run
      step         2
      loss         2.5
      checkpoints  "step-00000002"
    "
  `);
});

describe("what is nothing that Cria knows is said to be so", () => {
  test("a file, a folder, a path that is not there", async () => {
    const file = join(folder, "notes.txt");
    writeFileSync(file, "hello");
    for (const path of [file, folder, join(folder, "absent")]) {
      const { code, stderr } = await cria("inspect", path);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^Error: .+\n {2}\S/);
    }
    expect((await cria("inspect", file)).stderr.replaceAll(folder, "")).toMatchInlineSnapshot(`
      "Error: /notes.txt is nothing that Cria knows
        Give a .safetensors, .gguf, .pth, .bin or .model file, a model's folder, a checkpoint, a run's folder, or a folder of token shards.
      "
    `);
  });

  test("damaged files of every kind, by an error of ours", async () => {
    for (const name of [
      "x.gguf",
      "x.safetensors",
      "x.bin",
      "x.model",
      "tokenizer.json",
      "train-index.json",
    ]) {
      const path = join(folder, name);
      for (const bytes of ["", "GGUF", "\u0000", "{", "nonsense nonsense nonsense nonsense nonsense"]) {
        writeFileSync(path, bytes);
        const { code, stderr } = await cria("inspect", path);
        expect(code, `${name} ${bytes}`).toBe(1);
        expect(stderr, `${name} ${bytes}`).not.toContain("not foreseen");
      }
      rmSync(path);
    }
  });
});

describeWithSharedData("real files", () => {
  test.each([
    ["weights/stories260K-hf", ["Hugging Face model", "parameters  260032", "nKvHeads   4", "[172, 64]"]],
    [
      "weights/stories260K/stories260K.bin",
      ["llama2.c model", "vocabSize  512", "layers.4.feed_forward.w2.weight"],
    ],
    ["weights/stories260K/tok512.bin", ["llama2.c tokenizer", "pieces         512"]],
    ["tokenizer/tokenizer.model", ["SentencePiece model, bpe", "normal      31741", "byte        256"]],
    [
      "weights/llama-2-tiny-random/llama-2-tiny-random.gguf",
      ["GGUF v3", "0.00001", "32.0 K items", "[32000, 8]"],
    ],
  ])("%s", async (path, parts) => {
    const text = await inspected(sharedFile(path));
    for (const part of parts) expect(text).toContain(part);
  });
});
