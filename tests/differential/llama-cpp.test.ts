import type { Llama } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Decoder } from "../../src/model/decoder.ts";
import { ggufTokenizerValues } from "../../src/model/gguf-tokenizer.ts";
import { convertModel } from "../../src/model/convert.ts";
import { openWeights, readModelFiles } from "../../src/model/load.ts";
import type { MixName } from "../../src/model/quantisation-mix.ts";
import { writeGgufModel, type StoredType } from "../../src/model/save.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tokenizerOfModel } from "../../src/tokenizer/open.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { openWorkspace } from "../formats/workspace.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { randomTokens, relativeDifference, tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable, references } from "../tokenizer/fable.ts";
import { binding, expectSameLogits, threads } from "./llama-cpp.ts";

afterAll(async () => {
  if (typeof binding !== "string") await binding.dispose();
});

async function expectSameTokens(path: string, tokenizer: Tokenizer, texts: readonly string[]): Promise<void> {
  const model = await (binding as Llama).loadModel({ modelPath: path, gpuLayers: 0, vocabOnly: true });
  try {
    expect([model.tokens.bos, model.tokens.eos, model.tokens.shouldPrependBosToken]).toEqual([
      tokenizer.bosId,
      tokenizer.eosId,
      true,
    ]);
    for (const text of texts) {
      expect({ text, ids: model.tokenize(text) }).toEqual({ text, ids: [...tokenizer.encode(text)] });
    }
  } finally {
    await model.dispose();
  }
}

const title = "llama.cpp";
describe.skipIf(typeof binding === "string")(
  typeof binding === "string" ? `${title} (skipped: node-llama-cpp does not load: ${binding})` : title,
  () => {
    const tokenizer = fable();
    const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };
    let workspace: ReturnType<typeof openWorkspace>;

    beforeAll(() => {
      workspace = openWorkspace();
    });
    afterAll(() => workspace[Symbol.dispose]());

    function written(type: StoredType, vocabSize = config.vocabSize): string {
      const path = workspace.file(`${type}-${vocabSize}.gguf`);
      using backend = openBackend({ threads });
      using weights = tinyWeights(backend, { ...config, vocabSize });
      writeGgufModel(path, weights, ggufTokenizerValues(tokenizer, vocabSize), type);
      return path;
    }

    test.each<StoredType>(["f32", "f16", "bf16"])(
      "reads our %s file of a model with grouped queries and gives our logits, in prefill and in decoding",
      async (type) => {
        const ids = randomTokens(44, config.vocabSize, 5);
        const batches = [ids.slice(0, 40), ...Array.from(ids.slice(40), (id) => Int32Array.of(id))];
        await expectSameLogits(written(type), {
          batches,
          contextTokens: config.maxSeqLen,
        });
      },
    );

    // Rows of 256, which all types fit, and which the packed layouts of both sides take.
    const wide = { ...config, dim: 256, nHeads: 4, nKvHeads: 2, headDim: 64, hiddenDim: 256 };

    async function quantised(mix: MixName): Promise<string> {
      const [from, out] = [workspace.file("wide.gguf"), workspace.file(`${mix}.gguf`)];
      using backend = openBackend({ threads });
      using weights = tinyWeights(backend, wide);
      writeGgufModel(from, weights, ggufTokenizerValues(tokenizer, wide.vocabSize));
      await convertModel({ files: readModelFiles(from), tokenizer, out, mix });
      return out;
    }

    test.each<MixName>(["q8_0", "q6_k", "q5_k_m", "q5_0", "q4_k_m", "q4_0", "iq4_nl", "q3_k_m", "q2_k"])(
      "gives our logits with %s weights",
      async (mix) => {
        const ids = randomTokens(44, wide.vocabSize, 5);
        const batches = [ids.slice(0, 40), ...Array.from(ids.slice(40), (id) => Int32Array.of(id))];
        await expectSameLogits(await quantised(mix), { batches, contextTokens: wide.maxSeqLen });
      },
    );

    test("gives much the same logits when weights are not packed", async () => {
      const ids = randomTokens(40, wide.vocabSize, 5);
      const files = readModelFiles(await quantised("q4_0"));
      using backend = openBackend({ threads });
      const logits: Float32Array[] = [];
      for (const repack of [true, false]) {
        using weights = openWeights(backend, files, { repack });
        using decoder = new Decoder(backend, weights, { contextTokens: wide.maxSeqLen });
        logits.push(await decoder.read(ids));
      }
      expect(relativeDifference(logits[0]!, logits[1]!)).toBeLessThan(0.05);
    });

    test("splits text into our tokens by the vocabulary that we write", async () => {
      const texts = references
        .filter(({ model }) => model === "fable")
        .flatMap(({ cases }) => cases.map(({ text }) => text));
      expect(texts.length).toBeGreaterThan(10);
      await expectSameTokens(written("f32"), tokenizer, texts);
    });

    test("reads a model whose vocabulary is larger than its tokenizer's", async () => {
      const rows = config.vocabSize + 32;
      const path = written("f32", rows);
      const batches = [randomTokens(8, rows, 6)];
      await expectSameLogits(path, { batches, contextTokens: config.maxSeqLen });
      await expectSameTokens(path, tokenizer, [`The fox said: [PAD${config.vocabSize}] [PAD${rows - 1}]`]);
    });

    describeWithSharedData("with a file of its own converter", () => {
      const path = sharedFile("weights/llama-2-tiny-random/llama-2-tiny-random.gguf");

      test("gives the logits that we give", async () => {
        const ids = randomTokens(24, 32_000, 9);
        const batches = [ids.slice(0, 20), ...Array.from(ids.slice(20), (id) => Int32Array.of(id))];
        await expectSameLogits(path, { batches, contextTokens: 256 });
      });

      test("splits text into our tokens", async () => {
        const texts = [
          "Once upon a time, there was a llama.",
          "Grüße, 世界! 1234",
          "  two  spaces\n\tand a tab",
        ];
        await expectSameTokens(path, tokenizerOfModel(path, 32_000), texts);
      });
    });
  },
);
