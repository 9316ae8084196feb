import { describe, expect, test } from "vitest";
import { hiddenDimOf, llamaConfig, parameterCount } from "../../src/model/config.ts";
import { presetConfig, presets } from "../../src/model/presets.ts";
import { errorOf } from "./error-of.ts";

/** Counts by Llama 1 Table 2, the released checkpoints' configurations, and the model cards of the small ones. */
const published: readonly (readonly [name: string, vocabSize: number, parameters: number])[] = [
  ["llama-7b", 32_000, 6_738_415_616],
  ["llama-13b", 32_000, 13_015_864_320],
  ["llama-33b", 32_000, 32_528_943_616],
  ["llama-65b", 32_000, 65_285_660_672],
  ["llama-2-7b", 32_000, 6_738_415_616],
  ["llama-2-13b", 32_000, 13_015_864_320],
  ["llama-2-34b", 32_000, 33_743_970_304],
  ["llama-2-70b", 32_000, 68_976_648_192],
  ["tinyllama-1.1b", 32_000, 1_100_048_384],
  ["stories-260k", 512, 260_032],
  ["stories-15m", 32_000, 15_191_712],
  ["stories-42m", 32_000, 41_689_600],
  ["stories-110m", 32_000, 109_529_856],
];

test.each(published)("%s with %i tokens has %i parameters", (name, vocabSize, parameters) => {
  expect(parameterCount(presetConfig(name, vocabSize))).toBe(parameters);
});

/** Meta's params.json says multiple_of and ffn_dim_multiplier; the sizes follow. */
const hiddenDims: readonly (readonly [name: string, multipleOf: number, ffnDimMultiplier: number])[] = [
  ["llama-7b", 256, 1],
  ["llama-13b", 256, 1],
  ["llama-33b", 256, 1],
  ["llama-65b", 256, 1],
  ["llama-2-7b", 256, 1],
  ["llama-2-13b", 256, 1],
  ["llama-2-34b", 256, 1],
  ["llama-2-70b", 4096, 1.3],
  ["stories-260k", 4, 1],
  ["stories-15m", 32, 1],
  ["stories-42m", 32, 1],
  ["stories-110m", 32, 1],
];

test.each(hiddenDims)(
  "%s has the hidden size of Meta's rule with multiples of %i and multiplier %d",
  (name, multipleOf, ffnDimMultiplier) => {
    const { dim, hiddenDim } = presets[name]!;
    expect(hiddenDimOf(dim, { multipleOf, ffnDimMultiplier })).toBe(hiddenDim);
  },
);

test("Llama 1 and Llama 2 differ in context, ε and the grouped queries of the two large ones", () => {
  const facts = Object.fromEntries(
    Object.entries(presets)
      .filter(([name]) => name.startsWith("llama-"))
      .map(([name, preset]) => [name, [preset.nHeads, preset.nKvHeads, preset.maxSeqLen, preset.normEps]]),
  );
  expect(facts).toEqual({
    "llama-7b": [32, 32, 2048, 1e-6],
    "llama-13b": [40, 40, 2048, 1e-6],
    "llama-33b": [52, 52, 2048, 1e-6],
    "llama-65b": [64, 64, 2048, 1e-6],
    "llama-2-7b": [32, 32, 4096, 1e-5],
    "llama-2-13b": [40, 40, 4096, 1e-5],
    "llama-2-34b": [64, 8, 4096, 1e-5],
    "llama-2-70b": [64, 8, 4096, 1e-5],
  });
});

describe.each(Object.entries(presets))("preset %s", (_, preset) => {
  test("is a valid configuration with Llama's RoPE base", () => {
    expect(llamaConfig({ ...preset, vocabSize: 32_000 })).toEqual({ ...preset, vocabSize: 32_000 });
    expect(preset.ropeTheta).toBe(10_000);
  });
});

test.each(["tiny", "nano", "micro", "mini", "small", "base", "medium", "large"])(
  "our own %s keeps every inner dimension a multiple of 32, which the engine's bf16 products want",
  (name) => {
    const { dim, headDim, hiddenDim, nHeads, nKvHeads } = presets[name]!;
    for (const inner of [dim, headDim, nHeads * headDim, nKvHeads * headDim]) expect(inner % 32).toBe(0);
    expect(hiddenDim % 64).toBe(0);
  },
);

test("our own sizes grow from a third of a million parameters to 181 million, with 4096 tokens", () => {
  const names = ["tiny", "nano", "micro", "mini", "small", "base", "medium", "large"];
  expect(names.map((name) => parameterCount(presetConfig(name, 4096)))).toEqual([
    360_768, 1_311_872, 3_148_224, 5_475_584, 14_162_304, 25_698_816, 78_662_400, 181_437_440,
  ]);
});

test("a misspelt preset is answered with the nearest", () => {
  expect(errorOf(() => presetConfig("lama-2-7b", 32_000))).toMatchInlineSnapshot(`
    "ConfigError: no model preset is called "lama-2-7b"
      Did you mean "llama-2-7b"? There are tiny, nano, micro, mini, small, base, medium, large, stories-260k, stories-15m, stories-42m, stories-110m, tinyllama-1.1b, llama-7b, llama-13b, llama-33b, llama-65b, llama-2-7b, llama-2-13b, llama-2-34b, llama-2-70b."
  `);
});

test("a name like no preset, even one that every object has, is answered with the list", () => {
  expect(errorOf(() => presetConfig("constructor", 32_000))).toMatchInlineSnapshot(`
    "ConfigError: no model preset is called "constructor"
      There are tiny, nano, micro, mini, small, base, medium, large, stories-260k, stories-15m, stories-42m, stories-110m, tinyllama-1.1b, llama-7b, llama-13b, llama-33b, llama-65b, llama-2-7b, llama-2-13b, llama-2-34b, llama-2-70b."
  `);
});

test("a vocabulary without tokens is refused", () => {
  expect(errorOf(() => presetConfig("nano", 0))).toMatchInlineSnapshot(`
    "ConfigError: vocab_size (0) is not a whole number from 1 to 16777216
      Set vocab_size to a whole number from 1 to 16777216."
  `);
});
