/** What `cria serve` is told about its models is what they are opened with. */

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { convertModel } from "../../src/model/convert.ts";
import { readModelFiles } from "../../src/model/load.ts";
import type { ModelDescription } from "../../src/serve/engine.ts";
import { poolModels } from "../../src/serve/start.ts";
import { ServedModel, type ServedModelOptions } from "../../src/serve/worker/served-model.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig } from "../tiny-model.ts";
import { tinyFolder, type TinyFolder } from "./tiny-served.ts";

let folder: TinyFolder;
let quantised: string;
beforeAll(async () => {
  folder = tinyFolder(512);
  quantised = join(folder.path, "..", "tiny.gguf");
  const files = readModelFiles(folder.path);
  await convertModel({ files, tokenizer: tinyTokenizer(), out: quantised, mix: "q4_0" });
});
afterAll(() => folder[Symbol.dispose]());

const common = { parallel: 4, queue: 4, cells: 512 } as const;

function opened(path: string, options: Partial<ServedModelOptions> = {}): ModelDescription {
  using model = new ServedModel({ path, device: "cpu", threads: 1, ...common, ...options });
  return model.description;
}

describe("a served model has", () => {
  test("the type of cache that it is given", () => {
    const values = 2 * tinyConfig.nLayers * tinyConfig.nKvHeads * tinyConfig.headDim * 512;
    expect(opened(folder.path).cacheBytes).toBe(4 * values);
    expect(opened(folder.path, { cacheType: "f16" }).cacheBytes).toBe(2 * values);
    expect(() => opened(folder.path, { cacheType: "q8_0" })).toThrow("cannot be cached in q8_0");
  });

  test("the threads that it is given", () => {
    expect(opened(folder.path, { threads: 2 }).threads).toBe(2);
  });

  test("the context that it is given, else its own", () => {
    expect(opened(folder.path, { contextTokens: 100 }).contextTokens).toBe(100);
    expect(opened(folder.path).contextTokens).toBe(512);
  });

  test("its quantised matrices laid out anew, unless they are to stay as stored", (context) => {
    using backend = openBackend({ device: "cpu", threads: 1 });
    if (backend.packedBufferTypes.length === 0) context.skip("this processor has no packed layouts");
    const { packedBytes, fileBytes } = opened(quantised);
    expect(packedBytes).toBeGreaterThan(0);
    expect(packedBytes).toBeLessThan(fileBytes);
    expect(opened(quantised, { repack: false }).packedBytes).toBe(0);
  });
});

test("what a model is expected to take follows from its cache's type", () => {
  const bytes = (cacheType?: "f16"): number => {
    const model = { ...common, ...(cacheType === undefined ? {} : { cacheType }) };
    return poolModels({ models: [{ path: folder.path }], model }, 1e9)[0]!.bytes;
  };
  // Its weights are f32, and so is its cache unless it is told.
  const values = 2 * tinyConfig.nLayers * tinyConfig.nKvHeads * tinyConfig.headDim * 512;
  expect(bytes() - bytes("f16")).toBe(2 * values);
});
