/** `cria rlhf RECIPE`: the versions of a chat model, one after another. */

import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import { reportHtml } from "../../train/report.ts";
import { defineCommand } from "../command.ts";
import { packageFile } from "../package-file.ts";
import { nameArg, openRecipeFolder, recipeArg, setArg } from "../recipe-run.ts";
import { RlhfRecipe } from "../recipe-rlhf.ts";
import { resumable } from "../stages/context.ts";
import { beforeAndAfter, rlhfReports, rlhfSummary } from "../stages/report-rlhf.ts";
import { rlhfStage } from "../stages/rlhf.ts";

export const rlhfCommand = defineCommand({
  details:
    "For each version: collects preferences, trains two reward models, samples and keeps the best answers, fine-tunes, " +
    "and so on, as the recipe lists (collect, reward, reject, distil, gatt, ppo, evaluate); then measures it against the one before. Without people a judge prefers, and its " +
    "data are labelled so. Ctrl-C or a kill at any moment; the same command goes on.",
  args: {
    recipe: recipeArg,
    name: nameArg,
    set: setArg("reject.samples=16"),
    json: { type: "boolean", description: "Print what was measured as JSON" },
  },
  examples: ["cria rlhf rlhf.yaml", "cria rlhf rlhf.yaml --set judge=judge.js"],
  async run({ recipe: path, name, set, json }, context) {
    const recipe = readRecipe(RlhfRecipe, packageFile(path), set);
    using folder = openRecipeFolder({
      path,
      name,
      recipe,
      mayDiffer: ["threads", "reject.sft.threads", "distil.sft.threads", "gatt.sft.threads"],
    });
    const ran = await resumable(context, () => rlhfStage(recipe, folder, context));
    const summary = rlhfSummary(ran);
    const report = reportHtml({
      title: `Versions: ${folder.name}`,
      summary,
      stages: rlhfReports(ran, folder.path),
      samples: beforeAndAfter(ran, 12),
    });
    writeFileAtomically(folder.report, report);
    const { policy, rewards, metrics } = ran;
    if (json) context.stdout.write(`${JSON.stringify({ policy, rewards, metrics })}\n`);
    else {
      context.stdout.write(summary.map(([key, value]) => `${key}: ${value}\n`).join(""));
      context.stdout.write(`Model: ${policy}\nReport: ${folder.report}\nChat: cria chat ${policy}\n`);
    }
  },
});
