/** The recipe of `cria trade-off`: Llama 2 §4.2.3's ablation of safety data. */

import { z } from "zod";
import { rewardFields } from "../rejection/recipe.ts";
import { SftRecipe } from "../sft/recipe.ts";
import { runFields } from "../train/recipe-fields.ts";
import { RlhfFields } from "./recipe-rlhf.ts";

const { held_out, judge, evaluate } = RlhfFields.shape;
const { helpfulness, safety } = rewardFields;

export const TradeOffRecipe = z.strictObject({
  /** What is fine-tuned: the paper's is the base model. */
  model: z.string().min(1),
  /** Files of dialogs that every model is fine-tuned on. */
  helpful: z.array(z.string().min(1)).min(1),
  /** Files of safety dialogs, of which each model gets a share. */
  safety: z.array(z.string().min(1)).min(1),
  /** "0%, 1%, 10%, 25%, 50%, and 100% of the safety data". */
  shares: z.array(z.number().min(0).max(1)).min(1).default([0, 0.01, 0.1, 0.25, 0.5, 1]),
  held_out,
  judge,
  /** Reward models to measure by, beside the judge. */
  reward: z.strictObject({ helpfulness, safety }).prefault({}),
  evaluate,
  sft: SftRecipe.omit({ model: true, data: true }).prefault({}),
  seed: runFields.seed,
  device: runFields.device,
  threads: runFields.threads,
  out: runFields.out,
});

export type TradeOffRecipe = z.infer<typeof TradeOffRecipe>;
