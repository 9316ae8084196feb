/** `cria sft RECIPE`: from a base model and conversations to a chat model. */

import { colouredByMask } from "../../dialog/show.ts";
import { SftRecipe } from "../../sft/recipe.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import type { Entry } from "../../train/report.ts";
import { defineCommand } from "../command.ts";
import { packageFile } from "../package-file.ts";
import {
  jsonArg,
  nameArg,
  openRecipeFolder,
  pathsOf,
  recipeArg,
  setArg,
  tellOutcome,
} from "../recipe-run.ts";
import { readExamples, sftStage } from "../stages/sft.ts";
import { resumable } from "../stages/context.ts";
import { sftReport } from "../stages/report.ts";
import { styleFor } from "../terminal.ts";
import { mayChange } from "./pretrain.ts";

export const sftCommand = defineCommand({
  details:
    "Trains on the answers' tokens only, in Llama 2's chat format. The data may be messages, prompt/response, Alpaca or " +
    "ShareGPT. Ctrl-C saves a checkpoint; the same command goes on after it.",
  args: {
    recipe: recipeArg,
    name: nameArg,
    set: setArg("epochs=3"),
    debug: {
      type: "boolean",
      description: "Show the first examples' tokens coloured by what is trained on, and stop",
    },
    json: jsonArg,
  },
  examples: [
    "cria sft recipes/faq.yaml",
    "cria sft recipes/faq.yaml --set model=runs/speedrun/model --debug",
  ],
  async run({ recipe: path, name, set, debug, json }, context) {
    const read = readRecipe(SftRecipe, packageFile(path), set);
    const recipe = { ...read, data: packageFile(read.data) };
    if (debug) {
      const { train, tokenizer } = readExamples(recipe);
      const useColour = styleFor(context.stdout, process.env).bold("x") !== "x";
      for (const example of train.slice(0, 5))
        context.stdout.write(`${colouredByMask(example, tokenizer, useColour)}\n\n`);
      return;
    }
    using folder = openRecipeFolder({ path, name, recipe, mayDiffer: mayChange });
    const outcome = await resumable(context, () => sftStage(recipe, pathsOf(folder), context));
    const stages = [sftReport(outcome, sftSettings(recipe))];
    tellOutcome(context, folder, outcome, { isJson: json, stages });
  },
});

export function sftSettings(recipe: Omit<SftRecipe, "model" | "data">): Entry[] {
  return [
    ["batch", `${recipe.batch_size} × ${recipe.seq_len} tokens`],
    ["epochs", String(recipe.epochs)],
    ["learning rate", `${recipe.lr}, cosine to ${recipe.min_lr_ratio} of it`],
    ["decay", String(recipe.weight_decay)],
  ];
}
