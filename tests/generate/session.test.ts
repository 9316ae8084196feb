import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { restoreSession, saveSession } from "../../src/generate/session.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-session-"));
  file = join(folder, "session.safetensors");
});
afterEach(() => rmSync(folder, { recursive: true }));

for (const cacheType of ["f32", "f16", "q8_0"] as const) {
  test(`a restored session goes on with the same logits, bit for bit, from a cache of ${cacheType}`, async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, { ...tinyConfig, dim: 128, headDim: 32 });
    using saved = new Decoder(backend, weights, { cacheType });
    const tokens = randomTokens(20, tinyConfig.vocabSize, 1);
    await saved.read(tokens);
    saveSession(file, saved, tokens);
    const expected = await saved.read([7]);
    using restored = new Decoder(backend, weights, { cacheType });
    // What it had read is forgotten.
    await restored.read([1, 2, 3]);
    expect(restoreSession(file, restored)).toEqual(tokens);
    expect(restored.length).toBe(20);
    expect(await restored.read([7])).toEqual(expected);
  });
}

test("a session of another model, of another cache, or none at all is refused, and changes nothing", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using others = tinyWeights(backend, tinyConfig, 2);
  using decoder = new Decoder(backend, weights);
  await decoder.read([1, 2]);
  saveSession(file, decoder, [1, 2]);
  using other = new Decoder(backend, others);
  await other.read([5]);
  const refusal = "is a session of another model, or of another type of cache";
  expect(() => restoreSession(file, other)).toThrow(refusal);
  expect(other.length).toBe(1);
  using half = new Decoder(backend, weights, { cacheType: "f16" });
  expect(() => restoreSession(file, half)).toThrow(refusal);
  using short = new Decoder(backend, weights, { contextTokens: 1 });
  expect(() => restoreSession(file, short)).toThrow("2 tokens do not fit into the context of 1");
  const plain = join(folder, "plain.safetensors");
  writeSafetensors(plain, [{ name: "tokens", type: "i32", shape: [1], data: () => new Uint8Array(4) }]);
  expect(() => restoreSession(plain, decoder)).toThrow("is not a session");
  writeFileSync(plain, readFileSync(file).subarray(0, -1));
  expect(() => restoreSession(plain, decoder)).toThrow();
  expect(decoder.length).toBe(2);
});

test("the tokens are those that were read, or nothing is written", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using decoder = new Decoder(backend, weights);
  await decoder.read([1, 2]);
  expect(() => saveSession(file, decoder, [1])).toThrow(
    "the decoder has read 2 tokens, and 1 are to be saved",
  );
  expect(existsSync(file)).toBe(false);
});
