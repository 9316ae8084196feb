import { mkdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  configFromGguf,
  configFromHuggingFace,
  configToHuggingFace,
  ggufConfigMetadata,
} from "../../src/model/config.ts";
import { llamaConfig, type LlamaConfig } from "../../src/model/config.ts";
import { convertModel } from "../../src/model/convert.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openWeights, readModelFiles } from "../../src/model/load.ts";
import {
  dynamicTheta,
  frequencyDivisors,
  yarnAttention,
  type RopeScaling,
} from "../../src/model/rope-scaling.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { Graph } from "../../src/tensor/graph.ts";
import { rope, type Rotation } from "../../src/tensor/rope.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { openTokenizer } from "../../src/tokenizer/open.ts";
import { messageOf, openWorkspace } from "../formats/workspace.ts";
import { relativeDifference, tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";

const kinds: Readonly<Record<string, RopeScaling>> = {
  linear: { type: "linear", factor: 2 },
  dynamic: { type: "dynamic", factor: 2, originalContext: 64 },
  yarn: {
    type: "yarn",
    factor: 4,
    originalContext: 16,
    betaFast: 32,
    betaSlow: 1,
    attentionFactor: yarnAttention(4),
  },
  llama3: { type: "llama3", factor: 8, originalContext: 8192, lowFreqFactor: 1, highFreqFactor: 4 },
};
const scaled = (ropeScaling: RopeScaling): LlamaConfig => ({ ...tinyConfig, ropeScaling });

/** The angles by which rope turns the pairs of a head of ones at a position. */
async function angles(config: LlamaConfig, rotation: Rotation, position: number): Promise<number[]> {
  using backend = openBackend({ threads: 1 });
  using graph = new Graph("rope", backend, { capacity: 16 });
  const unit = Float32Array.from({ length: config.headDim }, (_, i) => (i % 2 === 0 ? 1 : 0));
  const x = graph.constant(unit, [1, 1, 1, config.headDim]);
  const y = rope(graph, x, graph.constant(Int32Array.of(position), [1], { dtype: "i32" }), rotation);
  graph.output(y);
  graph.allocate();
  await graph.compute();
  const turned = y.readF32();
  return Array.from({ length: config.headDim / 2 }, (_, i) => Math.atan2(turned[2 * i + 1]!, turned[2 * i]!));
}

describe("a pair turns", () => {
  const config = llamaConfig({ ...tinyConfig, headDim: 8, ropeTheta: 16 });
  // θ = 16, d = 8: ω = 1, 1/2, 1/4, 1/8.
  test("by the position times θ^(-2i/d)", async () => {
    const found = await angles(config, { theta: 16 }, 2);
    for (const [i, expected] of [2, 1, 0.5, 0.25].entries()) expect(found[i]).toBeCloseTo(expected, 5);
  });
  test("by a fraction of that, when positions are interpolated", async () => {
    const found = await angles(config, { theta: 16, factor: 4 }, 2);
    for (const [i, expected] of [0.5, 0.25, 0.125, 0.0625].entries())
      expect(found[i]).toBeCloseTo(expected, 5);
  });
  test("by YaRN as it is where it is fast, divided where it is slow, and grows by the attention's factor", async () => {
    // 2π tokens: the pairs turn 1, 1/2, 1/4 and 1/8 times in them. Up to the pair that turns 1/2 times nothing
    // changes; from the one that turns 1/8 times on all is divided; the one between has the mean.
    const yarn = { originalContext: 2 * Math.PI, betaFast: 0.5, betaSlow: 0.125, attention: 3 };
    using backend = openBackend({ threads: 1 });
    using graph = new Graph("rope", backend, { capacity: 16 });
    const x = graph.constant(Float32Array.of(1, 0, 1, 0, 1, 0, 1, 0), [1, 1, 1, 8]);
    // ggml counts the original context in whole tokens: 6 turn the same pairs at these thresholds.
    const rotation = { theta: 16, factor: 2, yarn: { ...yarn, originalContext: 6 } };
    const y = rope(graph, x, graph.constant(Int32Array.of(1), [1], { dtype: "i32" }), rotation);
    graph.output(y);
    graph.allocate();
    await graph.compute();
    const turned = y.readF32();
    const angle = (i: number): number => Math.atan2(turned[2 * i + 1]!, turned[2 * i]!);
    expect(Math.hypot(turned[0]!, turned[1]!)).toBeCloseTo(3, 5);
    expect(angle(0)).toBeCloseTo(1, 5);
    expect(angle(3)).toBeCloseTo(1 / 16, 5);
  });
});

test("a dynamic base stays within the original context and grows beyond it", () => {
  const config = llamaConfig({
    ...tinyConfig,
    headDim: 4,
    ropeTheta: 10,
    ropeScaling: { type: "dynamic", factor: 2, originalContext: 8 },
  });
  expect(dynamicTheta(config, 8)).toBe(10);
  // (2 · 16 / 8 - 1)^(4 / 2) = 9
  expect(dynamicTheta(config, 16)).toBeCloseTo(90, 10);
  expect(dynamicTheta(tinyConfig, 1e6)).toBe(tinyConfig.ropeTheta);
});

test("Llama 3.1 leaves fast pairs alone, divides slow ones, and takes a mean in between", () => {
  // θ = 16, d = 8: wavelengths 2π, 4π, 8π, 16π. In 8π tokens they turn 4, 2, 1 and 1/2 times.
  const config = llamaConfig({
    ...tinyConfig,
    ropeTheta: 16,
    ropeScaling: {
      type: "llama3",
      factor: 4,
      originalContext: 8 * Math.PI,
      lowFreqFactor: 1,
      highFreqFactor: 3,
    },
  });
  const [fast, middle, slow, slowest] = frequencyDivisors(config)!;
  expect(fast).toBe(1);
  // half of ω and half of ω / 4: 5/8 of it.
  expect(middle).toBeCloseTo(8 / 5, 10);
  expect([slow, slowest].map((divisor) => Number(divisor!.toFixed(10)))).toEqual([4, 4]);
});

describe.each(Object.entries(kinds))("%s", (name, ropeScaling) => {
  test("goes to config.json and back, in both spellings of its kind", () => {
    const config = scaled(ropeScaling);
    const json = configToHuggingFace(config, { bosId: 1, eosId: 2 });
    expect(configFromHuggingFace(json, "config.json")).toEqual(config);
    const { rope_type: kind, type, ...rest } = json["rope_scaling"] as Record<string, unknown>;
    expect([kind, type]).toEqual([name, name]);
    for (const spelling of [{ type: name }, { rope_type: name }]) {
      expect(
        configFromHuggingFace({ ...json, rope_scaling: { ...rest, ...spelling } }, "config.json"),
      ).toEqual(config);
    }
    const five = { rope_parameters: { ...rest, rope_type: name, rope_theta: 10_000 } };
    expect(configFromHuggingFace({ ...json, rope_scaling: undefined, ...five }, "config.json")).toEqual(
      config,
    );
  });

  test("goes to GGUF's metadata and back", () => {
    const config = scaled(ropeScaling);
    const metadata = new Map(
      ggufConfigMetadata(config).map(([key, type, value]) => [
        key,
        type === "float32" ? Math.fround(value) : value,
      ]),
    );
    const ropeDivisors = frequencyDivisors(config);
    const back = configFromGguf(metadata, { hasOutput: true, ropeDivisors });
    if (ropeScaling.type === "llama3") {
      expect(back.ropeScaling).toEqual({ type: "frequencies", divisors: ropeDivisors });
      // Which config.json can say, for they are Llama 3.1's.
      const json = configToHuggingFace(back, { bosId: 1, eosId: 2 });
      expect(configFromHuggingFace(json, "config.json")).toEqual(config);
    } else if (ropeScaling.type === "yarn") {
      expect(back.ropeScaling).toEqual({
        ...ropeScaling,
        attentionFactor: expect.closeTo(ropeScaling.attentionFactor, 6) as number,
      });
    } else {
      expect(back).toEqual(config);
    }
  });
});

test("frequencies that no formula gives go into GGUF only", () => {
  const config = scaled({ type: "frequencies", divisors: [1, 2, 3, 5] });
  expect(messageOf(() => configToHuggingFace(config, { bosId: 1, eosId: 2 }))).toMatchInlineSnapshot(
    `"ConfigError: rope_freqs.weight has frequencies of its own, for which config.json has no word"`,
  );
  const two = new Map<string, unknown>(
    ggufConfigMetadata(scaled(kinds["linear"]!)).map(([key, , value]) => [key, value]),
  );
  expect(
    messageOf(() => configFromGguf(two, { hasOutput: true, ropeDivisors: [1, 1, 1, 1] })),
  ).toMatchInlineSnapshot(`"FormatError: rope_freqs.weight and a scaling of the type "linear" together"`);
  const plain = new Map<string, unknown>(
    ggufConfigMetadata(tinyConfig).map(([key, , value]) => [key, value]),
  );
  expect(
    messageOf(() => configFromGguf(plain, { hasOutput: true, ropeDivisors: [1, 1] })),
  ).toMatchInlineSnapshot(
    `"FormatError: RoPE's number of frequencies (2) is not half the width of a head (8)"`,
  );
  expect(
    messageOf(() => configFromGguf(plain, { hasOutput: true, ropeDivisors: [1, 0, 1, 1] })),
  ).toMatchInlineSnapshot(`"FormatError: RoPE's frequency (0) is not a positive number"`);
});

describe("a model in files", () => {
  let workspace: ReturnType<typeof openWorkspace>;
  beforeAll(() => {
    workspace = openWorkspace();
  });
  afterAll(() => workspace[Symbol.dispose]());

  test.each(Object.keys(kinds))(
    "of the kind %s gives the same logits from a folder, from GGUF and from a folder made of that",
    async (name) => {
      const tokenizer = fable();
      const config = { ...scaled(kinds[name]!), vocabSize: tokenizer.vocabSize };
      const [folder, gguf, back] = [name, `${name}.gguf`, `${name}-back`].map((path) =>
        workspace.file(path),
      ) as [string, string, string];
      mkdirSync(folder, { recursive: true });
      const ids = Int32Array.from({ length: 80 }, (_, i) => (i * 37) % config.vocabSize);
      {
        using backend = openBackend({ threads: 1 });
        using weights = tinyWeights(backend, config);
        saveCheckpoint(folder, { weights, tokenizer, run: { step: 0 } });
      }
      await convertModel({ files: readModelFiles(folder), tokenizer, out: gguf, mix: "f32" });
      await convertModel({
        files: readModelFiles(gguf),
        tokenizer: openTokenizer(gguf),
        out: back,
        mix: "f32",
      });
      const logits: Float32Array[] = [];
      for (const path of [folder, gguf, back]) logits.push(await logitsOf(path, ids));
      expect(relativeDifference(logits[1]!, logits[0]!)).toBeLessThan(2 ** -18);
      expect(relativeDifference(logits[2]!, logits[0]!)).toBeLessThan(2 ** -18);
      // And not those of a model that does not scale.
      const plain = workspace.file(`${name}-plain`);
      {
        using backend = openBackend({ threads: 1 });
        using weights = tinyWeights(backend, { ...config, ropeScaling: undefined });
        saveCheckpoint(plain, { weights, tokenizer, run: { step: 0 } });
      }
      const differs = relativeDifference(await logitsOf(plain, ids), logits[0]!) > 1e-3;
      // Llama 3.1's frequencies differ only where a head's slowest pair turns less than once in 2048 tokens.
      expect(differs).toBe(true);
    },
  );
});

async function logitsOf(path: string, ids: Int32Array): Promise<Float32Array> {
  using backend = openBackend({ threads: 1 });
  using weights = openWeights(backend, readModelFiles(path));
  using decoder = new Decoder(backend, weights, { contextTokens: ids.length });
  return await decoder.read(ids);
}
