/** `cria trade-off RECIPE`: what safety data cost in helpfulness. */

import { readRecipe } from "../../train/recipe-file.ts";
import { defineCommand } from "../command.ts";
import { packageFile } from "../package-file.ts";
import { nameArg, openRecipeFolder, recipeArg, setArg, writeReport } from "../recipe-run.ts";
import { TradeOffRecipe } from "../recipe-trade-off.ts";
import { resumable } from "../stages/context.ts";
import { openJudge } from "../stages/judge.ts";
import { tradeOffReport, tradeOffStage } from "../stages/trade-off.ts";

export const tradeOffCommand = defineCommand({
  details:
    "Fine-tunes the same model on all helpful dialogs and a growing share of the safety dialogs, and measures each on " +
    "held-out prompts of both kinds. The same command goes on after a kill.",
  args: {
    recipe: recipeArg,
    name: nameArg,
    set: setArg("shares=[0,0.5,1]"),
    json: { type: "boolean", description: "Print the points as JSON" },
  },
  examples: ["cria trade-off trade-off.yaml"],
  async run({ recipe: path, name, set, json }, context) {
    const read = readRecipe(TradeOffRecipe, packageFile(path), set);
    const recipe = {
      ...read,
      helpful: read.helpful.map((file) => packageFile(file)),
      safety: read.safety.map((file) => packageFile(file)),
    };
    using folder = openRecipeFolder({ path, name, recipe, mayDiffer: ["threads", "sft.threads"] });
    const points = await resumable(context, () => tradeOffStage(recipe, folder, context));
    const { name: judgeName } = await openJudge(recipe.judge);
    const stages = [tradeOffReport(points, judgeName)];
    writeReport(folder, stages);
    context.stdout.write(json ? `${JSON.stringify(points)}\n` : `Report: ${folder.report}\n`);
  },
});
