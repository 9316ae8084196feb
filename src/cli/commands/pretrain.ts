/** `cria pretrain RECIPE`: from text to a base model. */

import { join } from "node:path";
import { makeDirectory } from "../../formats/make-directory.ts";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { PretrainRecipe } from "../../pretrain/recipe.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import { reportHtml } from "../../train/report.ts";
import type { RunFolder } from "../../train/run-folder.ts";
import { defineCommand, type CommandContext } from "../command.ts";
import { packageFile } from "../package-file.ts";
import { jsonArg, nameArg, openRecipeFolder, pathsOf, recipeArg, setArg } from "../recipe-run.ts";
import { ngramBaseline, type Baseline } from "../stages/baseline.ts";
import { openCorpus, openPrepared } from "../stages/corpus.ts";
import { resumable } from "../stages/context.ts";
import { checkPretraining, pretrainStage, type PretrainOutcome } from "../stages/pretrain.ts";
import { corpusStage, pretrainNumbers, pretrainReport, pretrainSummary } from "../stages/report.ts";

export const pretrainCommand = defineCommand({
  details:
    "Prepares the corpus and the tokenizer in the run's folder unless the recipe names them, then trains. Ctrl-C saves " +
    "a checkpoint; the same command goes on after it. Settings that the recipe leaves out are Llama 2's.",
  args: {
    recipe: recipeArg,
    name: nameArg,
    set: setArg("lr=1e-3"),
    json: jsonArg,
  },
  examples: [
    "cria pretrain recipes/small.yaml",
    "cria pretrain recipes/small.yaml --name tiny --set model=tiny --set steps=100",
  ],
  async run({ recipe: path, name, set, json }, context) {
    const recipe = readRecipe(PretrainRecipe, packageFile(path), set);
    checkPretraining(recipe);
    using folder = openRecipeFolder({ path, name, recipe, mayDiffer: mayChange });
    const { outcome, baseline } = await resumable(context, () => runStage(recipe, folder, context));
    const { checkpoint, metricsFile } = outcome;
    const { stdout } = context;
    if (json) {
      const numbers = pretrainNumbers(outcome);
      stdout.write(`${JSON.stringify({ checkpoint, metricsFile, ...numbers, baseline })}\n`);
      return;
    }
    const summary = pretrainSummary(outcome, baseline);
    stdout.write(summary.map(([key, value]) => `${key}: ${value}\n`).join(""));
    stdout.write(`Model: ${checkpoint}\nReport: ${folder.report}\n`);
  },
});

/** Where a run computes and how often it looks up does not change what it learns. */
export const mayChange = [
  "threads",
  "device",
  "out",
  "checkpoint_every",
  "keep_checkpoints",
  "sample_every",
  "sample_prompts",
];

// --- internal ---

interface Ran {
  readonly outcome: PretrainOutcome;
  readonly baseline: Baseline | undefined;
}

/** Prepares the corpus, trains and writes the report. */
async function runStage(recipe: PretrainRecipe, folder: RunFolder, context: CommandContext): Promise<Ran> {
  const data = recipe.data ?? join(folder.path, "data");
  using corpus = recipe.data === undefined ? await openCorpus(recipe, data, context) : openPrepared(data);
  const stageFolder = join(folder.path, "pretrain");
  makeDirectory(stageFolder);
  const baseline = await ngramBaseline(corpus, stageFolder, context);
  const outcome = await pretrainStage(recipe, corpus, pathsOf(folder), context);
  const report = reportHtml({
    title: folder.name,
    summary: pretrainSummary(outcome, baseline),
    stages: [corpusStage(corpus), pretrainReport(outcome, baseline)],
    samples: [],
  });
  writeFileAtomically(folder.report, report);
  return { outcome, baseline };
}
