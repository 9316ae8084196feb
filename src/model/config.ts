/**
 * The shape of a Llama model, and its two homes outside Cria: Hugging Face's config.json and GGUF's metadata.
 *
 * A configuration is checked once, here, whatever it came from: what follows may multiply its numbers without care.
 * Names are the paper's (docs/notation.md); an error uses the names of the file that was read.
 *
 * Sources: Llama 2 §2.2 and appendix A.2.1; transformers' LlamaConfig; the GGUF specification, "LLM" and "Attention".
 */

import { ConfigError, FormatError } from "../errors/errors.ts";
import {
  checkRules,
  ggufNames,
  ggufRules,
  huggingFaceNames,
  huggingFaceRules,
  isList,
  isRecord,
  numberAt,
  oneForAllLayers,
  optionalNumberAt,
  recipeNames,
  shortestDecimal,
  shown,
  type Origin,
  type Source,
} from "./config-source.ts";
import {
  checkRopeScaling,
  ropeScalingFromGguf,
  ropeScalingFromHuggingFace,
  ropeScalingToGguf,
  ropeScalingToHuggingFace,
  type RopeScaling,
} from "./rope-scaling.ts";

export interface LlamaConfig {
  /** Width D of the residual stream. */
  readonly dim: number;
  readonly nLayers: number;
  /** Query heads H. */
  readonly nHeads: number;
  /** Key and value heads K, a divisor of H (grouped-query attention, Ainslie et al. 2023). */
  readonly nKvHeads: number;
  /** Width of one head, even, for RoPE turns pairs. */
  readonly headDim: number;
  /** Width of the feed-forward layer between W1, W3 and W2. */
  readonly hiddenDim: number;
  readonly vocabSize: number;
  readonly maxSeqLen: number;
  /** ε of RMSNorm. */
  readonly normEps: number;
  /** Base θ of RoPE's frequencies θ^(-2i/headDim). */
  readonly ropeTheta: number;
  /** How the frequencies are stretched for contexts longer than the pretraining's; left out when they are not. */
  readonly ropeScaling?: RopeScaling | undefined;
  /** Whether the embedding is the output head too. */
  readonly isTied: boolean;
}

type EssentialField = "dim" | "nLayers" | "nHeads" | "vocabSize";

/** What must be said of a model; the rest is Llama 2 7B's rule: plain multi-head attention, §1.2's hidden size. */
export type LlamaFields = Pick<LlamaConfig, EssentialField> & {
  readonly [Field in Exclude<keyof LlamaConfig, EssentialField>]?: LlamaConfig[Field] | undefined;
};

/** Type names are those of the GGUF specification. */
export type GgufConfigEntry =
  | readonly [key: string, type: "string", value: string]
  | readonly [key: string, type: "uint32" | "float32", value: number];

/**
 * @throws {ConfigError} when a size is not a positive integer, when heads do not divide, or when a tensor would
 *         have 2³¹ elements or more.
 */
export function llamaConfig(fields: LlamaFields): LlamaConfig {
  return checkedConfig(fields, {
    names: recipeNames,
    refuse: (message, mend) => new ConfigError(message, { mend }),
  });
}

/**
 * Hidden size of the feed-forward layer by the rule of Meta's reference code: two thirds of 4·dim, times the
 * multiplier (Llama 2 A.2.1: 1.3 where grouped queries saved parameters), rounded up to a multiple.
 */
export function hiddenDimOf(
  dim: number,
  rule: { readonly multipleOf: number; readonly ffnDimMultiplier?: number | undefined },
): number {
  const twoThirds = Math.trunc((2 * 4 * dim) / 3);
  const hiddenDim = Math.trunc((rule.ffnDimMultiplier ?? 1) * twoThirds);
  return Math.ceil(hiddenDim / rule.multipleOf) * rule.multipleOf;
}

/** How many numbers the weights hold. A tied head counts once. */
export function parameterCount(config: LlamaConfig): number {
  const { dim, hiddenDim, vocabSize } = config;
  const attention = dim * config.headDim * (2 * config.nHeads + 2 * config.nKvHeads);
  const layer = attention + 3 * dim * hiddenDim + 2 * dim;
  return vocabSize * dim * (config.isTied ? 1 : 2) + config.nLayers * layer + dim;
}

/**
 * Reads the parsed config.json of a LlamaForCausalLM. Keys it does not know are left alone, as transformers does;
 * what an absent key means is transformers' default.
 *
 * @param file names the file in errors.
 * @throws {FormatError} when the file is not a Llama's, or of a Llama with biases, another activation, RoPE scaled in
 *         a way of its own, or packed weights.
 */
export function configFromHuggingFace(json: unknown, file: string): LlamaConfig {
  const refuse = (message: string, mend: string): FormatError => new FormatError(message, { file, mend });
  if (!isRecord(json)) {
    throw refuse("is not a JSON object", "Give the config.json that lies beside the model's weights.");
  }
  const source: Source = { names: huggingFaceNames, refuse, at: (key) => valueInHuggingFace(json, key) };
  checkRules(huggingFaceRules, source);
  const maxSeqLen = optionalNumberAt(source, "maxSeqLen") ?? 2048;
  return checkedConfig(
    {
      ...requiredNumbers(source),
      hiddenDim: numberAt(source, "hiddenDim"),
      vocabSize: numberAt(source, "vocabSize"),
      nKvHeads: optionalNumberAt(source, "nKvHeads"),
      headDim: optionalNumberAt(source, "headDim"),
      maxSeqLen,
      normEps: optionalNumberAt(source, "normEps") ?? 1e-6,
      ropeTheta: optionalNumberAt(source, "ropeTheta"),
      ropeScaling: ropeScalingFromHuggingFace((key) => ropeSettings(json)[key], maxSeqLen, refuse),
      isTied: json["tie_word_embeddings"] === true,
    },
    source,
  );
}

/**
 * The config.json that transformers' LlamaForCausalLM wants. It leaves the type of the weights to the weights.
 *
 * @throws {ConfigError} for RoPE frequencies of a model's own.
 */
export function configToHuggingFace(
  config: LlamaConfig,
  { bosId, eosId }: { readonly bosId: number; readonly eosId: number },
): Record<string, unknown> {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: config.dim,
    intermediate_size: config.hiddenDim,
    num_hidden_layers: config.nLayers,
    num_attention_heads: config.nHeads,
    num_key_value_heads: config.nKvHeads,
    head_dim: config.headDim,
    vocab_size: config.vocabSize,
    max_position_embeddings: config.maxSeqLen,
    rms_norm_eps: config.normEps,
    rope_theta: config.ropeTheta,
    rope_scaling: ropeScalingToHuggingFace(config, (message, mend) => new ConfigError(message, { mend })),
    hidden_act: "silu",
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: config.isTied,
    bos_token_id: bosId,
    eos_token_id: eosId,
  };
}

/**
 * Reads the metadata of a GGUF file.
 *
 * @param tensors what the file's tensors say: without `output.weight` the head is tied, and `rope_freqs.weight` has
 *                divisors of RoPE's frequencies.
 * @param file    names the file in errors.
 * @throws {FormatError} when the architecture is not llama, or a Llama with experts or layers that differ.
 */
export function configFromGguf(
  metadata: ReadonlyMap<string, unknown>,
  tensors: { readonly hasOutput: boolean; readonly ropeDivisors?: readonly number[] | undefined },
  file?: string,
): LlamaConfig {
  const refuse = (message: string, mend: string): FormatError =>
    new FormatError(message, { mend, ...(file === undefined ? {} : { file }) });
  const at = (key: string): unknown => oneForAllLayers(metadata.get(key));
  const source: Source = { names: ggufNames, refuse, at };
  checkRules(ggufRules, source);
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const maxSeqLen = numberAt(source, "maxSeqLen");
  const scaling = { maxSeqLen, divisors: tensors.ropeDivisors };
  const config = checkedConfig(
    {
      ...requiredNumbers(source),
      hiddenDim: numberAt(source, "hiddenDim"),
      vocabSize: isList(tokens) ? tokens.length : numberAt(source, "vocabSize"),
      maxSeqLen,
      normEps: shortestDecimal(numberAt(source, "normEps")),
      nKvHeads: optionalNumberAt(source, "nKvHeads"),
      headDim: optionalNumberAt(source, "headDim"),
      ropeTheta: shortestDecimal(optionalNumberAt(source, "ropeTheta") ?? 10_000),
      ropeScaling: ropeScalingFromGguf((key) => decimal(at(key)), scaling, refuse),
      isTied: !tensors.hasOutput,
    },
    source,
  );
  for (const key of ["llama.rope.dimension_count", "llama.attention.value_length"]) {
    const width = at(key) ?? config.headDim;
    if (Number(width) !== config.headDim) {
      throw refuse(
        `${key} (${shown(width)}) is not the width of a head (${config.headDim})`,
        "Cria turns whole heads and keeps values as wide as keys, as every Llama 1 and 2 does; this is another model.",
      );
    }
  }
  return config;
}

/** What llama.cpp wants to know of the shape, key by key. The tokenizer's keys come from the tokenizer. */
export function ggufConfigMetadata(config: LlamaConfig): GgufConfigEntry[] {
  return [
    ["general.architecture", "string", "llama"],
    [ggufNames.vocabSize, "uint32", config.vocabSize],
    [ggufNames.maxSeqLen, "uint32", config.maxSeqLen],
    [ggufNames.dim, "uint32", config.dim],
    [ggufNames.nLayers, "uint32", config.nLayers],
    [ggufNames.hiddenDim, "uint32", config.hiddenDim],
    [ggufNames.nHeads, "uint32", config.nHeads],
    [ggufNames.nKvHeads, "uint32", config.nKvHeads],
    [ggufNames.headDim, "uint32", config.headDim],
    ["llama.attention.value_length", "uint32", config.headDim],
    ["llama.rope.dimension_count", "uint32", config.headDim],
    [ggufNames.ropeTheta, "float32", config.ropeTheta],
    ...ropeScalingToGguf(config.ropeScaling),
    [ggufNames.normEps, "float32", config.normEps],
  ];
}

// --- internal ---

/** Far above any published Llama (405B: 126 layers, dim 16 384), and low enough that their products stay exact. */
const limits = {
  dim: 2 ** 20,
  nLayers: 1024,
  nHeads: 2 ** 16,
  nKvHeads: 2 ** 16,
  headDim: 2 ** 13,
  hiddenDim: 2 ** 22,
  vocabSize: 2 ** 24,
  maxSeqLen: 2 ** 24,
} as const;

function checkedConfig(fields: LlamaFields, origin: Origin): LlamaConfig {
  const { names, refuse } = origin;
  for (const field of ["dim", "nLayers", "nHeads", "vocabSize"] as const) {
    checkSize(field, fields[field], origin);
  }
  const { dim, nHeads } = fields;
  if (fields.headDim === undefined && dim % nHeads !== 0) {
    throw refuse(
      `${names.dim} (${dim}) is not a multiple of ${names.nHeads} (${nHeads})`,
      `Set ${names.nHeads} to a divisor of ${dim}, or give ${names.headDim}.`,
    );
  }
  const config: LlamaConfig = {
    dim,
    nLayers: fields.nLayers,
    nHeads,
    nKvHeads: fields.nKvHeads ?? nHeads,
    headDim: fields.headDim ?? dim / nHeads,
    hiddenDim: fields.hiddenDim ?? hiddenDimOf(dim, { multipleOf: 256 }),
    vocabSize: fields.vocabSize,
    maxSeqLen: fields.maxSeqLen ?? 4096,
    normEps: fields.normEps ?? 1e-5,
    ropeTheta: fields.ropeTheta ?? 10_000,
    ...(fields.ropeScaling === undefined ? {} : { ropeScaling: fields.ropeScaling }),
    isTied: fields.isTied ?? false,
  };
  for (const field of ["nKvHeads", "headDim", "hiddenDim", "maxSeqLen"] as const) {
    checkSize(field, config[field], origin);
  }
  checkHeads(config, origin);
  checkReals(config, origin);
  checkRopeScaling(config, origin.refuse);
  checkTensorSizes(config, origin);
  return config;
}

function checkSize(field: keyof typeof limits, value: number, { names, refuse }: Origin): void {
  if (Number.isInteger(value) && value >= 1 && value <= limits[field]) return;
  const range = `a whole number from 1 to ${limits[field]}`;
  throw refuse(`${names[field]} (${value}) is not ${range}`, `Set ${names[field]} to ${range}.`);
}

function checkHeads(config: LlamaConfig, { names, refuse }: Origin): void {
  const { nHeads, nKvHeads, headDim } = config;
  if (nHeads % nKvHeads !== 0) {
    throw refuse(
      `${names.nHeads} (${nHeads}) is not a multiple of ${names.nKvHeads} (${nKvHeads})`,
      `Set ${names.nKvHeads} to a divisor of ${nHeads}, or to ${nHeads} for plain multi-head attention.`,
    );
  }
  if (headDim % 2 !== 0) {
    throw refuse(
      `${names.headDim} (${headDim}) is odd, and RoPE turns pairs`,
      `Choose ${names.dim} and ${names.nHeads}, or ${names.headDim}, such that a head has an even width.`,
    );
  }
}

function checkReals({ normEps, ropeTheta }: LlamaConfig, { names, refuse }: Origin): void {
  if (!(normEps >= 0 && normEps < 1)) {
    throw refuse(
      `${names.normEps} (${normEps}) is not a number in [0, 1)`,
      "Llama 2 uses 1e-5, Llama 1 uses 1e-6.",
    );
  }
  if (!(ropeTheta > 0 && ropeTheta < Infinity)) {
    throw refuse(
      `${names.ropeTheta} (${ropeTheta}) is not a positive number`,
      "Llama 1 and 2 use 10000; Code Llama uses 1000000.",
    );
  }
}

/** The engine's kernels count in C ints. */
function checkTensorSizes(config: LlamaConfig, { names, refuse }: Origin): void {
  const products = [
    [`${names.vocabSize} x ${names.dim}`, config.vocabSize, config.dim],
    [`${names.hiddenDim} x ${names.dim}`, config.hiddenDim, config.dim],
    [`${names.nHeads} · ${names.headDim} x ${names.dim}`, config.nHeads * config.headDim, config.dim],
  ] as const;
  for (const [name, rows, columns] of products) {
    if (rows * columns < 2 ** 31) continue;
    throw refuse(
      `a weight of ${name} (${rows} x ${columns}) has 2^31 elements or more`,
      "The largest Llama's largest weight fits; check these sizes.",
    );
  }
}

function requiredNumbers(source: Source): Pick<LlamaConfig, "dim" | "nLayers" | "nHeads"> {
  return {
    dim: numberAt(source, "dim"),
    nLayers: numberAt(source, "nLayers"),
    nHeads: numberAt(source, "nHeads"),
  };
}

/** Early Llama 1 conversions say max_sequence_length; transformers 5 keeps RoPE's settings in rope_parameters. */
function valueInHuggingFace(json: Readonly<Record<string, unknown>>, key: string): unknown {
  if (key === "max_position_embeddings") return json[key] ?? json["max_sequence_length"];
  if (key === "rope_theta" || key === "partial_rotary_factor") return ropeSettings(json)[key] ?? json[key];
  return json[key];
}

function ropeSettings(json: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const settings = json["rope_parameters"] ?? json["rope_scaling"];
  return isRecord(settings) ? settings : {};
}

/** GGUF's reals are f32. */
function decimal(value: unknown): unknown {
  return typeof value === "number" ? shortestDecimal(value) : value;
}
