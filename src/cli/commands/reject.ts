/** `cria reject RECIPE`: the best of many answers, fine-tuned on. */

import { RejectionRecipe } from "../../rejection/recipe.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import type { Entry } from "../../train/report.ts";
import { defineCommand } from "../command.ts";
import { packageFile } from "../package-file.ts";
import {
  nameArg,
  openRecipeFolder,
  overridesOf,
  recipeArg,
  rewardArg,
  setArg,
  tellModel,
  writeReport,
} from "../recipe-run.ts";
import { resumable } from "../stages/context.ts";
import { rejectStage } from "../stages/reject.ts";
import { rejectReport } from "../stages/report-rejection.ts";
import { sftSettings } from "./sft.ts";

export const rejectCommand = defineCommand({
  details:
    "Samples K answers to each prompt at each temperature, scores them, keeps the best and fine-tunes on those. The " +
    "sampler may be a larger model than the one that is fine-tuned. Ctrl-C at any moment; the same command goes on.",
  args: {
    recipe: recipeArg,
    name: nameArg,
    reward: rewardArg("Score"),
    set: setArg("samples=16"),
    json: { type: "boolean", description: "Print the outcome as JSON" },
  },
  examples: [
    "cria reject recipes/reject.yaml",
    "cria reject recipes/reject.yaml --reward brief.js --set 'temperatures=[1,1.2]'",
  ],
  async run({ recipe: path, name, reward, set, json }, context) {
    const read = readRecipe(RejectionRecipe, packageFile(path), overridesOf(set, reward));
    const beside = read.beside.map((file) => packageFile(file));
    const recipe = { ...read, prompts: packageFile(read.prompts), beside };
    using folder = openRecipeFolder({ path, name, recipe, mayDiffer: ["threads", "sft.threads"] });
    const paths = { folder: folder.path, checkpoints: folder.checkpoints, samples: folder.samples };
    const outcome = await resumable(context, () => rejectStage(recipe, paths, context));
    const stages = [rejectReport(outcome, rejectSettings(recipe), "Rejection sampling")];
    writeReport(folder, stages);
    if (json) context.stdout.write(`${JSON.stringify(outcome)}\n`);
    else tellModel(context, folder, outcome.checkpoint);
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
