import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { generateTokens } from "../../src/generate/generate.ts";
import { loadModel } from "../../src/generate/loaded-model.ts";
import { configToHuggingFace } from "../../src/model/config.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { ggufTokenizerValues } from "../../src/model/gguf-tokenizer.ts";
import { openWeights, readModelFiles } from "../../src/model/load.ts";
import { writeGgufModel, writeHuggingFaceWeights, type StoredType } from "../../src/model/save.ts";
import { openBackend, type Backend } from "../../src/tensor/backend.ts";
import { openWorkspace } from "../formats/workspace.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";
import { errorOf } from "./error-of.ts";

/** Two threads wait for each other in every node: on a busy machine that costs a tiny model far more than it saves. */
const threads = 1;

const greedy = { temperature: 0, topK: 0, topP: 1, next: () => 0 };

interface GreedyReference {
  readonly prompt: string;
  /** Tokens of prompt and answer together, without BOS. */
  readonly steps: number;
  readonly output: string;
}

interface LogitsReference {
  readonly name: string;
  readonly tokens: readonly number[];
  readonly positions: readonly number[];
  /** At those positions. */
  readonly logits: readonly (readonly number[])[];
  /** At every position. */
  readonly argmax: readonly number[];
  readonly mean_nll: number;
}

function jsonLines<T>(path: string): T[] {
  return readFileSync(sharedFile(path), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as T);
}

/** Largest difference; a missing or NaN logit is an infinite one. */
function absoluteDifference(a: Float32Array, b: readonly number[]): number {
  const worst = Math.max(...b.map((value, i) => Math.abs(value - a[i]!)));
  return a.length === b.length && !Number.isNaN(worst) ? worst : Infinity;
}

describeWithSharedData("stories260K, against llama2.c", () => {
  const tokenizer = sharedFile("weights/stories260K/tok512.bin");
  const forms = ["weights/stories260K/stories260K.bin", "weights/stories260K-hf"];

  test.each(forms)("%s continues every prompt in the same words at temperature 0", async (form) => {
    using model = await loadModel(sharedFile(form), { tokenizer, threads });
    const bos = model.tokenizer.bosId;
    for (const { prompt, steps, output } of jsonLines<GreedyReference>(
      "weights/stories260K/greedy-reference.jsonl",
    )) {
      model.decoder.truncate(0);
      const ids = [bos, ...model.tokenizer.encode(prompt)];
      // llama2.c ends a text at the next story's BOS, and reads on over EOS.
      const options = { ...greedy, maxTokens: steps - (ids.length - 1), stopIds: [bos] };
      for await (const token of generateTokens(model.decoder, ids, options)) ids.push(token);
      expect(model.tokenizer.decode(ids)).toBe(output);
    }
  });

  test.each(forms)("%s gives the same logits and prefers the same tokens", async (form) => {
    using model = await loadModel(sharedFile(form), { tokenizer, threads });
    for (const reference of jsonLines<LogitsReference>("weights/stories260K/logits-reference.jsonl")) {
      model.decoder.truncate(0);
      const preferred: number[] = [];
      for (const [position, token] of reference.tokens.entries()) {
        const logits = await model.decoder.read([token]);
        preferred.push(logits.indexOf(Math.max(...logits)));
        const listed = reference.positions.indexOf(position);
        if (listed !== -1) {
          expect(absoluteDifference(logits, reference.logits[listed]!)).toBeLessThan(1e-3);
        }
      }
      expect(preferred).toEqual(reference.argmax);
    }
  });

  test.each(forms)("%s finds the texts as probable", async (form) => {
    using model = await loadModel(sharedFile(form), { tokenizer, threads });
    for (const { tokens, mean_nll: mean } of jsonLines<LogitsReference>(
      "weights/stories260K/logits-reference.jsonl",
    )) {
      model.decoder.truncate(0);
      const ids = Int32Array.from(tokens);
      const nats = await model.decoder.score(ids.slice(0, -1), ids.slice(1));
      // The reference has six decimals.
      expect(nats / (ids.length - 1)).toBeCloseTo(mean, 4);
    }
  });

  test("a prompt read at once gives the logits of the same prompt read by the token", async () => {
    using model = await loadModel(sharedFile(forms[0]!), { tokenizer, threads });
    for (const { tokens, positions, logits } of jsonLines<LogitsReference>(
      "weights/stories260K/logits-reference.jsonl",
    )) {
      model.decoder.truncate(0);
      expect(positions.at(-1)).toBe(tokens.length - 1);
      expect(absoluteDifference(await model.decoder.read(tokens), logits.at(-1)!)).toBeLessThan(1e-3);
    }
  });
});

describeWithSharedData("llama-2-tiny-random, a GGUF file of llama.cpp's converter", () => {
  test("opens with the tokenizer that it carries and continues a prompt, each time the same", async () => {
    using model = await loadModel(sharedFile("weights/llama-2-tiny-random/llama-2-tiny-random.gguf"), {
      threads,
      contextTokens: 64,
    });
    expect(model.files.config).toMatchObject({ dim: 8, nLayers: 1, nHeads: 2, vocabSize: 32_000 });
    const prompt = [model.tokenizer.bosId, ...model.tokenizer.encode("Once upon a time")];
    // BOS and the ids of Llama 2's vocabulary for ▁Once ▁upon ▁a ▁time.
    expect(prompt).toEqual([1, 9038, 2501, 263, 931]);
    const texts: string[] = [];
    for (let i = 0; i < 2; i += 1) {
      model.decoder.truncate(0);
      const ids: number[] = [];
      const options = { ...greedy, maxTokens: 12, stopIds: [] };
      for await (const token of generateTokens(model.decoder, prompt, options)) ids.push(token);
      expect(ids).toHaveLength(12);
      texts.push(model.tokenizer.decode(ids));
    }
    expect(texts[0]).toBe(texts[1]);
    expect(texts[0]).not.toBe("");
  });
});

async function logitsOf(backend: Backend, path: string, ids: Int32Array): Promise<Float32Array> {
  using weights = openWeights(backend, readModelFiles(path));
  using decoder = new Decoder(backend, weights);
  return await decoder.read(ids);
}

test.each<[StoredType, boolean]>([
  ["f32", false],
  ["f32", true],
  ["f16", false],
])(
  "a %s model saved for Hugging Face and as GGUF gives the same bits (tied head: %s)",
  async (type, isTied) => {
    const tokenizer = fable();
    const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize, isTied };
    using workspace = openWorkspace();
    using backend = openBackend({ threads });
    using weights = tinyWeights(backend, config);
    const random = createRandom(8);
    for (const weight of Object.values(weights.byName)) {
      // Gains of 1 would hide a norm that took another's place.
      if (weight.shape.length === 1) {
        weight.write(Float32Array.from({ length: weight.elements }, () => 0.5 + random.next()));
      }
    }
    const [directory, gguf] = [workspace.file("hf"), workspace.file("model.gguf")];
    mkdirSync(directory);
    writeHuggingFaceWeights(`${directory}/model.safetensors`, weights, type);
    writeFileSync(`${directory}/config.json`, JSON.stringify(configToHuggingFace(config, tokenizer)));
    writeGgufModel(gguf, weights, ggufTokenizerValues(tokenizer, config.vocabSize), type);

    const ids = randomTokens(20, config.vocabSize, 4);
    const fromDirectory = await logitsOf(backend, directory, ids);
    expect(await logitsOf(backend, gguf, ids)).toEqual(fromDirectory);
    expect(new Set(fromDirectory).size).toBeGreaterThan(100);
    if (type !== "f32") return;
    using decoder = new Decoder(backend, weights);
    expect(fromDirectory).toEqual(await decoder.read(ids));
  },
);

test("a tokenizer that is larger than the model is not written into its GGUF file", () => {
  expect(errorOf(() => ggufTokenizerValues(fable(), 479))).toBe(
    "ConfigError: the tokenizer has 480 pieces, the model 479 rows\n  Write the model with its own tokenizer.",
  );
});
