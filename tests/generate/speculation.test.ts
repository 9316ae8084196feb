import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { generateTokens, type GenerateOptions, type StopReason } from "../../src/generate/generate.ts";
import {
  draftModel,
  drawFrom,
  promptLookup,
  requireSameVocabulary,
  type TokenProposer,
} from "../../src/generate/speculation.ts";
import { createSampler } from "../../src/generate/sampling.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { createTokenizer } from "../../src/tokenizer/tokenizer.ts";
import { trainTokenizer } from "../../src/tokenizer/train.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";

const { vocabSize } = tinyConfig;
const greedy = { temperature: 0, topK: 0, topP: 1, maxTokens: 40, stopIds: [] };

interface Text {
  readonly tokens: number[];
  readonly reason: StopReason;
  /** What the decoder has read in the end. */
  readonly read: number;
}

async function textOf(
  decoder: Decoder,
  prompt: ArrayLike<number>,
  options: Omit<GenerateOptions, "next">,
  seed = 1,
): Promise<Text> {
  decoder.truncate(0);
  const random = createRandom(seed);
  const generated = generateTokens(decoder, prompt, { ...options, next: () => random.next() });
  const tokens: number[] = [];
  let step = await generated.next();
  for (; step.done !== true; step = await generated.next()) tokens.push(step.value);
  return { tokens, reason: step.value, read: decoder.length };
}

/** Half of its guesses are what was said, half are not. */
function halfRight(text: readonly number[], seed: number): TokenProposer {
  const random = createRandom(seed);
  return {
    propose: async (soFar, most) =>
      Array.from({ length: Math.min(most, 3) }, (_, i) =>
        random.next() < 0.5 ? (text[soFar.length + i] ?? 0) : random.int(vocabSize),
      ),
  };
}

describe("a text with proposals is the one without", () => {
  test("token for token, whoever proposes, at temperature 0 and at 1, with penalties, stops and limits", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using others = tinyWeights(backend, { ...tinyConfig, nLayers: 1 }, 2);
    using decoder = new Decoder(backend, weights);
    using same = new Decoder(backend, weights);
    using other = new Decoder(backend, others);
    const prompt = [...randomTokens(12, vocabSize, 4), ...randomTokens(12, vocabSize, 4)];
    const settings: Omit<GenerateOptions, "next">[] = [
      greedy,
      { ...greedy, maxTokens: 7 },
      { ...greedy, maxTokens: 0 },
      // Until the context of 64 is full.
      { ...greedy, maxTokens: 100 },
      { ...greedy, temperature: 1 },
      { ...greedy, temperature: 0.7, topP: 0.9, repeatPenalty: 1.3, frequencyPenalty: 0.5 },
      { ...greedy, temperature: 1, stopIds: [3, 9, 11] },
    ];
    for (const [i, options] of settings.entries()) {
      const plain = await textOf(decoder, prompt, options, i);
      const proposers = [
        promptLookup(4),
        draftModel(same, 5),
        draftModel(other, 3),
        halfRight([...prompt, ...plain.tokens], i),
      ];
      for (const proposer of proposers)
        expect(await textOf(decoder, prompt, { ...options, proposer }, i)).toEqual(plain);
    }
  });

  test("in its distribution: the second token's over many seeds, by χ²", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using decoder = new Decoder(backend, weights);
    const prompt = [5, 6, 7];
    const probabilities = (logits: Float32Array): number[] => {
      const masses = Array.from(logits, Math.exp);
      const total = masses.reduce((sum, mass) => sum + mass, 0);
      return masses.map((mass) => mass / total);
    };
    const first = probabilities(await decoder.read(prompt));
    const expected = Array.from({ length: vocabSize }, () => 0);
    for (const [token, p] of first.entries()) {
      decoder.truncate(3);
      for (const [next, q] of probabilities(await decoder.read([token])).entries()) expected[next]! += p * q;
    }
    const draws = 2000;
    const counts = expected.map(() => 0);
    for (let seed = 0; seed < draws; seed += 1) {
      const proposer = halfRight([...prompt, seed % vocabSize, 3, 4], seed);
      const options = { ...greedy, temperature: 1, maxTokens: 3, proposer };
      const { tokens } = await textOf(decoder, prompt, options, seed);
      counts[tokens[1]!]! += 1;
    }
    const chiSquare = counts.reduce(
      (sum, n, i) => sum + (n - draws * expected[i]!) ** 2 / (draws * expected[i]!),
      0,
    );
    // 47 degrees of freedom: above 82.7 once in a thousand.
    expect(chiSquare).toBeLessThan(82.7);
  });
});

describe("prompt look-up", () => {
  test("proposes what followed the longest of the last tokens, where they stood last", async () => {
    const lookup = promptLookup(3);
    expect(await lookup.propose([1, 2, 3, 4, 5, 9, 1, 2], 8)).toEqual([3, 4, 5]);
    expect(await lookup.propose([1, 2, 3, 4, 5, 9, 1, 2], 2)).toEqual([3, 4]);
    // 1 2 is followed by 6 later, but 8 1 2 by 3.
    expect(await lookup.propose([8, 1, 2, 3, 1, 2, 6, 8, 1, 2], 1)).toEqual([3]);
    expect(await lookup.propose([1, 2, 3, 1, 2, 6, 0, 1, 2], 1)).toEqual([6]);
    expect(await lookup.propose([7, 7, 7], 3)).toEqual([7]);
    expect(await lookup.propose([1, 2, 3], 3)).toEqual([]);
    expect(await lookup.propose([1], 3)).toEqual([]);
  });

  test("reads several tokens at once where the text repeats", async () => {
    const rows = [
      [0, 1, 0],
      [0, 0, 1],
      [1, 0, 0],
    ].map((row) => Float32Array.from(row));
    const sampler = createSampler(greedy, 3, () => 0);
    const limits = { maxTokens: 9, stopIds: [] };
    // Drawn are 1, 2, 0.
    expect(drawFrom({ proposed: [1, 2], rows }, sampler, limits)).toEqual({
      tokens: [1, 2, 0],
      kept: 2,
      isStopped: false,
    });
    expect(drawFrom({ proposed: [1, 1], rows }, sampler, limits)).toEqual({
      tokens: [1, 2],
      kept: 1,
      isStopped: false,
    });
    expect(drawFrom({ proposed: [1, 2], rows }, sampler, { ...limits, stopIds: [2] })).toEqual({
      tokens: [1],
      kept: 1,
      isStopped: true,
    });
  });
});

test("a draft of another vocabulary is refused", () => {
  const tokenizer = (text: string, size: number) =>
    createTokenizer(trainTokenizer([text], { vocabSize: size }));
  const model = tokenizer("a llama and its cria", 272);
  expect(() => requireSameVocabulary(model, tokenizer("a llama and its cria", 272))).not.toThrow();
  expect(() => requireSameVocabulary(model, tokenizer("a llama and its cria", 271))).toThrow(
    "the draft has 271 tokens, the model 272",
  );
  expect(() => requireSameVocabulary(model, tokenizer("other words beside", 272))).toThrow(
    /^the draft's token \d+ is ".+", the model's is ".+"$/,
  );
  expect(() => promptLookup(0)).toThrow("0 proposed tokens are not a whole number from 1 up");
});
