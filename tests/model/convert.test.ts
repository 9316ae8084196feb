import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openFile } from "../../src/formats/file-source.ts";
import { readGguf } from "../../src/formats/gguf.ts";
import { convertModel, storedMix } from "../../src/model/convert.ts";
import { sizeLabel } from "../../src/model/gguf-about.ts";
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

test("a GGUF file says the model's name, size and licence, and keeps what another said", async () => {
  const aboutOf = (path: string): Record<string, unknown> => {
    using source = openFile(path);
    const entries = [...readGguf(source).metadata].filter(([key]) => key.startsWith("general."));
    return Object.fromEntries(entries.map(([key, value]) => [key.slice("general.".length), value]));
  };
  const card = join(files.path, "README.md");
  writeFileSync(card, "---\nlanguage:\n- en\nlicense: llama2\ntags: [a]\n---\nlicense: none\n");
  const [first, second] = [workspace.file("fox-1.5.gguf"), workspace.file("other.gguf")];
  await convertModel({ files, tokenizer, out: first, mix: "f32" });
  rmSync(card);
  // Two layers of 9280 weights, a last norm of 32, and two matrices of the vocabulary's rows of 32.
  expect(18_592 + 64 * tokenizer.vocabSize).toBeCloseTo(49_000, -3);
  const about = {
    architecture: "llama",
    type: "model",
    name: "model",
    size_label: "49K",
    license: "llama2",
    // Meta's, which the folder's generation_config.json has.
    "sampling.temp": Math.fround(0.6),
    "sampling.top_p": Math.fround(0.9),
  };
  expect(aboutOf(first)).toMatchObject({ ...about, file_type: 0, quantization_version: 2 });
  await convertModel({ files: readModelFiles(first), tokenizer, out: second, mix: "q8_0" });
  expect(aboutOf(second)).toMatchObject({ ...about, file_type: 7 });
  await convertModel({ files, tokenizer, out: second, mix: "f32" });
  expect(aboutOf(second)["license"]).toBeUndefined();
});

test.each([
  [260, "0.26K"],
  [9_960, "10K"],
  [124_439_808, "124M"],
  [1_100_048_384, "1.1B"],
  [6_738_415_616, "6.7B"],
  [13_015_864_320, "13B"],
  [68_976_648_192, "69B"],
  [1_500_000_000_000, "1.5T"],
])("%d parameters are %s", (parameters, label) => {
  expect(sizeLabel(parameters)).toBe(label);
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
  await expect(
    convertModel({ files: quantised, tokenizer, out: workspace.file("x.gguf"), mix: "q4_0" }),
  ).rejects.toThrow("token_embd.weight is q8_0 already, and would be worse for being q4_0");
  // Types that are there already are copied.
  await convertModel({ files: quantised, tokenizer, out: workspace.file("again.gguf"), mix: "q8_0" });
});

test("a quantised file is split as it is, and its parts are one file again", async () => {
  const [whole, part, again] = ["mixed.gguf", "parts.gguf", "whole.gguf"].map((name) => workspace.file(name));
  await convertModel({ files, tokenizer, out: whole!, mix: "q4_k_m" });
  const mixed = readModelFiles(whole!);
  expect(storedMix(mixed)).toBe("stored");
  const split = { files: mixed, tokenizer, out: part!, mix: "stored", maxFileBytes: 10_000 } as const;
  const { paths } = await convertModel(split);
  expect(paths.length).toBeGreaterThan(2);
  await convertModel({ files: readModelFiles(paths[0]!), tokenizer, out: again!, mix: "stored" });
  const contentOf = (path: string): unknown => {
    using source = openFile(path);
    const { metadata, tensors } = readGguf(source);
    return {
      fileType: metadata.get("general.file_type"),
      tensors: [...tensors.values()].map(({ name, type, offset, bytes }) => [
        name,
        type,
        Buffer.from(source.read(offset, bytes)).toString("base64"),
      ]),
    };
  };
  expect(contentOf(again!)).toEqual(contentOf(whole!));
  expect(contentOf(whole!)).toMatchObject({ fileType: 15 });
  const folder = workspace.file("no-folder");
  await expect(convertModel({ files: mixed, tokenizer, out: folder, mix: "stored" })).rejects.toThrow(
    /^a Hugging Face directory does not hold q\w+ weights$/,
  );
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
  expect(mixNamed("Q5_K")).toBe("q5_k_m");
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
