/** `cria gatt RECIPE`: an instruction at the first turn that holds through the dialog. */

import { GattRecipe } from "../../gatt/recipe.ts";
import { readRecipe } from "../../train/recipe-file.ts";
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
import { resumable } from "../stages/context.ts";
import { gattStage } from "../stages/gatt.ts";
import { gattReport } from "../stages/report-gatt.ts";
import { sftSettings } from "./sft.ts";

export const gattCommand = defineCommand({
  details:
    "Ghost Attention: the model answers dialogs with an instruction at every turn, then is fine-tuned on the last " +
    "answers with the instruction at the first turn only. Measures how long instructions are kept to, before and after.",
  args: {
    recipe: recipeArg,
    name: nameArg,
    set: setArg("dialogs=500"),
    json: jsonArg,
  },
  examples: ["cria gatt gatt.yaml", "cria gatt gatt.yaml --set 'constraints.opening=[Ahoy]'"],
  async run({ recipe: path, name, set, json }, context) {
    const read = readRecipe(GattRecipe, packageFile(path), set);
    const recipe = { ...read, questions: packageFile(read.questions) };
    using folder = openRecipeFolder({ path, name, recipe, mayDiffer: ["threads", "sft.threads"] });
    const outcome = await resumable(context, () => gattStage(recipe, pathsOf(folder), context));
    const stages = [gattReport(outcome, sftSettings(recipe.sft), "Ghost Attention")];
    tellOutcome(context, folder, outcome, { isJson: json, stages });
  },
});
