/**
 * The recipe of rejection sampling. Llama 2 §3.2.3 publishes neither K nor the settings of the fine-tuning: figures 7
 * and 8 sweep K from 1 to 100 and temperatures from 0.6 to 1.5, with the best at 1.2 to 1.3 for 10 to 100 samples.
 */

import { z } from "zod";
import { SftRecipe } from "../sft/recipe.ts";
import { answerFields, runFields } from "../train/recipe-fields.ts";

/** What scores answers: a pair of reward models, one of them, or a function. */
export const rewardFields = {
  /** Reward model of helpfulness: a directory that `cria reward` made. */
  helpfulness: z.string().min(1).optional(),
  /** Reward model of safety. */
  safety: z.string().min(1).optional(),
  /** A JavaScript file whose default export takes answers and returns a score for each. */
  file: z.string().min(1).optional(),
};

/** How answers are sampled. */
export const samplingFields = {
  /** K, for each prompt at each temperature. */
  samples: answerFields.samples.default(10),
  /** To sample at. It is to be tuned anew for each version: the report shows which did best. */
  temperatures: z.array(answerFields.temperature).min(1).default([1, 1.2]),
  /** 1 samples from the policy's own distribution. */
  top_p: z.number().positive().max(1).default(1),
  /** At most so many tokens an answer. */
  max_tokens: z.int().positive().default(256),
};

export const RejectionRecipe = z.strictObject({
  /** The newest policy, or a larger model: what answers. */
  sampler: z.string().min(1),
  /** What is fine-tuned: the paper restarts from the base model; a chat checkpoint needs less data. */
  model: z.string().min(1),
  /** Prompts, a line each; `"safety": true` tags those that may provoke unsafe answers. */
  prompts: z.string().min(1),
  reward: z.strictObject(rewardFields).prefault({}),
  ...samplingFields,
  /** Files of winners of earlier versions, and of other dialogs, to fine-tune on as well. */
  beside: z.array(z.string().min(1)).default([]),
  /** The fine-tuning. Its model and its data are the ones above. */
  sft: SftRecipe.omit({ model: true, data: true }).prefault({}),
  seed: runFields.seed,
  device: runFields.device,
  threads: runFields.threads,
  out: runFields.out,
});

export type RejectionRecipe = z.infer<typeof RejectionRecipe>;
