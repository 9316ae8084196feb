/**
 * The recipe of Ghost Attention. Llama 2 §3.3 and A.3.5 publish the method and the kinds of constraints; how many
 * dialogs, turns and samples, and how the fine-tuning is set, they do not.
 */

import { z } from "zod";
import { SftRecipe } from "../sft/recipe.ts";
import { answerFields, runFields } from "../train/recipe-fields.ts";

const values = z.array(z.string().min(1));

export const gattFields = {
  /** Dialogs or prompts whose questions are asked; answers in it are not used. */
  questions: z.string().min(1),
  /** Instructions are random combinations of these. A kind without values is not drawn. */
  constraints: z
    .strictObject({
      hobby: values.default(["sailing", "reading", "chess", "music", "gardening", "tennis"]),
      language: values.default(["French", "Spanish", "German", "Italian"]),
      figure: values.default(["Napoleon", "Abraham Lincoln", "Cleopatra", "Shakespeare", "Marie Curie"]),
      /** For models too small for the paper's kinds: how each answer begins. */
      opening: values.default([]),
    })
    .prefault({}),
  /** Hobbies and figures that the policy lists when asked so many times, beside the ones above: as in the paper. */
  asked_for_lists: z.int().nonnegative().default(0),
  /** Where the first turn has the instruction: before the question, or as the system message. */
  placement: z.enum(["user", "system"]).default("system"),
  dialogs: z.int().positive().default(1000),
  /** Fewest and most turns of a dialog. */
  turns: z
    .tuple([z.int().min(1), z.int().min(1)])
    .refine(([fewest, most]) => fewest <= most, {
      message: "the fewest turns are more than the most",
      params: { mend: "Give the fewest first, such as [2, 6]." },
    })
    .default([2, 6]),
  /** K answers at each turn, of which the one that keeps to most constraints is taken. */
  samples: answerFields.samples.default(4),
  temperature: answerFields.temperature.default(1),
  top_p: z.number().positive().max(1).default(1),
  max_tokens: z.int().positive().default(256),
  /** Puts an opening that no answer keeps to before the best: for models too small to obey by themselves. */
  mend_openings: z.boolean().default(false),
  /**
   * Files of dialogs that are trained on as well, as they are: so that a model too small to tell them apart does not do
   * without an instruction what instructions ask for. The paper names none.
   */
  beside: z.array(z.string().min(1)).default([]),
  /** `obedient` leaves out dialogs whose last answer breaks a constraint. */
  keep: z.enum(["all", "obedient"]).default("all"),
  /** The measurement: how long the instruction is kept to. */
  consistency: z
    .strictObject({
      turns: z.int().positive().default(20),
      /** For each value of each kind. */
      dialogs: z.int().positive().default(4),
      temperature: answerFields.temperature.default(0.6),
      top_p: z.number().positive().max(1).default(0.9),
    })
    .prefault({}),
  sft: SftRecipe.omit({ model: true, data: true }).prefault({}),
};

export const GattRecipe = z.strictObject({
  /** The newest policy: it writes the answers, and is fine-tuned on them. */
  model: z.string().min(1),
  ...gattFields,
  seed: runFields.seed,
  device: runFields.device,
  threads: runFields.threads,
  out: runFields.out,
});

export type GattRecipe = z.infer<typeof GattRecipe>;
