/** The recipe of `cria distil`: safety context distillation, and what it is measured on. */

import type { z } from "zod";
import { DistilRecipe } from "../rejection/recipe-distil.ts";
import { RlhfFields } from "./recipe-rlhf.ts";

const { held_out: heldOut, judge, evaluate } = RlhfFields.shape;

export const MeasuredDistilRecipe = DistilRecipe.extend({
  /** What the model is measured on before and after; not at all when left out. */
  held_out: heldOut.optional(),
  judge,
  evaluate,
});

export type MeasuredDistilRecipe = z.infer<typeof MeasuredDistilRecipe>;
