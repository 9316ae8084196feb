/** The driver's recipe against its files, before the first stage: what is wrong is not left until its stage comes. */

import { readPrompts } from "../../dialog/prompts.ts";
import { ConfigError } from "../../errors/errors.ts";
import { checkConstraints } from "../../gatt/constraints.ts";
import { readComparisons } from "../../preference/read.ts";
import { readPreprompts } from "../../rejection/distil.ts";
import type { StageName } from "../../rlhf/rlhf.ts";
import { packageFile, packageFiles } from "../package-file.ts";
import type { RlhfRecipe } from "../recipe-rlhf.ts";
import { checkDialogFiles, checkLength, checkPrompts, checkVocabulary } from "./checks.ts";

type Recipe = Omit<RlhfRecipe, "out">;

/** @throws {ConfigError} or {FormatError} for what a stage that some version has would throw. */
export async function checkRlhf(recipe: Recipe): Promise<void> {
  const { model, restart = model, prompts, held_out: heldOut } = recipe;
  const why = "versions are compared token by token with where they started";
  checkVocabulary(model, { path: restart, head: "next-token" }, why);
  for (const path of [prompts, heldOut]) checkPrompts(model, readPrompts(packageFile(path)));
  checkVersions(recipe.versions);
  for (const file of recipe.versions.flatMap(({ preferences }) => preferences))
    await readComparisons(packageFile(file));
  for (const stage of new Set(recipe.versions.flatMap(({ stages }) => stages))) checks[stage]?.(recipe);
}

// --- internal ---

const checks: Readonly<Partial<Record<StageName, (recipe: Recipe) => void>>> = {
  reward: ({ model, reward }) => checkLength({ model, seq_len: reward.seq_len }),
  reject({ model, restart = model, reject: { sft, beside } }) {
    checkLength({ model: restart, seq_len: sft.seq_len });
    checkDialogFiles(packageFiles(beside));
  },
  distil({ model, distil: { sft, beside, preprompts } }) {
    checkLength({ model, seq_len: sft.seq_len });
    readPreprompts(packageFile(preprompts));
    checkDialogFiles(packageFiles(beside));
  },
  ppo({ ppo: { held_out: heldOut } }) {
    if (heldOut !== undefined) readPrompts(packageFile(heldOut));
  },
  gatt({ model, gatt: { sft, beside, questions, constraints } }) {
    checkLength({ model, seq_len: sft.seq_len });
    checkConstraints(constraints);
    checkDialogFiles(packageFiles([questions, ...beside]));
  },
};

function checkVersions(versions: Recipe["versions"]): void {
  const names = versions.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new ConfigError(`two versions are called ${twice}`, { mend: "Give each a name of its own." });
  }
  let hasComparisons = false;
  for (const { name, stages, preferences } of versions) {
    hasComparisons ||= preferences.length > 0;
    for (const stage of stages) {
      hasComparisons ||= stage === "collect";
      if (stage !== "reward" || hasComparisons) continue;
      throw new ConfigError(`${name} trains reward models, and there are no preferences by then`, {
        mend: "List collect before reward, or name files under preferences.",
      });
    }
  }
}
