/** `cria distil RECIPE`: safety context distillation. */

import { basename } from "node:path";
import { ConfigError } from "../../errors/errors.ts";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { DistilRecipe } from "../../rejection/recipe-distil.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import { reportHtml } from "../../train/report.ts";
import { openRunFolder } from "../../train/run-folder.ts";
import { defineCommand } from "../command.ts";
import { packageFile } from "../package-file.ts";
import { resumable } from "../stages/context.ts";
import { distilStage, type DistilStageOutcome } from "../stages/reject.ts";
import { distilReport } from "../stages/report-rejection.ts";
import { sftSettings } from "./sft.ts";

export const distilCommand = defineCommand({
  details:
    "Answers each safety prompt behind safety preprompts, keeps an answer only where the safety reward is above that of " +
    "the model's own, and fine-tunes on the prompts without preprompts. The same command goes on after a kill.",
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
      description: "Change a setting, such as samples=8",
    },
    json: { type: "boolean", description: "Print the outcome as JSON" },
  },
  examples: ["cria distil recipes/distil.yaml", "cria distil recipes/distil.yaml --reward safe.js"],
  async run({ recipe: path, name, reward, set, json }, context) {
    const overrides = reward === undefined ? set : [...set, `reward.file=${JSON.stringify(reward)}`];
    const read = readRecipe(DistilRecipe, packageFile(path), overrides);
    const recipe = {
      ...read,
      prompts: packageFile(read.prompts),
      preprompts: packageFile(read.preprompts),
      beside: read.beside.map((file) => packageFile(file)),
    };
    using folder = openRunFolder({
      out: recipe.out,
      name: name ?? basename(path).replace(/\.ya?ml$/, ""),
      recipe,
      mayDiffer: ["threads", "sft.threads"],
    });
    const paths = { folder: folder.path, checkpoints: folder.checkpoints, samples: folder.samples };
    const outcome = await resumable(context, () => distilStage(recipe, paths, context));
    if (outcome.winners === undefined) throw nothingSafer(outcome);
    const stages = [distilReport(outcome, sftSettings(recipe.sft), "Safety context distillation")];
    writeFileAtomically(folder.report, reportHtml({ title: folder.name, summary: [], stages, samples: [] }));
    if (json) context.stdout.write(`${JSON.stringify(outcome)}\n`);
    else
      context.stdout.write(
        `Model: ${outcome.checkpoint}\nReport: ${folder.report}\nChat: cria chat ${outcome.checkpoint}\n`,
      );
  },
});

// --- internal ---

function nothingSafer({ gains }: DistilStageOutcome): ConfigError {
  return new ConfigError(
    `no answer behind a preprompt is safer than the model's own, of ${gains.length} prompts`,
    { mend: "Sample more answers (samples), or leave the model as it is: preprompts do not make it safer." },
  );
}
