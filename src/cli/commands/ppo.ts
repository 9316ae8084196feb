/** `cria ppo RECIPE`: a policy that is rewarded for its answers. */

import { PpoRecipe } from "../../ppo/recipe.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import type { Entry } from "../../train/report.ts";
import { defineCommand } from "../command.ts";
import { packageFile } from "../package-file.ts";
import { openRecipeFolder, overridesOf, pathsOf, policyArgs, tellOutcome } from "../recipe-run.ts";
import { resumable } from "../stages/context.ts";
import { ppoStage } from "../stages/ppo.ts";
import { ppoReport } from "../stages/report-ppo.ts";

export const ppoCommand = defineCommand({
  details:
    "The policy answers prompts, its answers are rewarded by two reward models or a function, less a penalty for leaving " +
    "the policy that it began as. It ends early by the reward of held-out prompts, and at too large a KL. Ctrl-C saves a " +
    "checkpoint; the same command goes on after it.",
  args: policyArgs("Reward", "beta=0.02"),
  examples: [
    "cria ppo ppo.yaml",
    "cria ppo ppo.yaml --reward brief.js --set batch_size=64 --set value=shared",
  ],
  async run({ recipe: path, name, reward, set, json }, context) {
    const read = readRecipe(PpoRecipe, packageFile(path), overridesOf(set, reward));
    const heldOut = read.held_out === undefined ? {} : { held_out: packageFile(read.held_out) };
    const recipe = { ...read, prompts: packageFile(read.prompts), ...heldOut };
    using folder = openRecipeFolder({
      path,
      name,
      recipe,
      mayDiffer: ["threads", "device", "out", "checkpoint_every", "keep_checkpoints"],
    });
    const outcome = await resumable(context, () => ppoStage(recipe, pathsOf(folder), context));
    const stages = [ppoReport(outcome, ppoSettings(recipe))];
    tellOutcome(context, folder, outcome, { isJson: json, stages });
  },
});

function ppoSettings(recipe: PpoRecipe): Entry[] {
  return [
    ["policy", recipe.model],
    ["batch", `${recipe.batch_size} answers, ${recipe.mini_batch_size} to a gradient step`],
    ["learning rate", `${recipe.lr}, constant`],
    [
      "value function",
      recipe.value === "shared" ? "a head on the policy" : `its own model, ${recipe.value_lr}`,
    ],
    ["KL penalty β", String(recipe.beta)],
    ["clip ε", String(recipe.epsilon)],
    ["γ, λ", `${recipe.gamma}, ${recipe.lambda}`],
    ["AdamW", `β₁ ${recipe.beta1}, β₂ ${recipe.beta2}, ε ${recipe.eps}, decay ${recipe.weight_decay}`],
    ["temperature", String(recipe.temperature)],
  ];
}
