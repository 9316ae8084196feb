/**
 * Which tensor is stored in which type under a name such as q4_K_M: the tensors that a quantised model suffers from
 * most get more bits.
 *
 * The rules are llama.cpp's for the Llama architecture without an importance matrix (llama-quant.cpp of the pinned
 * release), because its users know the files by these names; a differential test holds them against the library.
 */

import { ConfigError } from "../errors/errors.ts";
import { nearestName } from "../errors/nearest.ts";
import { tensorLayout } from "../formats/tensor-info.ts";
import type { FloatType } from "../tensor/dtype.ts";
import type { QuantisableType } from "../tensor/quantise.ts";
import type { Shape } from "../tensor/shape.ts";
import type { LlamaConfig } from "./config.ts";

/** A type that weights are put into. */
export type WrittenType = FloatType | QuantisableType;

export type MixName = keyof typeof mixes;

export const mixNames = (): MixName[] => Object.keys(mixes) as MixName[];

/** @throws {ConfigError} naming the nearest. */
export function mixNamed(name: string): MixName {
  const lower = name.toLowerCase();
  const wanted = shortNames[lower] ?? lower;
  if (Object.hasOwn(mixes, wanted)) return wanted as MixName;
  const nearest = nearestName(wanted, mixNames());
  throw new ConfigError(`no type of weights is called ${JSON.stringify(name)}`, {
    mend: `${nearest === undefined ? "" : `Did you mean ${nearest}? `}There are ${mixNames().join(", ")}.`,
  });
}

/** The number that GGUF's general.file_type has for it. */
export function fileTypeOf(mix: MixName): number {
  return mixes[mix].fileType;
}

/** Whether all matrices are stored as plain floats. */
export function isFloatMix(mix: MixName): mix is FloatType {
  return mix === "f32" || mix === "f16" || mix === "bf16";
}

/** @param name Meta's. */
export function typeInMix(mix: MixName, name: string, shape: Shape, config: LlamaConfig): WrittenType {
  if (shape.length === 1) return "f32";
  if (isFloatMix(mix)) return mix;
  const columns = shape.at(-1)!;
  const wanted = wantedType(mix, name, columns, config);
  return fitting(isSharedByMany(name, config) && isSmall(wanted) ? "q5_k" : wanted, columns);
}

// --- internal ---

/** In Llama 2 70B eight query heads share each value head: wv is small, and its errors count eight times. */
function isSharedByMany(name: string, { nLayers, nHeads, nKvHeads }: LlamaConfig): boolean {
  return nLayers === 80 && nHeads !== nKvHeads && name.endsWith(".wv.weight");
}

function isSmall(type: WrittenType): boolean {
  return type === "q3_k" || type === "q4_k";
}

interface Mix {
  readonly fileType: number;
  /** What a matrix is stored in unless a rule says otherwise. */
  readonly type: WrittenType;
  readonly rules?: Rules;
}

/** What some tensors of a layer are stored in; undefined for the mix's own type. */
interface Rules {
  readonly wv?: (place: Place) => WrittenType | undefined;
  readonly w2?: (place: Place) => WrittenType | undefined;
  readonly wo?: WrittenType;
}

interface Place {
  readonly layer: number;
  readonly nLayers: number;
  /** Query heads for each key-value head. */
  readonly group: number;
}

/** The first and last eighth of the layers, and every third between. */
function wantsMore({ layer, nLayers }: Place): boolean {
  const eighth = Math.floor(nLayers / 8);
  return layer < eighth || layer >= Math.floor((7 * nLayers) / 8) || (layer - eighth) % 3 === 2;
}

function isEarly({ layer, nLayers }: Place): boolean {
  return layer < Math.floor(nLayers / 8);
}

const moreInSome: Rules = {
  wv: (place) => (wantsMore(place) ? "q6_k" : undefined),
  w2: (place) => (wantsMore(place) ? "q6_k" : undefined),
};

const iq4: Rules = {
  wv: ({ group }) => (group >= 4 ? "q5_k" : undefined),
  w2: (place) => (isEarly(place) ? "q5_k" : undefined),
};

/** What llama.cpp's quantiser takes too. */
const shortNames: Readonly<Record<string, MixName>> = { q5_k: "q5_k_m", q4_k: "q4_k_m", q3_k: "q3_k_m" };

const mixes = {
  f32: { fileType: 0, type: "f32" },
  f16: { fileType: 1, type: "f16" },
  bf16: { fileType: 32, type: "bf16" },
  q8_0: { fileType: 7, type: "q8_0" },
  q6_k: { fileType: 18, type: "q6_k" },
  q5_k_m: { fileType: 17, type: "q5_k", rules: moreInSome },
  q5_k_s: { fileType: 16, type: "q5_k" },
  q5_1: { fileType: 9, type: "q5_1" },
  q5_0: { fileType: 8, type: "q5_0" },
  q4_k_m: { fileType: 15, type: "q4_k", rules: moreInSome },
  q4_k_s: {
    fileType: 14,
    type: "q4_k",
    rules: {
      wv: ({ layer }) => (layer < 4 ? "q5_k" : undefined),
      w2: (place) => (isEarly(place) ? "q5_k" : undefined),
    },
  },
  q4_1: { fileType: 3, type: "q4_1" },
  q4_0: { fileType: 2, type: "q4_0" },
  iq4_xs: { fileType: 30, type: "iq4_xs", rules: iq4 },
  iq4_nl: { fileType: 25, type: "iq4_nl", rules: iq4 },
  q3_k_l: { fileType: 13, type: "q3_k", rules: { wv: () => "q5_k", w2: () => "q5_k", wo: "q5_k" } },
  q3_k_m: {
    fileType: 12,
    type: "q3_k",
    rules: {
      wv: ({ layer }) => (layer < 2 ? "q5_k" : "q4_k"),
      w2: ({ layer, nLayers }) => (layer < Math.floor(nLayers / 16) ? "q5_k" : "q4_k"),
      wo: "q4_k",
    },
  },
  q3_k_s: { fileType: 11, type: "q3_k" },
  q2_k: {
    fileType: 10,
    type: "q2_k",
    rules: { wv: ({ group }) => (group >= 4 ? "q4_k" : "q3_k"), w2: () => "q3_k", wo: "q3_k" },
  },
} as const satisfies Record<string, Mix>;

function wantedType(mix: MixName, name: string, columns: number, config: LlamaConfig): WrittenType {
  const { type, rules = {} }: Mix = mixes[mix];
  const isHead = name === (config.isTied ? "tok_embeddings.weight" : "output.weight");
  if (isHead) return columns % tensorLayout(type).block !== 0 || type === "q8_0" ? "q8_0" : "q6_k";
  const [, layer, matrix] = /^layers\.(\d+)\.\w+\.(\w+)\.weight$/.exec(name) ?? [];
  return layer === undefined ? type : (byRule(rules, matrix, Number(layer), config) ?? type);
}

function byRule(
  rules: Rules,
  matrix: string | undefined,
  layer: number,
  { nLayers, nHeads, nKvHeads }: LlamaConfig,
): WrittenType | undefined {
  const place = { layer, nLayers, group: Math.floor(nHeads / nKvHeads) };
  if (matrix === "w2") return rules.w2?.(place);
  return matrix === "wv" ? rules.wv?.(place) : matrix === "wo" ? rules.wo : undefined;
}

/** Rows that are no multiple of 256 get the type with blocks of 32 that comes next in size. */
function fitting(type: WrittenType, columns: number): WrittenType {
  if (columns % tensorLayout(type).block === 0) return type;
  const smaller = smallerBlocks[type];
  return smaller !== undefined && columns % tensorLayout(smaller).block === 0 ? smaller : "f16";
}

const smallerBlocks: Partial<Record<WrittenType, WrittenType>> = {
  q2_k: "q4_0",
  q3_k: "q4_0",
  q4_k: "q5_0",
  q5_k: "q5_1",
  q6_k: "q8_0",
  iq4_xs: "iq4_nl",
};
