/** What commands have alike that run a recipe in a folder of its own: arguments, the folder, the report. */

import { basename } from "node:path";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import type { RecipeRecord } from "../train/recipe-file.ts";
import { reportHtml, type ReportStage } from "../train/report.ts";
import { openRunFolder, type RunFolder } from "../train/run-folder.ts";
import type { CommandContext } from "./command.ts";
import type { StagePaths } from "./stages/paths.ts";

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

export const jsonArg = { type: "boolean", description: "Print the outcome as JSON" } as const;

/** @param example a setting of the command's recipe. */
export function setArg(example: string): TextArgument & { readonly multiple: true } {
  const description = `Change a setting, such as ${example}`;
  return { type: "string", multiple: true, valueHint: "KEY=VALUE", description };
}

/** @param verb what the function does to an answer. */
function rewardArg(verb: "Score" | "Reward"): TextArgument {
  const description = `${verb} by this module's default export, a function of [{prompt, answer, isSafety}]`;
  return { type: "string", valueHint: "FILE.js", description };
}

// An interface could have further keys, and would be no record of arguments.
export type PolicyArgs = {
  readonly recipe: typeof recipeArg;
  readonly name: typeof nameArg;
  readonly reward: TextArgument;
  readonly set: ReturnType<typeof setArg>;
  readonly json: typeof jsonArg;
};

/** The arguments of a command that improves a policy by rewards. */
export function policyArgs(verb: "Score" | "Reward", example: string): PolicyArgs {
  return { recipe: recipeArg, name: nameArg, reward: rewardArg(verb), set: setArg(example), json: jsonArg };
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

/** Where a run of one stage keeps what it makes. */
export function pathsOf({ path, checkpoints, samples }: RunFolder): StagePaths {
  return { folder: path, checkpoints, samples };
}

export interface Outcome {
  readonly checkpoint: string;
}

export interface OutcomeOptions {
  readonly isJson: boolean;
  readonly stages: readonly ReportStage[];
}

/** Ends a command whose outcome is a model to chat with: its report, and what it made, for people or as JSON. */
export function tellOutcome(
  { stdout }: Pick<CommandContext, "stdout">,
  folder: RunFolder,
  outcome: Outcome,
  { isJson, stages }: OutcomeOptions,
): void {
  writeReport(folder, stages);
  const { checkpoint } = outcome;
  stdout.write(
    isJson
      ? `${JSON.stringify(outcome)}\n`
      : `Model: ${checkpoint}\nReport: ${folder.report}\nChat: cria chat ${checkpoint}\n`,
  );
}
