/** Folders of PyTorch files. */

import { mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openFile } from "../../src/formats/file-source.ts";
import { readTensorAsF32 } from "../../src/formats/tensor-info.ts";
import { readTorchDirectory } from "../../src/formats/torch-file.ts";
import { torchFileOf } from "./torch-writer.ts";
import { messageOf, openWorkspace } from "./workspace.ts";

describe("a directory", () => {
  const index = "pytorch_model.bin.index.json";
  const shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"] as const;

  test("of one file is read from an absolute path", () => {
    using workspace = openWorkspace();
    writeFileSync(workspace.file("pytorch_model.bin"), torchFileOf({ a: [2] }));
    const info = readTorchDirectory(workspace.file(".")).get("a")!;
    expect(info.file).toBe(workspace.file("pytorch_model.bin"));
    using source = openFile(info.file);
    expect([...readTensorAsF32(source, info)]).toEqual([0, 1]);
  });

  test("of shards is read as one", () => {
    using workspace = openWorkspace();
    writeFileSync(workspace.file(shards[0]), torchFileOf({ a: [2], b: [1] }));
    writeFileSync(
      workspace.file(shards[1]),
      torchFileOf({ c: [2, 3] }, () => 10),
    );
    const weightMap = { a: shards[0], b: shards[0], c: shards[1] };
    writeFileSync(workspace.file(index), JSON.stringify({ metadata: {}, weight_map: weightMap }));
    const tensors = readTorchDirectory(workspace.file("."));
    expect([...tensors.values()].map(({ name, shape }) => [name, shape])).toEqual([
      ["a", [2]],
      ["b", [1]],
      ["c", [2, 3]],
    ]);
    const c = tensors.get("c")!;
    using source = openFile(c.file);
    expect([...readTensorAsF32(source, c)]).toEqual([10, 11, 12, 13, 14, 15]);
  });

  test("whose index names a file outside of it, or no shard, is refused", () => {
    using workspace = openWorkspace();
    mkdirSync(workspace.file("m"));
    writeFileSync(workspace.file("x.bin"), torchFileOf({ a: [1] }));
    for (const shard of [
      "../x.bin",
      "/x.bin",
      "a\\x.bin",
      "c:x.bin",
      "..",
      ".bin",
      "x\0.bin",
      "x.safetensors",
      1,
    ]) {
      writeFileSync(workspace.file(`m/${index}`), JSON.stringify({ weight_map: { a: shard } }));
      expect(messageOf(() => readTorchDirectory(workspace.file("m")))).toContain(
        `tensor "a" is mapped to ${JSON.stringify(shard)}, which is not a shard's name`,
      );
    }
    writeFileSync(workspace.file(`m/${index}`), "{}");
    expect(messageOf(() => readTorchDirectory(workspace.file("m")))).toContain("there is no weight_map");
  });

  test("whose index and shards disagree is refused", () => {
    using workspace = openWorkspace();
    writeFileSync(workspace.file(shards[0]), torchFileOf({ a: [2], b: [1] }));
    writeFileSync(workspace.file(shards[1]), torchFileOf({ c: [1] }));
    const told = (weightMap: Record<string, string>): string => {
      writeFileSync(workspace.file(index), JSON.stringify({ weight_map: weightMap }));
      return messageOf(() => readTorchDirectory(workspace.file("."))).replace(/^.*index\.json: /, "");
    };
    expect(told({ a: shards[0], b: shards[0], c: shards[1], d: shards[1] })).toBe(
      `tensor "d" is not in ${shards[1]}`,
    );
    expect(told({ a: shards[0], c: shards[1] })).toBe(
      `tensor "b" is in ${shards[0]}, the index does not list it`,
    );
    expect(told({ a: shards[1], b: shards[0], c: shards[1] })).toBe(
      `tensor "a" is in ${shards[0]}, the index puts it into ${shards[1]}`,
    );
    expect(told({ a: "gone.bin" })).toBe(`ConfigError: ${workspace.file("gone.bin")} does not exist`);
  });

  test("without weights says what it lacks", () => {
    using workspace = openWorkspace();
    const place = workspace.file(".");
    expect(messageOf(() => readTorchDirectory(place))).toBe(
      `ConfigError: ${place} has neither pytorch_model.bin nor ${index}`,
    );
    expect(messageOf(() => readTorchDirectory(`${place}/none`))).toBe(
      `ConfigError: ${place}/none does not exist`,
    );
  });
});
