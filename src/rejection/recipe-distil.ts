/**
 * The recipe of safety context distillation. Llama 2 §4.2.4 publishes the method, and neither how many answers are
 * sampled nor the settings of the fine-tuning.
 */

import { z } from "zod";
import { SftRecipe } from "../sft/recipe.ts";
import { answerFields, runFields } from "../train/recipe-fields.ts";
import { rewardFields, samplingFields } from "./recipe.ts";

export const DistilRecipe = z.strictObject({
  /** The chat model: it answers behind preprompts, and is fine-tuned to answer so without. */
  model: z.string().min(1),
  /** Prompts, a line each; only those with `"safety": true` are used, and `"risk"` names their category. */
  prompts: z.string().min(1),
  /** A line each, `{"text"}`, or `{"risk", "text"}` for one category. */
  preprompts: z.string().min(1).default("data/safety-preprompts.jsonl"),
  /** The safety reward model, or a function. */
  reward: z.strictObject(rewardFields).prefault({}),
  /** Answers behind each preprompt. */
  samples: answerFields.samples.default(4),
  temperature: answerFields.temperature.default(1),
  top_p: samplingFields.top_p,
  max_tokens: samplingFields.max_tokens,
  /** Files of other dialogs to fine-tune on as well, so that the model goes on helping. */
  beside: z.array(z.string().min(1)).default([]),
  sft: SftRecipe.omit({ model: true, data: true }).prefault({}),
  seed: runFields.seed,
  device: runFields.device,
  threads: runFields.threads,
  out: runFields.out,
});

export type DistilRecipe = z.infer<typeof DistilRecipe>;
