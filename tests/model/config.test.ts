import { gguf } from "@huggingface/gguf";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  configFromGguf,
  configFromHuggingFace,
  hiddenDimOf,
  llamaConfig,
  parameterCount,
  type LlamaConfig,
} from "../../src/model/config.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { essential, refusals } from "./any-config.ts";

describe("a configuration", () => {
  test("of which only the sizes are said is Llama 2's: plain attention, context 4096, ε 1e-5, untied", () => {
    expect(llamaConfig(essential)).toEqual({
      ...essential,
      nKvHeads: 8,
      headDim: 32,
      hiddenDim: 768,
      maxSeqLen: 4096,
      normEps: 1e-5,
      ropeTheta: 10_000,
      isTied: false,
    });
  });

  test("takes undefined for what is not said", () => {
    expect(llamaConfig({ ...essential, nKvHeads: undefined, isTied: undefined })).toEqual(
      llamaConfig(essential),
    );
  });

  test("keeps nothing but its own fields", () => {
    const preset = { ...essential, name: "nano" };
    expect(llamaConfig(preset)).not.toHaveProperty("name");
  });

  test("that cannot be right is refused, with the values and the mend", () => {
    const refused: Record<string, Partial<LlamaConfig>> = {
      "a head group that does not divide": { nKvHeads: 3 },
      "more groups than heads": { nKvHeads: 16 },
      "heads that do not divide": { nHeads: 7 },
      "odd heads": { dim: 24, nHeads: 8 },
      "no layers": { nLayers: 0 },
      "half a layer": { nLayers: 1.5 },
      "a negative size": { hiddenDim: -4 },
      "a size that is not a number": { dim: NaN },
      "a billion layers": { nLayers: 1e9 },
      "an infinite context": { maxSeqLen: Infinity },
      "a weight past what the engine counts": { vocabSize: 2 ** 24, dim: 8192 },
      "heads past what the engine counts": { nHeads: 2 ** 16, headDim: 2 ** 13 },
      "a negative ε": { normEps: -1e-5 },
      "an ε that is not a number": { normEps: NaN },
      "a RoPE base of zero": { ropeTheta: 0 },
      "an infinite RoPE base": { ropeTheta: Infinity },
    };
    expect(refusals(refused, (fields) => llamaConfig({ ...essential, ...fields }))).toMatchInlineSnapshot(`
      "a head group that does not divide
      ConfigError: n_heads (8) is not a multiple of n_kv_heads (3)
        Set n_kv_heads to a divisor of 8, or to 8 for plain multi-head attention.
      more groups than heads
      ConfigError: n_heads (8) is not a multiple of n_kv_heads (16)
        Set n_kv_heads to a divisor of 8, or to 8 for plain multi-head attention.
      heads that do not divide
      ConfigError: dim (256) is not a multiple of n_heads (7)
        Set n_heads to a divisor of 256, or give head_dim.
      odd heads
      ConfigError: head_dim (3) is odd, and RoPE turns pairs
        Choose dim and n_heads, or head_dim, such that a head has an even width.
      no layers
      ConfigError: n_layers (0) is not a whole number from 1 to 1024
        Set n_layers to a whole number from 1 to 1024.
      half a layer
      ConfigError: n_layers (1.5) is not a whole number from 1 to 1024
        Set n_layers to a whole number from 1 to 1024.
      a negative size
      ConfigError: hidden_dim (-4) is not a whole number from 1 to 4194304
        Set hidden_dim to a whole number from 1 to 4194304.
      a size that is not a number
      ConfigError: dim (NaN) is not a whole number from 1 to 1048576
        Set dim to a whole number from 1 to 1048576.
      a billion layers
      ConfigError: n_layers (1000000000) is not a whole number from 1 to 1024
        Set n_layers to a whole number from 1 to 1024.
      an infinite context
      ConfigError: max_seq_len (Infinity) is not a whole number from 1 to 16777216
        Set max_seq_len to a whole number from 1 to 16777216.
      a weight past what the engine counts
      ConfigError: a weight of vocab_size x dim (16777216 x 8192) has 2^31 elements or more
        The largest Llama's largest weight fits; check these sizes.
      heads past what the engine counts
      ConfigError: a weight of n_heads · head_dim x dim (536870912 x 256) has 2^31 elements or more
        The largest Llama's largest weight fits; check these sizes.
      a negative ε
      ConfigError: norm_eps (-0.00001) is not a number in [0, 1)
        Llama 2 uses 1e-5, Llama 1 uses 1e-6.
      an ε that is not a number
      ConfigError: norm_eps (NaN) is not a number in [0, 1)
        Llama 2 uses 1e-5, Llama 1 uses 1e-6.
      a RoPE base of zero
      ConfigError: rope_theta (0) is not a positive number
        Llama 1 and 2 use 10000; Code Llama uses 1000000.
      an infinite RoPE base
      ConfigError: rope_theta (Infinity) is not a positive number
        Llama 1 and 2 use 10000; Code Llama uses 1000000."
    `);
  });

  test("at the largest Llama's sizes is accepted", () => {
    const largest = llamaConfig({
      dim: 16_384,
      nLayers: 126,
      nHeads: 128,
      nKvHeads: 8,
      hiddenDim: 53_248,
      vocabSize: 128_256,
      maxSeqLen: 131_072,
    });
    expect(parameterCount(largest)).toBe(405_853_388_800);
  });
});

describe("the hidden size", () => {
  test("is two thirds of four times dim, rounded up to the multiple", () => {
    expect(hiddenDimOf(6, { multipleOf: 1 })).toBe(16);
    expect(hiddenDimOf(6, { multipleOf: 16 })).toBe(16);
    expect(hiddenDimOf(6, { multipleOf: 10 })).toBe(20);
  });

  test("is cut to whole numbers before the multiplier and after it", () => {
    // 2·4·4/3 = 10.67 -> 10; 10 · 1.25 = 12.5 -> 12.
    expect(hiddenDimOf(4, { multipleOf: 1, ffnDimMultiplier: 1.25 })).toBe(12);
  });
});

test("a model of one layer has the parameters one can count by hand", () => {
  // wq, wo: 2x2 each; wk, wv: 2x2 each; w1, w2, w3: 3x2 each; two gains of 2; final gain 2; embedding and head 5x2.
  const config = llamaConfig({ dim: 2, nLayers: 1, nHeads: 1, hiddenDim: 3, vocabSize: 5 });
  expect(parameterCount(config)).toBe(16 + 18 + 4 + 2 + 20);
  expect(parameterCount({ ...config, isTied: true })).toBe(16 + 18 + 4 + 2 + 10);
});

describeWithSharedData("the configurations of real files", () => {
  test("stories260K's config.json is the preset", () => {
    const json: unknown = JSON.parse(readFileSync(sharedFile("weights/stories260K-hf/config.json"), "utf8"));
    expect(configFromHuggingFace(json, "config.json")).toEqual(presetConfig("stories-260k", 512));
  });

  test("a llama.cpp file of 2023 has the shape that its tensors have", async () => {
    const path = sharedFile("weights/llama-2-tiny-random/llama-2-tiny-random.gguf");
    const { metadata, tensorInfos } = await gguf(path, { allowLocalFile: true });
    const shapes = new Map(tensorInfos.map(({ name, shape }) => [name, shape.map(Number)]));
    const config = configFromGguf(
      new Map(Object.entries(metadata)),
      { hasOutput: shapes.has("output.weight") },
      path,
    );
    // GGUF writes shapes innermost first.
    expect(shapes.get("token_embd.weight")).toEqual([config.dim, config.vocabSize]);
    expect(shapes.get("blk.0.attn_k.weight")).toEqual([config.dim, config.nKvHeads * config.headDim]);
    expect(shapes.get("blk.0.ffn_down.weight")).toEqual([config.hiddenDim, config.dim]);
    expect(shapes.has(`blk.${config.nLayers - 1}.attn_q.weight`)).toBe(true);
    expect(shapes.has(`blk.${config.nLayers}.attn_q.weight`)).toBe(false);
  });
});
