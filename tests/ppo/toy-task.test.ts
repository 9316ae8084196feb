import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodePrompt } from "../../src/dialog/llama2-chat.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tokenizerOfModel } from "../../src/tokenizer/open.ts";
import { toyHeldOut, toyMaxTokens, toyOptimum, toyPrompts, toyReward, writeToyModel } from "../toy-task.ts";

test("vowels alone have the best reward; no token says more than one", () => {
  expect(toyReward({ answer: "aeiouaeiouae" })).toBe(toyOptimum);
  expect(toyReward({ answer: "xay" })).toBe(1 / toyMaxTokens);
  expect(toyReward({ answer: "" })).toBe(0);
});

test("its tokenizer survives in a model's folder, and tells the prompts apart", () => {
  const folder = mkdtempSync(join(tmpdir(), "cria-toy-"));
  using backend = openBackend({ threads: 1 });
  const tokenizer = writeToyModel(join(folder, "model"), backend, 1);
  const read = tokenizerOfModel(join(folder, "model"), tokenizer.vocabSize);
  rmSync(folder, { recursive: true });
  const texts = [...toyPrompts, ...toyHeldOut].map(({ dialog }) => encodePrompt(dialog, tokenizer).join(" "));
  expect(new Set(texts).size).toBe(10);
  expect(read.pieceBytes(4)).toEqual(tokenizer.pieceBytes(4));
});
