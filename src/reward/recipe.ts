/**
 * The recipe of a reward model. Defaults are Llama 2 §3.2.2's unless a line says that Meta has not published them.
 */

import { z } from "zod";
import { adamwFields, runFields } from "../train/recipe-fields.ts";

const { sample_every: _, ...rewardRunFields } = runFields;

export const RewardRecipe = z.strictObject({
  /** "We initialize our reward models from pretrained chat model checkpoints": a Hugging Face folder. */
  model: z.string().min(1),
  /** Which of the two reward models it becomes: it sets the mix of the data and the auxiliary loss. */
  quality: z.enum(["helpfulness", "safety"]).default("helpfulness"),
  /**
   * Comparisons that are all used: for helpfulness "all Meta Helpfulness data", for safety "all Meta Safety and
   * Anthropic Harmless data". JSON Lines, JSON or Parquet of any format that `cria preferences` reads.
   */
  data: z.array(z.string().min(1)).min(1),
  /** Further comparisons, of which as many are drawn "uniformly" as the mix wants. */
  other_data: z.array(z.string().min(1)).default([]),
  /**
   * Part of the training pairs that is of `data`. Helpfulness: "an equal parts of the remaining data", 0.5; safety:
   * "a 90/10 proportion", 0.9. Those are the defaults.
   */
  data_share: z.number().positive().max(1).optional(),
  /** Further held-out comparisons to measure on, such as of another year or of other people. */
  test_data: z.array(z.string().min(1)).default([]),
  /** Part of `data` that is held out. Meta holds out 1000 examples of each weekly batch. */
  validation_fraction: z.number().min(0).lt(1).default(0.05),

  /** m(r) of Table 27; which of the tables the final models used is unpublished. */
  margin: z.enum(["none", "small", "large"]).default("small"),
  /**
   * What the auxiliary safety loss counts beside the ranking loss. Unpublished: 1 for the safety model, and 0 for the
   * helpfulness model, which has none.
   */
  safety_loss: z.number().nonnegative().optional(),

  /** Longest conversation with its answer: the context of Llama 2. Longer ones lose their beginning. */
  seq_len: z.int().positive().default(4096),
  /** "kept fixed at 512 pairs, or 1024 rows per batch". */
  batch_size: z.int().positive().default(512),
  /** Pairs computed at once: memory's choice, it does not change the result. */
  micro_batch_size: z.int().positive().default(1),
  /** "We train for one epoch over the training data": longer "can lead to over-fitting". */
  epochs: z.int().positive().default(1),

  // "the same optimizer parameters as for the base model".
  ...adamwFields,
  /** "5 × 10⁻⁶ for the 70B parameter Llama 2-Chat and 1 × 10⁻⁵ for the rest". */
  lr: z.number().positive().default(1e-5),
  /** "warm-up of 3% of the total number of steps". */
  warmup_ratio: z.number().min(0).max(1).default(0.03),
  /** "with a minimum of 5". */
  min_warmup_steps: z.int().nonnegative().default(5),

  ...rewardRunFields,
  validation_every: z.int().nonnegative().default(50),
  checkpoint_every: z.int().nonnegative().default(100),
});

export type RewardRecipe = z.infer<typeof RewardRecipe>;

/** The paper's part of the pairs that are of the reward model's own kind. */
export function dataShareOf({ data_share: share, quality }: RewardRecipe): number {
  return share ?? (quality === "helpfulness" ? 0.5 : 0.9);
}

export function safetyWeightOf({ safety_loss: weight, quality }: RewardRecipe): number {
  return weight ?? (quality === "helpfulness" ? 0 : 1);
}
