/** `cria reject RECIPE`: the best of many answers, fine-tuned on. */

import { RejectionRecipe } from "../../rejection/recipe.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import type { Entry } from "../../train/report.ts";
import { defineCommand } from "../command.ts";
import { packageFile, packageFiles } from "../package-file.ts";
import { openRecipeFolder, overridesOf, pathsOf, policyArgs, tellOutcome } from "../recipe-run.ts";
import { resumable } from "../stages/context.ts";
import { rejectStage } from "../stages/reject.ts";
import { rejectReport } from "../stages/report-rejection.ts";
import { sftSettings } from "./sft.ts";

export const rejectCommand = defineCommand({
  details:
    "Samples K answers to each prompt at each temperature, scores them, keeps the best and fine-tunes on those. The " +
    "sampler may be a larger model than the one that is fine-tuned. Ctrl-C at any moment; the same command goes on.",
  args: policyArgs("Score", "samples=16"),
  examples: [
    "cria reject reject.yaml",
    "cria reject reject.yaml --reward brief.js --set 'temperatures=[1,1.2]'",
  ],
  async run({ recipe: path, name, reward, set, json }, context) {
    const read = readRecipe(RejectionRecipe, packageFile(path), overridesOf(set, reward));
    const recipe = { ...read, prompts: packageFile(read.prompts), beside: packageFiles(read.beside) };
    using folder = openRecipeFolder({ path, name, recipe, mayDiffer: ["threads", "sft.threads"] });
    const outcome = await resumable(context, () => rejectStage(recipe, pathsOf(folder), context));
    const stages = [rejectReport(outcome, rejectSettings(recipe), "Rejection sampling")];
    tellOutcome(context, folder, outcome, { isJson: json, stages });
  },
});

export function rejectSettings(recipe: RejectionRecipe): Entry[] {
  return [
    ["sampler", recipe.sampler],
    ["fine-tuned from", recipe.model],
    ["samples a prompt", `${recipe.samples} at each of ${recipe.temperatures.join(", ")}`],
    ...sftSettings(recipe.sft),
  ];
}
