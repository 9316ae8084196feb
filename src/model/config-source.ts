/**
 * How a configuration is read out of a foreign file: what each of its numbers is called there, and which models
 * look like a Llama but are not one that Cria can run.
 */

import type { CriaError } from "../errors/errors.ts";
import type { LlamaConfig } from "./config.ts";

type Names = Readonly<Record<Exclude<keyof LlamaConfig, "ropeScaling">, string>>;
type Refuse = (message: string, mend: string) => CriaError;

export interface Origin {
  readonly names: Names;
  readonly refuse: Refuse;
}

export interface Source extends Origin {
  readonly at: (key: string) => unknown;
}

export const recipeNames: Names = {
  dim: "dim",
  nLayers: "n_layers",
  nHeads: "n_heads",
  nKvHeads: "n_kv_heads",
  headDim: "head_dim",
  hiddenDim: "hidden_dim",
  vocabSize: "vocab_size",
  maxSeqLen: "max_seq_len",
  normEps: "norm_eps",
  ropeTheta: "rope_theta",
  isTied: "tie_embeddings",
};

export const huggingFaceNames: Names = {
  dim: "hidden_size",
  nLayers: "num_hidden_layers",
  nHeads: "num_attention_heads",
  nKvHeads: "num_key_value_heads",
  headDim: "head_dim",
  hiddenDim: "intermediate_size",
  vocabSize: "vocab_size",
  maxSeqLen: "max_position_embeddings",
  normEps: "rms_norm_eps",
  ropeTheta: "rope_theta",
  isTied: "tie_word_embeddings",
};

export const ggufNames: Names = {
  dim: "llama.embedding_length",
  nLayers: "llama.block_count",
  nHeads: "llama.attention.head_count",
  nKvHeads: "llama.attention.head_count_kv",
  headDim: "llama.attention.key_length",
  hiddenDim: "llama.feed_forward_length",
  vocabSize: "llama.vocab_size",
  maxSeqLen: "llama.context_length",
  normEps: "llama.attention.layer_norm_rms_epsilon",
  ropeTheta: "llama.rope.freq_base",
  isTied: "output.weight",
};

export function numberAt(source: Source, field: keyof Names): number {
  const value = optionalNumberAt(source, field);
  if (value !== undefined) return value;
  throw source.refuse(
    `${source.names[field]} is missing`,
    "The file may be cut or of another kind of model.",
  );
}

export function optionalNumberAt({ names, at, refuse }: Source, field: keyof Names): number | undefined {
  const value = at(names[field]);
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" || typeof value === "bigint") return Number(value);
  throw refuse(
    `${names[field]} is ${shown(value)}, not one number`,
    "Cria reads models whose layers are all alike, each size one number.",
  );
}

/** What a key must say, or not say, for the model to be one that Cria runs. */
interface Rule {
  readonly key: string;
  readonly allowed: readonly unknown[];
  readonly mend: string;
}

const noBiases = "Llama 1 and 2 have no biases.";
const llamaOnly = "Cria reads models of the Llama 1 and 2 shape.";

/** null and an absent key say the same. */
export const huggingFaceRules: readonly Rule[] = [
  { key: "model_type", allowed: ["llama"], mend: llamaOnly },
  { key: "hidden_act", allowed: [undefined, "silu", "swish"], mend: "Llama's feed-forward layer is SwiGLU." },
  { key: "attention_bias", allowed: [undefined, false], mend: noBiases },
  { key: "mlp_bias", allowed: [undefined, false], mend: noBiases },
  { key: "partial_rotary_factor", allowed: [undefined, 1], mend: "Llama turns whole heads." },
  {
    key: "quantization_config",
    allowed: [undefined],
    mend: "Use the model's f32, f16 or bf16 weights, or a GGUF file.",
  },
];

export const ggufRules: readonly Rule[] = [
  { key: "general.architecture", allowed: ["llama"], mend: llamaOnly },
  { key: "llama.expert_count", allowed: [undefined, 0], mend: "Mixtures of experts are no Llama 1 or 2." },
];

export function checkRules(rules: readonly Rule[], { at, refuse }: Source): void {
  for (const { key, allowed, mend } of rules) {
    const value = at(key) ?? undefined;
    if (allowed.includes(value)) continue;
    throw refuse(
      value === undefined ? `${key} is missing` : `${key} is ${shown(value)}, which Cria cannot run`,
      mend,
    );
  }
}

/** GGUF may give a number per layer: one number when all are equal. */
export function oneForAllLayers(value: unknown): unknown {
  if (!isList(value) || value.length === 0) return value;
  const first: unknown = value[0];
  for (let i = 1; i < value.length; i += 1) {
    if (value[i] !== first) return value;
  }
  return first;
}

/** GGUF keeps reals as f32: the shortest decimal that is the same f32, so that 1e-5 comes back as 1e-5. */
export function shortestDecimal(value: number): number {
  for (let digits = 1; digits < 9; digits += 1) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === Math.fround(value)) return decimal;
  }
  return value;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && "length" in value);
}

/** A value in an error: short, whatever the file holds. */
export function shown(value: unknown): string {
  if (isList(value)) return `a list of ${value.length}`;
  if (isRecord(value)) return "an object";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}
