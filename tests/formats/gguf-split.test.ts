import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readGgufModel, streamGgufSplit } from "../../src/formats/gguf-split.ts";
import { streamGguf, type GgufWriteValue } from "../../src/formats/gguf-write.ts";
import type { TensorToStream } from "../../src/formats/tensor-info.ts";
import { messageOf, openWorkspace } from "./workspace.ts";

let workspace: ReturnType<typeof openWorkspace>;
beforeAll(() => {
  workspace = openWorkspace();
});
afterAll(() => workspace[Symbol.dispose]());

function tensor(name: string, values: number): TensorToStream {
  return {
    name,
    type: "f32",
    shape: [values],
    async *pieces() {
      yield new Uint8Array(Float32Array.from({ length: values }, (_, i) => i).buffer);
    },
  };
}

const metadata = new Map<string, GgufWriteValue>([["general.name", { type: "string", value: "fox" }]]);
const tensors = [tensor("a", 4), tensor("b", 4), tensor("c", 20), tensor("d", 4)];

const shown = (path: string): string => path.replace(workspace.file("/"), "");

/** Reads what is refused, without the workspace's name. */
const refused = (path: string): string =>
  messageOf(() => readGgufModel(path)).replaceAll(workspace.file("/"), "");

test("a model is written in files of a size, and read as one", async () => {
  const paths = await streamGgufSplit(workspace.file("fox.gguf"), { metadata, tensors }, 40);
  expect(paths.map(shown)).toEqual([
    "fox-00001-of-00003.gguf",
    "fox-00002-of-00003.gguf",
    "fox-00003-of-00003.gguf",
  ]);
  const read = readGgufModel(paths[0]!);
  expect([...read.tensors.keys()]).toEqual(["a", "b", "c", "d"]);
  expect(shown(read.tensors.get("d")!.file)).toBe("fox-00003-of-00003.gguf");
  expect(read.metadata.get("general.name")).toBe("fox");
});

test("a model that one file holds is not split", async () => {
  const path = workspace.file("small.gguf");
  expect(await streamGgufSplit(path, { metadata, tensors }, 1000)).toEqual([path]);
  expect(readGgufModel(path).tensors.size).toBe(4);
});

test("another file than the first, a missing one and a renamed one are told", async () => {
  const [first, second] = (await streamGgufSplit(workspace.file("owl.gguf"), { metadata, tensors }, 40)) as [
    string,
    string,
  ];
  expect(refused(second)).toBe("ConfigError: owl-00002-of-00003.gguf is not the first file of its model");
  rmSync(second);
  expect(refused(first)).toBe("ConfigError: owl-00002-of-00003.gguf is missing: the model has 3 files");
  renameSync(first, workspace.file("bird.gguf"));
  expect(refused(workspace.file("bird.gguf"))).toBe(
    "ConfigError: bird.gguf is one of 3 files, and its name does not say which",
  );
  expect(existsSync(first)).toBe(false);
});

test("a split that fails on its way leaves no files behind", async () => {
  const failing: TensorToStream = {
    ...tensor("a", 4),
    // eslint-disable-next-line require-yield
    async *pieces() {
      throw new Error("stopped");
    },
  };
  const content = { metadata, tensors: [failing, ...tensors.slice(1)] };
  await expect(streamGgufSplit(workspace.file("elk.gguf"), content, 40)).rejects.toThrow("stopped");
  expect(readdirSync(workspace.file(".")).filter((name) => name.includes("elk"))).toEqual([]);
});

test("files of different models are not put together", async () => {
  const paths = await streamGgufSplit(workspace.file("cat.gguf"), { metadata, tensors }, 40);
  const split = (no: number): Map<string, GgufWriteValue> =>
    new Map([
      ["split.no", { type: "uint16", value: no }],
      ["split.count", { type: "uint16", value: 3 }],
      ["split.tensors.count", { type: "int32", value: 4 }],
    ]);
  await streamGguf(paths[1]!, { metadata: split(2), tensors: [tensor("c", 20)] });
  expect(refused(paths[0]!)).toMatch(/it is not file 2 of 3/);
  await streamGguf(paths[1]!, { metadata: split(1), tensors: [tensor("a", 20)] });
  expect(refused(paths[0]!)).toMatch(/the tensor "a" stands twice/);
  await streamGguf(paths[1]!, { metadata: split(1), tensors: [tensor("c", 20), tensor("e", 1)] });
  expect(refused(paths[0]!)).toMatch(/the files have 5 tensors, the first says 4/);
});
