/** What commands have alike that run a recipe in a folder of its own: arguments, the folder, the report. */

import { basename } from "node:path";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import type { RecipeRecord } from "../train/recipe-file.ts";
import { reportHtml, type ReportStage } from "../train/report.ts";
import { openRunFolder, type RunFolder } from "../train/run-folder.ts";
import type { CommandContext } from "./command.ts";

/** Named by the declarations of every command. */
export interface TextArgument {
  readonly type: "string";
  readonly valueHint: string;
  readonly description: string;
}

export const recipeArg = { type: "positional", required: true, description: "A YAML recipe" } as const;

export const nameArg = {
  type: "string",
  valueHint: "NAME",
  description: "The run's folder under out; the recipe's name by default",
} as const;

/** @param example a setting of the command's recipe. */
export function setArg(example: string): TextArgument & { readonly multiple: true } {
  const description = `Change a setting, such as ${example}`;
  return { type: "string", multiple: true, valueHint: "KEY=VALUE", description };
}

/** @param verb what the function does to an answer. */
export function rewardArg(verb: "Score" | "Reward"): TextArgument {
  const description = `${verb} by this module's default export, a function of [{prompt, answer, isSafety}]`;
  return { type: "string", valueHint: "FILE.js", description };
}

/** The settings that `--set` and `--reward` change. */
export function overridesOf(set: readonly string[], reward: string | undefined): readonly string[] {
  return reward === undefined ? set : [...set, `reward.file=${JSON.stringify(reward)}`];
}

export interface RecipeRun {
  /** As it was given. */
  readonly path: string;
  readonly name: string | undefined;
  readonly recipe: RecipeRecord & { readonly out: string };
  /** Dotted keys that may change between the sittings of a run. */
  readonly mayDiffer: readonly string[];
}

/** The caller disposes it. */
export function openRecipeFolder({ path, recipe, mayDiffer, ...run }: RecipeRun): RunFolder {
  const { name = basename(path).replace(/\.ya?ml$/, "") } = run;
  return openRunFolder({ out: recipe.out, name, recipe, mayDiffer });
}

export function writeReport(folder: RunFolder, stages: readonly ReportStage[]): void {
  writeFileAtomically(folder.report, reportHtml({ title: folder.name, summary: [], stages, samples: [] }));
}

/** Ends a command that made a model to chat with. */
export function tellModel(
  { stdout }: Pick<CommandContext, "stdout">,
  folder: RunFolder,
  checkpoint: string,
): void {
  stdout.write(`Model: ${checkpoint}\nReport: ${folder.report}\nChat: cria chat ${checkpoint}\n`);
}
