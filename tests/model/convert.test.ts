import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openFile } from "../../src/formats/file-source.ts";
import { readGguf } from "../../src/formats/gguf.ts";
import { convertModel, storedMix } from "../../src/model/convert.ts";
import { readModelFiles, type ModelFiles } from "../../src/model/load.ts";
import { mixNamed, typeInMix } from "../../src/model/quantisation-mix.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { openTokenizer } from "../../src/tokenizer/open.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { messageOf, openWorkspace } from "../formats/workspace.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";

const tokenizer = fable();
let workspace: ReturnType<typeof openWorkspace>;
let files: ModelFiles;
beforeAll(() => {
  workspace = openWorkspace();
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, { ...tinyConfig, vocabSize: tokenizer.vocabSize });
  saveCheckpoint(workspace.file("model"), { weights, tokenizer, run: { step: 0 } });
  files = readModelFiles(workspace.file("model"));
});
afterAll(() => workspace[Symbol.dispose]());

const weightsOf = (directory: string): Buffer => readFileSync(join(directory, "model.safetensors"));

test("a model that goes to GGUF and back has the same bytes, and keeps its tokenizer and its template", async () => {
  const [gguf, back] = [workspace.file("there.gguf"), workspace.file("back")];
  await convertModel({ files, tokenizer, out: gguf, mix: "f32" });
  await convertModel({ files: readModelFiles(gguf), tokenizer: openTokenizer(gguf), out: back, mix: "f32" });
  expect(weightsOf(back).equals(weightsOf(files.path))).toBe(true);
  const inBoth = (name: string): unknown[] =>
    [files.path, back].map((folder) => JSON.parse(readFileSync(join(folder, name), "utf8")) as unknown);
  for (const name of ["config.json", "tokenizer_config.json"]) {
    const [before, after] = inBoth(name);
    expect(after).toEqual(before);
  }
  const text = "The fox said: 1234";
  expect(openTokenizer(back).encode(text)).toEqual(tokenizer.encode(text));
});

test("progress counts every byte that is written", async () => {
  const seen: [number, number][] = [];
  const out = workspace.file("counted.gguf");
  const { bytes, types } = await convertModel({
    files,
    tokenizer,
    out,
    mix: "q8_0",
    onProgress: (done, total) => void seen.push([done, total]),
  });
  expect(seen.at(-1)).toEqual([bytes, bytes]);
  using source = openFile(out);
  const { tensors } = readGguf(source);
  expect([...tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0)).toBe(bytes);
  expect([...types.values()].reduce((a, b) => a + b, 0)).toBe(tensors.size);
});

test("stopped on the way, it leaves the old file and nothing else", async () => {
  const out = workspace.file("kept.gguf");
  writeFileSync(out, "old");
  const before = readdirSync(workspace.file(".")).length;
  const stop = new AbortController();
  const onProgress = (): void => stop.abort(new Error("stopped"));
  await expect(
    convertModel({ files, tokenizer, out, mix: "f16", onProgress, signal: stop.signal }),
  ).rejects.toThrow("stopped");
  expect(readFileSync(out, "utf8")).toBe("old");
  expect(readdirSync(workspace.file("."))).toHaveLength(before);
});

test("a folder does not hold quantised weights, and quantised weights are not quantised again", async () => {
  const folder = workspace.file("folder");
  await expect(convertModel({ files, tokenizer, out: folder, mix: "q4_0" })).rejects.toThrow(
    "a Hugging Face directory does not hold q4_0 weights",
  );
  expect(existsSync(folder)).toBe(false);
  const q8 = workspace.file("q8.gguf");
  await convertModel({ files, tokenizer, out: q8, mix: "q8_0" });
  const quantised = readModelFiles(q8);
  expect(storedMix(quantised)).toBeUndefined();
  await expect(
    convertModel({ files: quantised, tokenizer, out: workspace.file("x.gguf"), mix: "q4_0" }),
  ).rejects.toThrow("token_embd.weight is q8_0 already, and would be worse for being q4_0");
  // Types that are there already are copied.
  await convertModel({ files: quantised, tokenizer, out: workspace.file("again.gguf"), mix: "q8_0" });
});

test("a weight that is not finite is refused", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, { ...tinyConfig, vocabSize: tokenizer.vocabSize });
  const { wq } = weights.layers[1]!;
  wq.write(new Float32Array(wq.elements).fill(Number.NaN));
  saveCheckpoint(workspace.file("bad"), { weights, tokenizer, run: { step: 0 } });
  await expect(
    convertModel({
      files: readModelFiles(workspace.file("bad")),
      tokenizer,
      out: workspace.file("bad.gguf"),
      mix: "q8_0",
    }),
  ).rejects.toThrow("a weight of NaN cannot be quantised");
});

test("a mix is found by llama.cpp's spelling too, and what is no mix is refused", () => {
  expect(mixNamed("Q4_K_M")).toBe("q4_k_m");
  expect(messageOf(() => mixNamed("q4_k_n"))).toBe('ConfigError: no type of weights is called "q4_k_n"');
});

test("in Llama 2 70B wv has five bits at least", () => {
  const config = presetConfig("llama-2-70b", 32_000);
  const type = (mix: "q4_k_m" | "q3_k_s", layer: number): string =>
    typeInMix(mix, `layers.${layer}.attention.wv.weight`, [1024, 8192], config);
  // 10 = 80 / 8 is the first layer outside the first eighth, and the third of every three after it has more.
  expect([9, 10, 12, 70].map((layer) => type("q4_k_m", layer))).toEqual(["q6_k", "q5_k", "q6_k", "q6_k"]);
  expect(type("q3_k_s", 40)).toBe("q5_k");
});

test("a folder has several files with an index when they would be larger than is wanted", async () => {
  const out = workspace.file("sharded");
  await convertModel({ files, tokenizer, out, mix: "f32", maxFileBytes: 40_000 });
  const shards = readdirSync(out).filter((name) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name));
  expect(shards.length).toBeGreaterThan(2);
  expect(existsSync(join(out, "model.safetensors"))).toBe(false);
  const back = workspace.file("unsharded");
  await convertModel({ files: readModelFiles(out), tokenizer, out: back, mix: "f32" });
  expect(weightsOf(back).equals(weightsOf(files.path))).toBe(true);
});
