import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ggufTokenizerValues } from "../../src/model/gguf-tokenizer.ts";
import { yarnAttention, type RopeScaling } from "../../src/model/rope-scaling.ts";
import { writeGgufModel } from "../../src/model/save.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { openWorkspace } from "../formats/workspace.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";
import { binding, expectSameLogits, threads } from "./llama-cpp.ts";

const yarn = { type: "yarn", factor: 4, originalContext: 16, betaFast: 32, betaSlow: 1 } as const;

const kinds: Readonly<Record<string, RopeScaling>> = {
  "linear by 2": { type: "linear", factor: 2 },
  "linear by 2.5": { type: "linear", factor: 2.5 },
  yarn: { ...yarn, attentionFactor: yarnAttention(4) },
  "yarn with an attention of its own": { ...yarn, attentionFactor: 1 },
  "Llama 3.1's": { type: "llama3", factor: 8, originalContext: 64, lowFreqFactor: 1, highFreqFactor: 4 },
};

afterAll(async () => {
  if (typeof binding !== "string") await binding.dispose();
});

describe.skipIf(typeof binding === "string")("llama.cpp gives our logits with RoPE scaled", () => {
  const tokenizer = fable();
  let workspace: ReturnType<typeof openWorkspace>;
  beforeAll(() => {
    workspace = openWorkspace();
  });
  afterAll(() => workspace[Symbol.dispose]());

  test.each(Object.entries(kinds))("%s", async (name, ropeScaling) => {
    const path = workspace.file(`${name}.gguf`);
    const config = { ...tinyConfig, ropeScaling, headDim: 16, vocabSize: tokenizer.vocabSize };
    {
      using backend = openBackend({ threads });
      using weights = tinyWeights(backend, config);
      writeGgufModel(path, weights, ggufTokenizerValues(tokenizer, config.vocabSize));
    }
    const ids = randomTokens(60, config.vocabSize, 5);
    const batches = [ids.slice(0, 56), ...Array.from(ids.slice(56), (id) => Int32Array.of(id))];
    await expectSameLogits(path, { batches, contextTokens: config.maxSeqLen });
    expect(batches).toHaveLength(5);
  });
});
