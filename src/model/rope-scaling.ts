/**
 * RoPE for contexts longer than a model was pretrained on. A pair i turns by position · ωᵢ, ωᵢ = θ^(-2i / headDim):
 *
 *     linear    ω'ᵢ = ωᵢ / s                                  (Chen et al. 2023, position interpolation)
 *     dynamic   ω'ᵢ = θ'^(-2i / d), θ' = θ (s n / L - s + 1)^(d / (d - 2)) from n > L tokens on; NTK-aware
 *     yarn      ω'ᵢ = (1 - γᵢ) ωᵢ / s + γᵢ ωᵢ, and q and k times 0.1 ln s + 1   (Peng et al. 2023, §3.2 and §3.4)
 *     llama3    ω'ᵢ = ωᵢ, ωᵢ / s or a mean of the two, by how often the pair turns in L tokens
 *
 * with the factor s and the original context of L tokens. NTK with a fixed factor is another θ. A GGUF file may name
 * the quotients ωᵢ / ω'ᵢ themselves, in the tensor `rope_freqs.weight`. Sources: transformers' modeling_rope_utils.py;
 * llama.cpp's keys `llama.rope.scaling.*` and its converter.
 */

import type { CriaError } from "../errors/errors.ts";
import type { LlamaConfig } from "./config.ts";

export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | { readonly type: "dynamic"; readonly factor: number; readonly originalContext: number }
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly originalContext: number;
      /** Pairs that turn more often than this in the original context keep their frequency. */
      readonly betaFast: number;
      /** Pairs that turn less often than this are interpolated. */
      readonly betaSlow: number;
      /** What q and k are multiplied by. */
      readonly attentionFactor: number;
    }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly originalContext: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
    }
  /** ωᵢ / ω'ᵢ. `[headDim / 2]` */
  | { readonly type: "frequencies"; readonly divisors: readonly number[] };

type Values = (key: string) => unknown;
type Refuse = (message: string, mend: string) => CriaError;

/** YaRN's own correction of attention's temperature, for the factor s. */
export function yarnAttention(factor: number): number {
  return factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1;
}

/** θ of the dynamic kind for a context of `tokens`. */
export function dynamicTheta({ ropeTheta, headDim, ropeScaling }: LlamaConfig, tokens: number): number {
  if (ropeScaling?.type !== "dynamic" || tokens <= ropeScaling.originalContext || headDim <= 2)
    return ropeTheta;
  const { factor, originalContext } = ropeScaling;
  const growth = (factor * tokens) / originalContext - (factor - 1);
  return ropeTheta * growth ** (headDim / (headDim - 2));
}

/** ωᵢ / ω'ᵢ where they differ from pair to pair. `[headDim / 2]` */
export function frequencyDivisors({
  ropeTheta,
  headDim,
  ropeScaling,
}: LlamaConfig): readonly number[] | undefined {
  if (ropeScaling?.type === "frequencies") return ropeScaling.divisors;
  if (ropeScaling?.type !== "llama3") return undefined;
  const { factor, originalContext, lowFreqFactor: low, highFreqFactor: high } = ropeScaling;
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * ropeTheta ** ((2 * i) / headDim);
    const turns = originalContext / wavelength;
    if (turns > high) return 1;
    if (turns < low) return factor;
    const smooth = (turns - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/**
 * Of a Hugging Face configuration: `rope_scaling`, or `rope_parameters` as transformers 5 calls it, with the kind
 * under `rope_type` or, before 2024, `type`.
 *
 * @param maxSeqLen what `max_position_embeddings` says.
 */
export function ropeScalingFromHuggingFace(
  at: Values,
  maxSeqLen: number,
  refuse: Refuse,
): RopeScaling | undefined {
  const type: unknown = at("rope_type") ?? at("type") ?? "default";
  const number = numbersOf((key) => [`rope_scaling.${key}`, at(key)], refuse);
  const originalContext = (): number => number("original_max_position_embeddings", maxSeqLen);
  switch (type) {
    case "default":
      return undefined;
    case "linear":
      return { type: "linear", factor: number("factor") };
    case "dynamic":
      return { type: "dynamic", factor: number("factor"), originalContext: originalContext() };
    case "yarn": {
      if (at("truncate") === false)
        throw refuse("rope_scaling.truncate is false, which Cria cannot run", kinds);
      const factor = number("factor");
      const [mscale, overall] = [number("mscale", 0), number("mscale_all_dim", 0)];
      const temperature = (scale: number): number => scale * (yarnAttention(factor) - 1) + 1;
      const usual =
        mscale > 0 && overall > 0 ? temperature(mscale) / temperature(overall) : yarnAttention(factor);
      return {
        type: "yarn",
        factor,
        originalContext: originalContext(),
        betaFast: number("beta_fast", 32),
        betaSlow: number("beta_slow", 1),
        attentionFactor: number("attention_factor", usual),
      };
    }
    case "llama3":
      return {
        type: "llama3",
        factor: number("factor"),
        originalContext: originalContext(),
        lowFreqFactor: number("low_freq_factor", 1),
        highFreqFactor: number("high_freq_factor", 4),
      };
    default:
      throw refuse(`rope_scaling is ${JSON.stringify(type)}, which Cria cannot run`, kinds);
  }
}

/**
 * What transformers reads; both spellings of the kind, for versions old and new.
 *
 * @throws `refuse`'s error for frequencies that are not of a kind that transformers knows.
 */
export function ropeScalingToHuggingFace(
  config: LlamaConfig,
  refuse: Refuse,
): Record<string, unknown> | null {
  const scaling = config.ropeScaling?.type === "frequencies" ? knownKind(config) : config.ropeScaling;
  if (scaling === undefined) return null;
  const { type } = scaling;
  const head = { rope_type: type, type };
  switch (type) {
    case "linear":
      return { ...head, factor: scaling.factor };
    case "dynamic":
      return { ...head, ...factorAndContext(scaling) };
    case "yarn":
      return {
        ...head,
        ...factorAndContext(scaling),
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        attention_factor: scaling.attentionFactor,
      };
    case "llama3":
      return {
        ...head,
        ...factorAndContext(scaling),
        low_freq_factor: scaling.lowFreqFactor,
        high_freq_factor: scaling.highFreqFactor,
      };
    case "frequencies":
      throw refuse(
        "rope_freqs.weight has frequencies of its own, for which config.json has no word",
        "Write a .gguf file, which can hold them.",
      );
  }
}

/**
 * Of GGUF's metadata.
 *
 * @param divisors `rope_freqs.weight`, when the file has it.
 */
export function ropeScalingFromGguf(
  at: Values,
  { maxSeqLen, divisors }: { readonly maxSeqLen: number; readonly divisors?: readonly number[] | undefined },
  refuse: Refuse,
): RopeScaling | undefined {
  const type = at(ggufKeys.type) ?? "linear";
  const number = numbersOf((key) => [key, at(key)], refuse);
  const factor = number(ggufKeys.factor, number("llama.rope.scale_linear", 1));
  const originalContext = number(ggufKeys.originalContext, maxSeqLen);
  const isPlain = type === "none" || (type === "linear" && factor === 1);
  if (divisors !== undefined) {
    if (isPlain) return { type: "frequencies", divisors };
    throw refuse(`rope_freqs.weight and a scaling of the type ${JSON.stringify(type)} together`, kinds);
  }
  if (at(ggufKeys.dynamicFactor) !== undefined) {
    return { type: "dynamic", factor: number(ggufKeys.dynamicFactor), originalContext };
  }
  if (isPlain) return undefined;
  if (type === "linear") return { type, factor };
  if (type !== "yarn") {
    throw refuse(`${ggufKeys.type} is ${JSON.stringify(type)}, which Cria cannot run`, kinds);
  }
  // llama.cpp takes attn_factor as a multiple of YaRN's own; its converter writes the product under the other name.
  const usual = yarnAttention(factor);
  const attention = usual * number(ggufKeys.attention, number(ggufKeys.yarnAttention, usual) / usual);
  return {
    type,
    factor,
    originalContext,
    betaFast: number(ggufKeys.betaFast, 32),
    betaSlow: number(ggufKeys.betaSlow, 1),
    attentionFactor: attention,
  };
}

/** Keys and values for GGUF's metadata; frequencies go into a tensor, which `frequencyDivisors` has. */
export function ropeScalingToGguf(
  scaling: RopeScaling | undefined,
): (
  | readonly [key: string, type: "string", value: string]
  | readonly [string, "uint32" | "float32", number]
)[] {
  if (scaling === undefined || scaling.type === "frequencies" || scaling.type === "llama3") return [];
  const { factor } = scaling;
  if (scaling.type === "linear") {
    return [
      [ggufKeys.type, "string", "linear"],
      [ggufKeys.factor, "float32", factor],
    ];
  }
  const { originalContext } = scaling;
  if (scaling.type === "dynamic") {
    return [
      [ggufKeys.originalContext, "uint32", originalContext],
      [ggufKeys.dynamicFactor, "float32", factor],
    ];
  }
  const { attentionFactor } = scaling;
  return [
    [ggufKeys.type, "string", "yarn"],
    [ggufKeys.factor, "float32", factor],
    [ggufKeys.originalContext, "uint32", originalContext],
    [ggufKeys.attention, "float32", attentionFactor / yarnAttention(factor)],
    [ggufKeys.yarnAttention, "float32", attentionFactor],
    [ggufKeys.betaFast, "float32", scaling.betaFast],
    [ggufKeys.betaSlow, "float32", scaling.betaSlow],
  ];
}

/** The tensor that GGUF has for frequencies of a model's own: its name and values. */
export function ropeFrequencies(
  config: LlamaConfig,
): readonly [name: string, values: Float32Array] | undefined {
  const divisors = frequencyDivisors(config);
  return divisors && [ropeFrequenciesName, Float32Array.from(divisors)];
}

export const ropeFrequenciesName = "rope_freqs.weight";

/** @throws `refuse`'s error for numbers that no rotation can have. */
export function checkRopeScaling({ ropeScaling, headDim }: LlamaConfig, refuse: Refuse): void {
  if (ropeScaling === undefined) return;
  const say = (what: string, value: number, wanted: string): CriaError =>
    refuse(`RoPE's ${what} (${value}) is not ${wanted}`, kinds);
  if (ropeScaling.type === "frequencies") {
    const { divisors } = ropeScaling;
    if (divisors.length !== headDim / 2) {
      throw say("number of frequencies", divisors.length, `half the width of a head (${headDim})`);
    }
    const wrong = divisors.find((divisor) => !isPositive(divisor));
    if (wrong !== undefined) throw say("frequency", wrong, "a positive number");
    return;
  }
  const { type, factor, ...others } = ropeScaling;
  if (!(isPositive(factor) && factor >= 1)) throw say("factor", factor, "a number of at least 1");
  for (const [name, value] of Object.entries(others)) {
    if (!isPositive(value)) throw say(name, value, "a positive number");
  }
  if (type === "llama3" && ropeScaling.highFreqFactor <= ropeScaling.lowFreqFactor) {
    throw say(
      "highFreqFactor",
      ropeScaling.highFreqFactor,
      `above lowFreqFactor (${ropeScaling.lowFreqFactor})`,
    );
  }
}

/** In words, for people. */
export function ropeScalingText(scaling: RopeScaling | undefined): string {
  if (scaling === undefined) return "none";
  if (scaling.type === "frequencies")
    return `${scaling.divisors.length} frequencies of its own (rope_freqs.weight)`;
  const { type, factor } = scaling;
  return type === "linear"
    ? `linear, by ${factor}`
    : `${type}, by ${factor} from ${scaling.originalContext} tokens`;
}

// --- internal ---

const kinds = "Cria runs plain RoPE and the kinds linear, dynamic, yarn and llama3.";

const ggufKeys = {
  type: "llama.rope.scaling.type",
  factor: "llama.rope.scaling.factor",
  originalContext: "llama.rope.scaling.original_context_length",
  attention: "llama.rope.scaling.attn_factor",
  yarnAttention: "llama.rope.scaling.yarn_attn_factor",
  betaFast: "llama.rope.scaling.yarn_beta_fast",
  betaSlow: "llama.rope.scaling.yarn_beta_slow",
  /** Cria's own: llama.cpp knows no such kind, and runs the model within its original context. */
  dynamicFactor: "cria.rope.scaling.dynamic_factor",
} as const;

/** How close f32 quotients are to those of a formula. */
const sameFrequency = 1e-5;

const llama3 = { type: "llama3", originalContext: 8192, lowFreqFactor: 1, highFreqFactor: 4 } as const;

function numbersOf(
  at: (key: string) => readonly [name: string, value: unknown],
  refuse: Refuse,
): (key: string, fallback?: number) => number {
  return (key, fallback) => {
    const [name, given] = at(key);
    const value = given ?? fallback;
    if (typeof value === "number") return value;
    throw refuse(value === undefined ? `${name} is missing` : `${name} is not a number`, kinds);
  };
}

function isPositive(value: number): boolean {
  return value > 0 && value < Number.POSITIVE_INFINITY;
}

function factorAndContext(scaling: { readonly factor: number; readonly originalContext: number }): object {
  return { factor: scaling.factor, original_max_position_embeddings: scaling.originalContext };
}

/** Quotients of a file are Llama 3.1's or 3.2's when its formula gives them. */
function knownKind(config: LlamaConfig): RopeScaling | undefined {
  const { ropeScaling } = config;
  if (ropeScaling?.type !== "frequencies") return ropeScaling;
  const { divisors } = ropeScaling;
  if (divisors.every((divisor) => divisor === 1)) return undefined;
  // Llama 3.1 and 3.2, and whatever else has their proportions.
  const factors = new Set([8, 32, Math.round(Math.max(...divisors))]);
  const guesses = Array.from(factors, (factor): RopeScaling => ({ ...llama3, factor }));
  return (
    guesses.find((guess) => {
      const expected = frequencyDivisors({ ...config, ropeScaling: guess })!;
      return divisors.every((divisor, i) => Math.abs(divisor / expected[i]! - 1) < sameFrequency);
    }) ?? ropeScaling
  );
}
