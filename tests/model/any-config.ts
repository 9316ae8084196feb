/** Configurations for tests of their formats. */

import * as fc from "fast-check";
import { ggufConfigMetadata, llamaConfig, type LlamaConfig } from "../../src/model/config.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { errorOf } from "./error-of.ts";

export const essential = { dim: 256, nLayers: 2, nHeads: 8, vocabSize: 1000 };

/** Any small valid configuration; its reals have few digits, as people write them. */
export const anyConfig: fc.Arbitrary<LlamaConfig> = fc
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
export function written(config: LlamaConfig): Map<string, unknown> {
  const entries = ggufConfigMetadata(config);
  return new Map(entries.map(([key, type, value]) => [key, type === "float32" ? Math.fround(value) : value]));
}

export const writtenLlama2 = (): Map<string, unknown> => written(presetConfig("llama-2-7b", 32_000));

/** What each case is answered with. */
export function refusals<Case>(
  cases: Readonly<Record<string, Case>>,
  read: (value: Case) => unknown,
): string {
  const answers = Object.entries(cases).map(([title, value]) => `${title}\n${errorOf(() => read(value))}`);
  return answers.join("\n");
}
