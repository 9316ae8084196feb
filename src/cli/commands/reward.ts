/** `cria reward RECIPE`: from a chat model and comparisons to a reward model. */

import { RewardRecipe, safetyWeightOf } from "../../reward/recipe.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import type { Entry } from "../../train/report.ts";
import { defineCommand } from "../command.ts";
import { packageFile, packageFiles } from "../package-file.ts";
import {
  jsonArg,
  nameArg,
  openRecipeFolder,
  pathsOf,
  recipeArg,
  setArg,
  writeReport,
} from "../recipe-run.ts";
import { resumable } from "../stages/context.ts";
import { rewardReport, shareText } from "../stages/report-reward.ts";
import { rewardStage } from "../stages/reward.ts";

export const rewardCommand = defineCommand({
  details:
    "Replaces a chat model's head by one that scores, and trains it on comparisons for one epoch. Held-out pairs say how " +
    "often it agrees with who preferred, by how clear they were. The model is a Hugging Face sequence classifier. " +
    "Ctrl-C saves a checkpoint; the same command goes on after it.",
  args: {
    recipe: recipeArg,
    name: nameArg,
    set: setArg("margin=large"),
    json: jsonArg,
  },
  examples: [
    "cria reward recipes/reward-hh.yaml",
    "cria reward recipes/reward-hh.yaml --set quality=safety --set margin=large --json",
  ],
  async run({ recipe: path, name, set, json }, context) {
    const read = readRecipe(RewardRecipe, packageFile(path), set);
    const recipe = {
      ...read,
      data: packageFiles(read.data),
      other_data: packageFiles(read.other_data),
      test_data: packageFiles(read.test_data),
    };
    using folder = openRecipeFolder({ path, name, recipe, mayDiffer: ["threads"] });
    const outcome = await resumable(context, () => rewardStage(recipe, pathsOf(folder), context));
    const stages = [rewardReport(outcome, rewardSettings(recipe), `Reward model: ${recipe.quality}`)];
    writeReport(folder, stages);
    if (json) {
      context.stdout.write(`${JSON.stringify(outcome)}\n`);
      return;
    }
    for (const { name: test, evaluation } of outcome.evaluations)
      context.stdout.write(`Agrees, ${test}: ${shareText(evaluation.accuracy)}\n`);
    context.stdout.write(
      `Model: ${outcome.checkpoint}\nReport: ${folder.report}\n` +
        `Score: cria reward score ${outcome.checkpoint} --file answers.jsonl\n`,
    );
  },
});

// --- internal ---

function rewardSettings(recipe: RewardRecipe): Entry[] {
  return [
    ["started from", recipe.model],
    ["batch", `${recipe.batch_size} pairs`],
    ["epochs", String(recipe.epochs)],
    ["margins", recipe.margin],
    ["safety loss", String(safetyWeightOf(recipe))],
    ["learning rate", `${recipe.lr}, cosine to ${recipe.min_lr_ratio} of it`],
    ["decay", String(recipe.weight_decay)],
  ];
}
