import { readFileSync } from "node:fs";
import { gguf } from "@huggingface/gguf";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  configFromGguf,
  configFromHuggingFace,
  configToHuggingFace,
  ggufConfigMetadata,
  hiddenDimOf,
  llamaConfig,
  parameterCount,
  type LlamaConfig,
} from "../../src/model/config.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { errorOf } from "./error-of.ts";

const essential = { dim: 256, nLayers: 2, nHeads: 8, vocabSize: 1000 };

/** Any small valid configuration; its reals have few digits, as people write them. */
const anyConfig: fc.Arbitrary<LlamaConfig> = fc
  .record({
    nKvHeads: fc.integer({ min: 1, max: 8 }),
    groupSize: fc.integer({ min: 1, max: 8 }),
    halfHeadDim: fc.integer({ min: 1, max: 64 }),
    nLayers: fc.integer({ min: 1, max: 64 }),
    dim: fc.integer({ min: 1, max: 4096 }),
    hiddenDim: fc.integer({ min: 1, max: 16_384 }),
    vocabSize: fc.integer({ min: 1, max: 128_256 }),
    maxSeqLen: fc.integer({ min: 1, max: 131_072 }),
    normEps: fc.constantFrom(1e-5, 1e-6, 1e-8, 0.001, 0),
    ropeTheta: fc.constantFrom(10_000, 500_000, 1_000_000, 12_345.5),
    isTied: fc.boolean(),
  })
  .map(({ groupSize, halfHeadDim, ...fields }) =>
    llamaConfig({ ...fields, nHeads: groupSize * fields.nKvHeads, headDim: 2 * halfHeadDim }),
  );

/** As a GGUF file keeps it: reals are f32. */
function written(config: LlamaConfig): Map<string, unknown> {
  const entries = ggufConfigMetadata(config);
  return new Map(entries.map(([key, type, value]) => [key, type === "float32" ? Math.fround(value) : value]));
}

const writtenLlama2 = (): Map<string, unknown> => written(presetConfig("llama-2-7b", 32_000));

/** What each case is answered with. */
function refusals<Case>(cases: Readonly<Record<string, Case>>, read: (value: Case) => unknown): string {
  const answers = Object.entries(cases).map(([title, value]) => `${title}\n${errorOf(() => read(value))}`);
  return answers.join("\n");
}

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

describe("Hugging Face's config.json", () => {
  /** The published fields of Llama 2 7B. */
  const llama2 = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: 4096,
    intermediate_size: 11_008,
    max_position_embeddings: 4096,
    num_attention_heads: 32,
    num_hidden_layers: 32,
    num_key_value_heads: 32,
    pretraining_tp: 1,
    rms_norm_eps: 1e-5,
    rope_scaling: null,
    tie_word_embeddings: false,
    vocab_size: 32_000,
    initializer_range: 0.02,
  };

  test("of Llama 2 7B is the preset", () => {
    expect(configFromHuggingFace(llama2, "config.json")).toEqual(presetConfig("llama-2-7b", 32_000));
  });

  test("comes back as it was written", () => {
    fc.assert(
      fc.property(anyConfig, (config) => {
        const json: unknown = JSON.parse(JSON.stringify(configToHuggingFace(config, { bosId: 1, eosId: 2 })));
        expect(configFromHuggingFace(json, "config.json")).toEqual(config);
      }),
    );
  });

  test("as written has the keys that transformers' LlamaConfig reads", () => {
    const config = presetConfig("stories-260k", 512);
    expect(configToHuggingFace(config, { bosId: 1, eosId: 2 })).toMatchInlineSnapshot(`
      {
        "architectures": [
          "LlamaForCausalLM",
        ],
        "attention_bias": false,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": 8,
        "hidden_act": "silu",
        "hidden_size": 64,
        "intermediate_size": 172,
        "max_position_embeddings": 512,
        "mlp_bias": false,
        "model_type": "llama",
        "num_attention_heads": 8,
        "num_hidden_layers": 5,
        "num_key_value_heads": 4,
        "rms_norm_eps": 0.00001,
        "rope_scaling": null,
        "rope_theta": 10000,
        "tie_word_embeddings": true,
        "vocab_size": 512,
      }
    `);
  });

  test("of a Llama 1 conversion lacks the groups and the RoPE base, and may name the context its old way", () => {
    const { num_key_value_heads: _, max_position_embeddings: __, ...old } = llama2;
    const config = configFromHuggingFace(
      { ...old, max_sequence_length: 2048, rms_norm_eps: 1e-6 },
      "config.json",
    );
    expect(config).toEqual(presetConfig("llama-7b", 32_000));
  });

  test("of transformers 5 keeps RoPE's base in rope_parameters", () => {
    const rope = { rope_parameters: { rope_type: "default", rope_theta: 500_000 } };
    expect(configFromHuggingFace({ ...llama2, ...rope }, "config.json").ropeTheta).toBe(500_000);
  });

  test("may give heads a width of their own, or leave it null", () => {
    expect(configFromHuggingFace({ ...llama2, head_dim: 64 }, "config.json").headDim).toBe(64);
    expect(configFromHuggingFace({ ...llama2, head_dim: null }, "config.json").headDim).toBe(128);
  });

  test("of what Cria cannot run is refused, by the file's own names", () => {
    const refused: Record<string, unknown> = {
      "is no object": [1, 2],
      "is of another model": { ...llama2, model_type: "mistral" },
      "names no model": {},
      "scales RoPE in a way of its own": { ...llama2, rope_scaling: { type: "longrope", factor: 2 } },
      "scales RoPE by an unknown factor": {
        ...llama2,
        rope_parameters: { rope_type: "llama3", rope_theta: 5e5 },
      },
      "scales RoPE down": { ...llama2, rope_scaling: { type: "linear", factor: 0.5 } },
      "has attention biases": { ...llama2, attention_bias: true },
      "has feed-forward biases": { ...llama2, mlp_bias: true },
      "has another activation": { ...llama2, hidden_act: "gelu" },
      "turns part of a head": { ...llama2, partial_rotary_factor: 0.5 },
      "has packed weights": { ...llama2, quantization_config: { quant_method: "gptq" } },
      "lacks a size": { ...llama2, intermediate_size: undefined },
      "has a size in words": { ...llama2, hidden_size: "large" },
      "has groups that do not divide": { ...llama2, num_key_value_heads: 5 },
      "asks for a billion layers": { ...llama2, num_hidden_layers: 1e9 },
      "hides a long text": { ...llama2, model_type: "x".repeat(1e6) },
    };
    expect(refusals(refused, (json) => configFromHuggingFace(json, "config.json"))).toMatchInlineSnapshot(`
      "is no object
      FormatError: config.json: is not a JSON object
        Give the config.json that lies beside the model's weights.
      is of another model
      FormatError: config.json: model_type is "mistral", which Cria cannot run
        Cria reads models of the Llama 1 and 2 shape.
      names no model
      FormatError: config.json: model_type is missing
        Cria reads models of the Llama 1 and 2 shape.
      scales RoPE in a way of its own
      FormatError: config.json: rope_scaling is "longrope", which Cria cannot run
        Cria runs plain RoPE and the kinds linear, dynamic, yarn and llama3.
      scales RoPE by an unknown factor
      FormatError: config.json: rope_scaling.factor is missing
        Cria runs plain RoPE and the kinds linear, dynamic, yarn and llama3.
      scales RoPE down
      FormatError: config.json: RoPE's factor (0.5) is not a number of at least 1
        Cria runs plain RoPE and the kinds linear, dynamic, yarn and llama3.
      has attention biases
      FormatError: config.json: attention_bias is true, which Cria cannot run
        Llama 1 and 2 have no biases.
      has feed-forward biases
      FormatError: config.json: mlp_bias is true, which Cria cannot run
        Llama 1 and 2 have no biases.
      has another activation
      FormatError: config.json: hidden_act is "gelu", which Cria cannot run
        Llama's feed-forward layer is SwiGLU.
      turns part of a head
      FormatError: config.json: partial_rotary_factor is 0.5, which Cria cannot run
        Llama turns whole heads.
      has packed weights
      FormatError: config.json: quantization_config is an object, which Cria cannot run
        Use the model's f32, f16 or bf16 weights, or a GGUF file.
      lacks a size
      FormatError: config.json: intermediate_size is missing
        The file may be cut or of another kind of model.
      has a size in words
      FormatError: config.json: hidden_size is "large", not one number
        Cria reads models whose layers are all alike, each size one number.
      has groups that do not divide
      FormatError: config.json: num_attention_heads (32) is not a multiple of num_key_value_heads (5)
        Set num_key_value_heads to a divisor of 32, or to 32 for plain multi-head attention.
      asks for a billion layers
      FormatError: config.json: num_hidden_layers (1000000000) is not a whole number from 1 to 1024
        Set num_hidden_layers to a whole number from 1 to 1024.
      hides a long text
      FormatError: config.json: model_type is "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…", which Cria cannot run
        Cria reads models of the Llama 1 and 2 shape."
    `);
  });
});

describe("GGUF's metadata", () => {
  test("comes back as it was written, reals by way of f32", () => {
    fc.assert(
      fc.property(anyConfig, (config) => {
        expect(configFromGguf(written(config), { hasOutput: !config.isTied })).toEqual(config);
      }),
    );
  });

  test("has the keys that llama.cpp reads", () => {
    const lines = ggufConfigMetadata(presetConfig("llama-2-70b", 32_000)).map((entry) => entry.join(" "));
    expect(lines.join("\n")).toMatchInlineSnapshot(`
      "general.architecture string llama
      llama.vocab_size uint32 32000
      llama.context_length uint32 4096
      llama.embedding_length uint32 8192
      llama.block_count uint32 80
      llama.feed_forward_length uint32 28672
      llama.attention.head_count uint32 64
      llama.attention.head_count_kv uint32 8
      llama.attention.key_length uint32 128
      llama.attention.value_length uint32 128
      llama.rope.dimension_count uint32 128
      llama.rope.freq_base float32 10000
      llama.attention.layer_norm_rms_epsilon float32 0.00001"
    `);
  });

  test("counts the vocabulary by the tokenizer's list, where there is one", () => {
    const metadata = writtenLlama2().set("tokenizer.ggml.tokens", ["<unk>", "<s>", "</s>"]);
    expect(configFromGguf(metadata, { hasOutput: true }).vocabSize).toBe(3);
  });

  test("of older files lacks groups, head width and RoPE base", () => {
    const metadata = writtenLlama2();
    for (const key of ["attention.head_count_kv", "attention.key_length", "attention.value_length"]) {
      metadata.delete(`llama.${key}`);
    }
    metadata.delete("llama.rope.freq_base");
    expect(configFromGguf(metadata, { hasOutput: true })).toEqual(presetConfig("llama-2-7b", 32_000));
  });

  test("may list one number for each layer when all are equal, and may be wider than 32 bits", () => {
    const metadata = writtenLlama2()
      .set("llama.attention.head_count_kv", Int32Array.of(8, 8, 8))
      .set("llama.embedding_length", 4096n);
    const config = configFromGguf(metadata, { hasOutput: true });
    expect([config.nKvHeads, config.dim]).toEqual([8, 4096]);
  });

  test("of what Cria cannot run is refused, by its own keys", () => {
    const refused: Record<string, [key: string, value: unknown]> = {
      "of another architecture": ["general.architecture", "qwen2"],
      "of a mixture of experts": ["llama.expert_count", 8],
      "with scaled RoPE": ["llama.rope.scaling.type", "longrope"],
      "with layers that differ": ["llama.feed_forward_length", Int32Array.of(64, 128)],
      "that turns part of a head": ["llama.rope.dimension_count", 64],
      "with values wider than keys": ["llama.attention.value_length", 256],
      "without layers": ["llama.block_count", 0],
      "with 2^63 layers": ["llama.block_count", 2n ** 63n],
      "without a width": ["llama.embedding_length", undefined],
      "with an ε that is not a number": ["llama.attention.layer_norm_rms_epsilon", NaN],
    };
    const answers = refusals(refused, ([key, value]) =>
      configFromGguf(writtenLlama2().set(key, value), { hasOutput: true }, "model.gguf"),
    );
    expect(answers).toMatchInlineSnapshot(`
      "of another architecture
      FormatError: model.gguf: general.architecture is "qwen2", which Cria cannot run
        Cria reads models of the Llama 1 and 2 shape.
      of a mixture of experts
      FormatError: model.gguf: llama.expert_count is 8, which Cria cannot run
        Mixtures of experts are no Llama 1 or 2.
      with scaled RoPE
      FormatError: model.gguf: llama.rope.scaling.type is "longrope", which Cria cannot run
        Cria runs plain RoPE and the kinds linear, dynamic, yarn and llama3.
      with layers that differ
      FormatError: model.gguf: llama.feed_forward_length is a list of 2, not one number
        Cria reads models whose layers are all alike, each size one number.
      that turns part of a head
      FormatError: model.gguf: llama.rope.dimension_count (64) is not the width of a head (128)
        Cria turns whole heads and keeps values as wide as keys, as every Llama 1 and 2 does; this is another model.
      with values wider than keys
      FormatError: model.gguf: llama.attention.value_length (256) is not the width of a head (128)
        Cria turns whole heads and keeps values as wide as keys, as every Llama 1 and 2 does; this is another model.
      without layers
      FormatError: model.gguf: llama.block_count (0) is not a whole number from 1 to 1024
        Set llama.block_count to a whole number from 1 to 1024.
      with 2^63 layers
      FormatError: model.gguf: llama.block_count (9223372036854776000) is not a whole number from 1 to 1024
        Set llama.block_count to a whole number from 1 to 1024.
      without a width
      FormatError: model.gguf: llama.embedding_length is missing
        The file may be cut or of another kind of model.
      with an ε that is not a number
      FormatError: model.gguf: llama.attention.layer_norm_rms_epsilon (NaN) is not a number in [0, 1)
        Llama 2 uses 1e-5, Llama 1 uses 1e-6."
    `);
  });
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
