import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { llamaConfig, parameterCount, type LlamaConfig } from "../../src/model/config.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { maxRelativeError, numericalGradient } from "../gradient/numerical.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { negativeLogLikelihood } from "./equations.ts";
import { forward, lossAndGradients, randomWeights, weightShapes, type Weights } from "./llama.ts";

const tiny = (fields: Partial<LlamaConfig> = {}): LlamaConfig =>
  llamaConfig({
    dim: 8,
    nLayers: 2,
    nHeads: 2,
    hiddenDim: 12,
    vocabSize: 11,
    maxSeqLen: 16,
    normEps: 1e-5,
    ...fields,
  });

const tokens = [1, 7, 3, 7, 10];
const targets = [7, 3, 7, 10, 2];
const lossWeights = [0, 1, 0.5, 0, 2];

const variants: readonly (readonly [string, LlamaConfig])[] = [
  ["every head its own keys, untied", tiny()],
  ["every head its own keys, tied", tiny({ isTied: true })],
  ["two heads to a group, untied", tiny({ nHeads: 4, nKvHeads: 2 })],
  ["two heads to a group, tied", tiny({ nHeads: 4, nKvHeads: 2, isTied: true })],
  ["heads wider than dim / nHeads", tiny({ headDim: 6, nKvHeads: 1 })],
];

describe.each(variants)("Llama with %s", (_, config) => {
  const weights = randomWeights(config, 1);
  const { loss, gradients } = lossAndGradients(config, weights, tokens, targets, lossWeights);
  const lossOf = (changed: Weights): number => {
    const nll = negativeLogLikelihood(forward(config, changed, tokens), targets);
    return (nll[1]! + 0.5 * nll[2]! + 2 * nll[4]!) / 3.5;
  };

  test("has as many weights as parameterCount says", () => {
    const count = Object.values(weights).reduce((sum, weight) => sum + weight.length, 0);
    expect(count).toBe(parameterCount(config));
    expect(Object.keys(gradients).sort()).toEqual(Object.keys(weights).sort());
  });

  test.each(Object.keys(weightShapes(config)))(
    "%s: the gradient is what differences say, to 1e-9",
    (name) => {
      const numerical = numericalGradient((theta) => lossOf({ ...weights, [name]: theta }), weights[name]!);
      expect(gradients[name]!.some((value) => Math.abs(value) > 1e-6)).toBe(true);
      expect(maxRelativeError(gradients[name]!, numerical)).toBeLessThan(1e-9);
    },
  );

  test("has the mean loss of its logits, by weight", () => {
    expect(loss).toBeCloseTo(lossOf(weights), 14);
  });
});

describe("the model's invariants", () => {
  const config = tiny({ nHeads: 4, nKvHeads: 2 });
  const weights = randomWeights(config, 2);

  test("logits do not depend on later tokens", () => {
    const all = forward(config, weights, tokens);
    expect(forward(config, weights, tokens.slice(0, 3))).toEqual(all.slice(0, 3 * config.vocabSize));
  });

  test("grouped queries are plain attention whose heads share their keys and values", () => {
    const repeat = (weight: Float64Array): Float64Array => {
      const group = config.headDim * config.dim;
      const [a, b] = [weight.slice(0, group), weight.slice(group)];
      return Float64Array.from([a, a, b, b].flatMap((rows) => Array.from(rows)));
    };
    const repeated = Object.fromEntries(
      Object.entries(weights).map(([name, weight]) => [name, /w[kv]/.test(name) ? repeat(weight) : weight]),
    );
    const plain = tiny({ nHeads: 4, nKvHeads: 4 });
    expect(forward(plain, repeated, tokens)).toEqual(forward(config, weights, tokens));
  });

  test("a tied head's gradient is the embedding's and the head's together", () => {
    const shared = weights["tok_embeddings.weight"]!;
    const [tied, untied] = [
      lossAndGradients({ ...config, isTied: true }, weights, tokens, targets, lossWeights),
      lossAndGradients(config, { ...weights, "output.weight": shared }, tokens, targets, lossWeights),
    ];
    const both = untied.gradients["tok_embeddings.weight"]!.map(
      (value, i) => value + untied.gradients["output.weight"]![i]!,
    );
    expect(tied.loss).toBe(untied.loss);
    expect(tied.gradients["tok_embeddings.weight"]).toEqual(both);
  });

  test("the loss is a mean: all weights doubled change nothing", () => {
    const doubled = lossWeights.map((weight) => 2 * weight);
    expect(lossAndGradients(config, weights, tokens, targets, doubled)).toEqual(
      lossAndGradients(config, weights, tokens, targets, lossWeights),
    );
  });

  test("with nothing to predict the loss and every gradient are zero", () => {
    const { loss, gradients } = lossAndGradients(config, weights, tokens, targets, [0, 0, 0, 0, 0]);
    expect(loss).toBe(0);
    expect(Object.values(gradients).every((gradient) => gradient.every((value) => value === 0))).toBe(true);
  });

  test("descending the gradient lowers the loss", () => {
    const before = lossAndGradients(config, weights, tokens, targets, lossWeights);
    const moved = Object.fromEntries(
      Object.entries(weights).map(([name, weight]) => [
        name,
        weight.map((value, i) => value - 0.01 * before.gradients[name]![i]!),
      ]),
    );
    expect(lossAndGradients(config, moved, tokens, targets, lossWeights).loss).toBeLessThan(before.loss);
  });

  test("the same seed gives the same weights, which f32 holds exactly", () => {
    expect(randomWeights(config, 2)).toEqual(weights);
    expect(randomWeights(config, 3)).not.toEqual(weights);
    for (const weight of Object.values(weights))
      expect(Float64Array.from(Float32Array.from(weight))).toEqual(weight);
  });

  test("a token outside the vocabulary is refused", () => {
    expect(() => forward(config, weights, [11])).toThrow("row 11 is not in the table");
  });
});

interface Reference {
  readonly name: string;
  readonly tokens: number[];
  readonly positions: number[];
  readonly logits: number[][];
  readonly argmax: number[];
  readonly nll_per_token: number[];
  readonly mean_nll: number;
}

describeWithSharedData("stories260K, a trained model, against llama2.c's f32 logits", () => {
  const folder = "weights/stories260K/";
  const references = (): Reference[] =>
    readFileSync(sharedFile(`${folder}logits-reference.jsonl`), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Reference);

  test("logits agree to 1e-4, every argmax and every token's loss too", () => {
    const { config, weights } = readStories(readFileSync(sharedFile(`${folder}stories260K.bin`)));
    expect({ ...config }).toEqual(presetConfig("stories-260k", 512));
    expect(references().length).toBeGreaterThan(3);
    for (const reference of references()) {
      const logits = forward(config, weights, reference.tokens);
      const at = (position: number): Float64Array =>
        logits.subarray(position * config.vocabSize, (position + 1) * config.vocabSize);
      for (const [i, position] of reference.positions.entries()) {
        const worst = at(position).reduce(
          (worst, x, c) => Math.max(worst, Math.abs(x - reference.logits[i]![c]!)),
          0,
        );
        expect(worst).toBeLessThan(1e-4);
      }
      const argmax = reference.tokens.map((_, position) => at(position).indexOf(Math.max(...at(position))));
      expect(argmax).toEqual(reference.argmax);
      const predicted = logits.subarray(0, reference.nll_per_token.length * config.vocabSize);
      const nll = negativeLogLikelihood(predicted, reference.tokens.slice(1));
      for (const [i, value] of nll.entries())
        expect(Math.abs(value - reference.nll_per_token[i]!)).toBeLessThan(1e-4);
    }
  });
});

/** llama2.c's first format: seven int32, then f32 tensors, each kind for all layers at once. */
function readStories(file: Buffer): { config: LlamaConfig; weights: Weights } {
  const [dim, hiddenDim, nLayers, nHeads, nKvHeads, vocabSize, maxSeqLen] = Array.from(
    { length: 7 },
    (_, i) => file.readInt32LE(4 * i),
  ) as [number, number, number, number, number, number, number];
  const config = llamaConfig({
    dim,
    hiddenDim,
    nLayers,
    nHeads,
    nKvHeads,
    vocabSize,
    maxSeqLen,
    isTied: true,
  });
  const shapes = weightShapes(config);
  const weights: Record<string, Float64Array> = {};
  let offset = 28;
  const read = (name: string): void => {
    const length = shapes[name]!.reduce((a, b) => a * b, 1);
    weights[name] = Float64Array.from({ length }, (_, i) => file.readFloatLE(offset + 4 * i));
    offset += 4 * length;
  };
  const readLayers = (...names: string[]): void => {
    for (const name of names)
      for (let layer = 0; layer < nLayers; layer += 1) read(`layers.${layer}.${name}.weight`);
  };
  read("tok_embeddings.weight");
  readLayers("attention_norm", "attention.wq", "attention.wk", "attention.wv", "attention.wo");
  readLayers("ffn_norm", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3");
  read("norm.weight");
  return { config, weights };
}
