import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { configFromGguf, ggufConfigMetadata } from "../../src/model/config.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { anyConfig, written, writtenLlama2, refusals } from "./any-config.ts";

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
