/**
 * The recipe of pretraining. Defaults are Llama 2's (§2.1, §2.2 and Table 1, the 7B and 13B models) unless a line
 * says that Meta has not published them; on a laptop nearly all sizes are set smaller, the rest can stay.
 */

import { z } from "zod";
import { defaultSources } from "../corpus/sources.ts";
import { ConfigError } from "../errors/errors.ts";
import { llamaConfig, type LlamaConfig } from "../model/config.ts";
import { presetConfig } from "../model/presets.ts";
import { adamwFields, runFields } from "../train/recipe-fields.ts";

/** A shape of one's own, named as in the paper and in Meta's params.json. The vocabulary's size is the tokenizer's. */
const ModelFields = z.strictObject({
  dim: z.int().positive(),
  n_layers: z.int().positive(),
  n_heads: z.int().positive(),
  /** Llama 2 34B and 70B: 8; the others have as many as n_heads, which is the default. */
  n_kv_heads: z.int().positive().optional(),
  /** Two thirds of 4·dim, rounded up to a multiple of 256, as in Meta's reference code. */
  hidden_dim: z.int().positive().optional(),
  /** Llama 2: "we doubled the context length" to 4096 (Table 1). */
  max_seq_len: z.int().positive().default(4096),
  /** ε of RMSNorm: 1e-5 in the released configurations. */
  norm_eps: z.number().positive().default(1e-5),
  /** Base of RoPE (Su et al. 2021). */
  rope_theta: z.number().positive().default(10_000),
  /** Whether the embedding serves as the output head: no in Llama 2, usual in small models. */
  tie_embeddings: z.boolean().default(false),
});

const CorpusSource = z.strictObject({
  /** `npm:<package>@<version>`, a .txt or .jsonl file, or a directory of them. */
  from: z.string().min(1),
  /** Epochs of this source in one epoch of the mixture (Llama 1, Table 1, "Epochs"). */
  weight: z.number().nonnegative().default(1),
});

const CorpusFields = z.strictObject({
  /** Meta's data is unpublished; public-domain text from npm. */
  sources: z
    .array(CorpusSource)
    .min(1)
    .default(defaultSources.map(({ from, weight = 1 }) => ({ from, weight }))),
  /** Part of the documents held out to measure the loss on. Unpublished. */
  validation_fraction: z.number().min(0).lt(1).default(0.02),
  /** Shorter documents are dropped: CCNet, which Llama 1 §2.1 uses, drops those under 300. */
  min_characters: z.int().nonnegative().default(300),
});

/** Llama 2 §2.2 "Tokenizer" and the trainer's settings stored in Meta's tokenizer.model. */
const TokenizerFields = z.union([
  z.strictObject({
    /** A tokenizer.model, a .gguf or a model's folder to take the tokenizer of. */
    path: z.string().min(1),
  }),
  z.strictObject({
    /** "The total vocabulary size is 32k tokens." */
    vocab_size: z.int().positive().default(32_000),
    /** Part of the corpus's characters that become pieces; the others fall back to bytes. */
    character_coverage: z.number().positive().max(1).default(0.99995),
    max_piece_length: z.int().positive().default(16),
  }),
]);

export const PretrainRecipe = z
  .strictObject({
    /** A preset's name (`cria doctor --presets` lists them) or a shape. */
    model: z.union([z.string().min(1), ModelFields]).default("llama-2-7b"),
    corpus: CorpusFields.prefault({}),
    tokenizer: TokenizerFields.prefault({}),
    /** Token shards made by `cria corpus prepare`; made of `corpus` in the run's folder when left out. */
    data: z.string().min(1).optional(),

    /** Tokens in a sequence: 4096 (Table 1). */
    seq_len: z.int().positive().default(4096),
    /** Sequences computed at once: memory's choice, it does not change the result. */
    batch_size: z.int().positive().default(1),
    /**
     * Micro-batches per update. "A global batch-size of 4M tokens" (Table 1): 1024 sequences of 4096, if M means
     * 2²⁰; the paper does not say.
     */
    gradient_accumulation: z.int().positive().default(1024),

    /** Standard deviation of fresh weights. Unpublished: 0.02 is GPT-2's; narrow models start faster with more. */
    init_std: z.number().positive().default(0.02),

    /** Updates. At most one of `steps`, `tokens` and `minutes` is given. */
    steps: z.int().positive().optional(),
    /** Tokens to train on; 2.0T (Table 1) when none of the three is given. */
    tokens: z.int().positive().optional(),
    /** A time to be done in: the steps that fit into it are found by measuring the first few. */
    minutes: z.number().positive().optional(),
    /** "warmup of 2000 steps" (§2.2). */
    warmup_steps: z.int().nonnegative().default(2000),
    ...adamwFields,
    ...runFields,

    /** What the samples go on from. */
    sample_prompts: z.array(z.string()).default(["The people of the United States"]),
  })
  .superRefine((recipe, context) => {
    const given = (["steps", "tokens", "minutes"] as const).filter((key) => recipe[key] !== undefined);
    if (given.length < 2) return;
    const [first, second] = given;
    context.addIssue({
      code: "custom",
      path: [second!],
      message: `${first} and ${second} are both set, and each says how long to train`,
      params: { mend: `Keep one of ${given.join(", ")}.` },
    });
  });

export type PretrainRecipe = z.infer<typeof PretrainRecipe>;

/** How long a run lasts. */
export type TrainingLength =
  | { readonly by: "steps"; readonly steps: number }
  | { readonly by: "minutes"; readonly minutes: number };

/** Tokens of one update. */
export function batchTokens(
  recipe: Pick<PretrainRecipe, "seq_len" | "batch_size" | "gradient_accumulation">,
): number {
  return recipe.seq_len * recipe.batch_size * recipe.gradient_accumulation;
}

/** Tokens become whole updates, rounded up. */
export function trainingLength(recipe: PretrainRecipe): TrainingLength {
  if (recipe.minutes !== undefined) return { by: "minutes", minutes: recipe.minutes };
  if (recipe.steps !== undefined) return { by: "steps", steps: recipe.steps };
  return { by: "steps", steps: Math.ceil((recipe.tokens ?? PAPER_TOKENS) / batchTokens(recipe)) };
}

/** @throws {ConfigError} for an unknown preset or a shape that cannot be, or a seq_len beyond the model's context. */
export function modelConfigOf(
  recipe: Pick<PretrainRecipe, "model" | "seq_len">,
  vocabSize: number,
): LlamaConfig {
  const { model, seq_len: seqLen } = recipe;
  const config =
    typeof model === "string"
      ? presetConfig(model, vocabSize)
      : llamaConfig({
          dim: model.dim,
          nLayers: model.n_layers,
          nHeads: model.n_heads,
          nKvHeads: model.n_kv_heads,
          hiddenDim: model.hidden_dim,
          maxSeqLen: model.max_seq_len,
          normEps: model.norm_eps,
          ropeTheta: model.rope_theta,
          isTied: model.tie_embeddings,
          vocabSize,
        });
  if (seqLen > config.maxSeqLen) {
    throw new ConfigError(`seq_len (${seqLen}) is more than the model's context of ${config.maxSeqLen}`, {
      mend: `Set seq_len to ${config.maxSeqLen} or less, or model.max_seq_len to ${seqLen}.`,
    });
  }
  return config;
}

// --- internal ---

/** Llama 2, Table 1. */
const PAPER_TOKENS = 2.0e12;
