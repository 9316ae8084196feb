/** `cria distil RECIPE`: safety context distillation. */

import { readPrompts } from "../../dialog/prompts.ts";
import { ConfigError } from "../../errors/errors.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import { defineCommand } from "../command.ts";
import { packageFile, packageFiles } from "../package-file.ts";
import { openRecipeFolder, overridesOf, pathsOf, policyArgs, tellOutcome } from "../recipe-run.ts";
import { MeasuredDistilRecipe } from "../recipe-distil.ts";
import { resumable } from "../stages/context.ts";
import { distilMeasuredReport, measureDistilled } from "../stages/distil-measure.ts";
import { distilStage, type DistilStageOutcome } from "../stages/reject.ts";
import { distilReport } from "../stages/report-rejection.ts";
import { sftSettings } from "./sft.ts";

export const distilCommand = defineCommand({
  details:
    "Answers each safety prompt behind safety preprompts, keeps an answer only where the safety reward is above that of " +
    "the model's own, and fine-tunes on the prompts without preprompts. The same command goes on after a kill.",
  args: policyArgs("Score", "samples=8"),
  examples: ["cria distil distil.yaml", "cria distil distil.yaml --reward safe.js"],
  async run({ recipe: path, name, reward, set, json }, context) {
    const read = readRecipe(MeasuredDistilRecipe, packageFile(path), overridesOf(set, reward));
    const recipe = {
      ...read,
      prompts: packageFile(read.prompts),
      preprompts: packageFile(read.preprompts),
      beside: packageFiles(read.beside),
    };
    // A file that is not there is better missed now than after the fine-tuning.
    if (recipe.held_out !== undefined) readPrompts(packageFile(recipe.held_out));
    using folder = openRecipeFolder({ path, name, recipe, mayDiffer: ["threads", "sft.threads"] });
    const outcome = await resumable(context, () => distilStage(recipe, pathsOf(folder), context));
    if (outcome.winners === undefined) throw nothingSafer(outcome);
    const measured = await resumable(context, () =>
      measureDistilled(recipe, outcome.checkpoint, folder, context),
    );
    const stages = [
      distilReport(outcome, sftSettings(recipe.sft), "Safety context distillation"),
      ...(measured === undefined ? [] : [distilMeasuredReport(measured)]),
    ];
    const told = { ...outcome, measured };
    tellOutcome(context, folder, told, { isJson: json, stages });
  },
});

// --- internal ---

function nothingSafer({ gains }: DistilStageOutcome): ConfigError {
  return new ConfigError(
    `no answer behind a preprompt is safer than the model's own, of ${gains.length} prompts`,
    { mend: "Sample more answers (samples), or leave the model as it is: preprompts do not make it safer." },
  );
}
