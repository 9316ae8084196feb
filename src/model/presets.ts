/**
 * The published shapes of Llama 1, Llama 2 and their small relatives, and shapes of our own for a laptop's CPU.
 *
 * Sources: Llama 1 Table 2; Llama 2 Table 1 and A.2.1; the released configurations; llama2.c and TinyLlama for theirs.
 * A vocabulary is not part of a shape: it comes from the tokenizer.
 */

import { ConfigError } from "../errors/errors.ts";
import { nearestName } from "../errors/nearest.ts";
import { llamaConfig, type LlamaConfig } from "./config.ts";

export type Preset = Omit<LlamaConfig, "vocabSize">;

export const presets: Readonly<Record<string, Preset>> = {
  // Small enough for tests: a step takes milliseconds.
  tiny: small(64, 2, { heads: [2, 1], hiddenDim: 192, maxSeqLen: 256 }),

  // Ours, for two CPU cores. The engine's bf16 products are fast where inner dimensions are multiples of 32, and
  // attention's faster yet with heads of 64; hidden sizes are 8/3 of dim in steps of 64. All share keys and values.
  nano: small(128, 4, { heads: [4, 2], hiddenDim: 384, maxSeqLen: 512 }),
  micro: small(192, 6, { heads: [6, 2], hiddenDim: 512, maxSeqLen: 512 }),
  mini: small(256, 6, { heads: [4, 2], hiddenDim: 704, maxSeqLen: 512 }),
  small: small(384, 8, { heads: [6, 2], hiddenDim: 1024, maxSeqLen: 1024 }),
  base: small(512, 8, { heads: [8, 4], hiddenDim: 1408, maxSeqLen: 1024 }),
  medium: small(768, 12, { heads: [12, 4], hiddenDim: 2048, maxSeqLen: 2048 }),
  large: small(1024, 16, { heads: [16, 4], hiddenDim: 2752, maxSeqLen: 2048 }),

  // llama2.c's TinyStories models.
  "stories-260k": small(64, 5, { heads: [8, 4], hiddenDim: 172, maxSeqLen: 512 }),
  "stories-15m": small(288, 6, { heads: [6, 6], hiddenDim: 768, maxSeqLen: 256 }),
  "stories-42m": small(512, 8, { heads: [8, 8], hiddenDim: 1376, maxSeqLen: 1024 }),
  "stories-110m": small(768, 12, { heads: [12, 12], hiddenDim: 2048, maxSeqLen: 1024 }),

  "tinyllama-1.1b": llama2(2048, 22, { heads: [32, 4], hiddenDim: 5632, maxSeqLen: 2048 }),

  "llama-7b": llama1(4096, 32, { heads: [32, 32], hiddenDim: 11_008, maxSeqLen: 2048 }),
  "llama-13b": llama1(5120, 40, { heads: [40, 40], hiddenDim: 13_824, maxSeqLen: 2048 }),
  "llama-33b": llama1(6656, 60, { heads: [52, 52], hiddenDim: 17_920, maxSeqLen: 2048 }),
  "llama-65b": llama1(8192, 80, { heads: [64, 64], hiddenDim: 22_016, maxSeqLen: 2048 }),

  "llama-2-7b": llama2(4096, 32, { heads: [32, 32], hiddenDim: 11_008, maxSeqLen: 4096 }),
  "llama-2-13b": llama2(5120, 40, { heads: [40, 40], hiddenDim: 13_824, maxSeqLen: 4096 }),
  // Never released; the paper says "34B, GQA". The shape is Code Llama 34B's, which is built on it.
  "llama-2-34b": llama2(8192, 48, { heads: [64, 8], hiddenDim: 22_016, maxSeqLen: 4096 }),
  "llama-2-70b": llama2(8192, 80, { heads: [64, 8], hiddenDim: 28_672, maxSeqLen: 4096 }),
};

/** @throws {ConfigError} when no preset has this name, or the vocabulary's size is no size. */
export function presetConfig(name: string, vocabSize: number): LlamaConfig {
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (preset !== undefined) return llamaConfig({ ...preset, vocabSize });
  const names = Object.keys(presets);
  const nearest = nearestName(name, names);
  throw new ConfigError(`no model preset is called ${JSON.stringify(name)}`, {
    mend: `${nearest === undefined ? "" : `Did you mean "${nearest}"? `}There are ${names.join(", ")}.`,
  });
}

// --- internal ---

interface Rest {
  /** Query heads, and key and value heads. */
  readonly heads: readonly [nHeads: number, nKvHeads: number];
  readonly hiddenDim: number;
  readonly maxSeqLen: number;
}

function llama2(dim: number, nLayers: number, { heads, hiddenDim, maxSeqLen }: Rest): Preset {
  const [nHeads, nKvHeads] = heads;
  const shape = { dim, nLayers, nHeads, nKvHeads, headDim: dim / nHeads, hiddenDim, maxSeqLen };
  return { ...shape, normEps: 1e-5, ropeTheta: 10_000, isTied: false };
}

function llama1(dim: number, nLayers: number, rest: Rest): Preset {
  return { ...llama2(dim, nLayers, rest), normEps: 1e-6 };
}

/** An embedding is most of a small model: its head shares it, as llama2.c's does. */
function small(dim: number, nLayers: number, rest: Rest): Preset {
  return { ...llama2(dim, nLayers, rest), isTied: true };
}
