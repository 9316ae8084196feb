/** The recipe of the speedrun: the stages one after another, each taking what the one before has made. */

import { z } from "zod";
import { PretrainRecipe } from "../pretrain/recipe.ts";
import { SftRecipe } from "../sft/recipe.ts";
import { RlhfFields } from "./recipe-rlhf.ts";

export const SpeedrunRecipe = z.strictObject({
  pretrain: PretrainRecipe.prefault({}),
  /** Its model is what pretraining made. */
  sft: SftRecipe.omit({ model: true }),
  /** The versions after fine-tuning; none when left out. They start from what fine-tuning made. */
  rlhf: RlhfFields.extend({
    /** What rejection sampling restarts from: `base` is the paper's, `sft` saves fine-tuning anew in each version. */
    restart: z.enum(["base", "sft"]).default("base"),
  }).optional(),
});

export type SpeedrunRecipe = z.infer<typeof SpeedrunRecipe>;
