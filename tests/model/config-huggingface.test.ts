import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { configFromHuggingFace, configToHuggingFace } from "../../src/model/config.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { anyConfig, refusals } from "./any-config.ts";

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
