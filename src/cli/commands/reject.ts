/** `cria reject RECIPE`: the best of many answers, fine-tuned on. */

import { basename } from "node:path";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { RejectionRecipe } from "../../rejection/recipe.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import { reportHtml, type Entry } from "../../train/report.ts";
import { openRunFolder } from "../../train/run-folder.ts";
import { defineCommand } from "../command.ts";
import { packageFile } from "../package-file.ts";
import { resumable } from "../stages/context.ts";
import { rejectStage } from "../stages/reject.ts";
import { rejectReport } from "../stages/report-rejection.ts";
import { sftSettings } from "./sft.ts";

export const rejectCommand = defineCommand({
  details:
    "Samples K answers to each prompt at each temperature, scores them, keeps the best and fine-tunes on those. The " +
    "sampler may be a larger model than the one that is fine-tuned. Ctrl-C at any moment; the same command goes on.",
  args: {
    recipe: { type: "positional", required: true, description: "A YAML recipe" },
    name: {
      type: "string",
      valueHint: "NAME",
      description: "The run's folder under out; the recipe's name by default",
    },
    reward: {
      type: "string",
      valueHint: "FILE.js",
      description: "Score by this module's default export, a function of [{prompt, answer, isSafety}]",
    },
    set: {
      type: "string",
      multiple: true,
      valueHint: "KEY=VALUE",
      description: "Change a setting, such as samples=16",
    },
    json: { type: "boolean", description: "Print the outcome as JSON" },
  },
  examples: [
    "cria reject recipes/reject.yaml",
    "cria reject recipes/reject.yaml --reward brief.js --set 'temperatures=[1,1.2]'",
  ],
  async run({ recipe: path, name, reward, set, json }, context) {
    const overrides = reward === undefined ? set : [...set, `reward.file=${JSON.stringify(reward)}`];
    const read = readRecipe(RejectionRecipe, packageFile(path), overrides);
    const beside = read.beside.map((file) => packageFile(file));
    const recipe = { ...read, prompts: packageFile(read.prompts), beside };
    using folder = openRunFolder({
      out: recipe.out,
      name: name ?? basename(path).replace(/\.ya?ml$/, ""),
      recipe,
      mayDiffer: ["threads", "sft.threads"],
    });
    const paths = { folder: folder.path, checkpoints: folder.checkpoints, samples: folder.samples };
    const outcome = await resumable(context, () => rejectStage(recipe, paths, context));
    const stages = [rejectReport(outcome, rejectSettings(recipe), "Rejection sampling")];
    writeFileAtomically(folder.report, reportHtml({ title: folder.name, summary: [], stages, samples: [] }));
    if (json) context.stdout.write(`${JSON.stringify(outcome)}\n`);
    else
      context.stdout.write(
        `Model: ${outcome.checkpoint}\nReport: ${folder.report}\nChat: cria chat ${outcome.checkpoint}\n`,
      );
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
