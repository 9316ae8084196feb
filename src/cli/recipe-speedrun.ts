/** The recipe of the speedrun: the stages one after another, each taking what the one before has made. */

import { z } from "zod";
import { PretrainRecipe } from "../pretrain/recipe.ts";
import { SftRecipe } from "../sft/recipe.ts";

export const SpeedrunRecipe = z.strictObject({
  pretrain: PretrainRecipe.prefault({}),
  /** Its model is what pretraining made. */
  sft: SftRecipe.omit({ model: true }),
});

export type SpeedrunRecipe = z.infer<typeof SpeedrunRecipe>;
