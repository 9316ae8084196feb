/** `cria speedrun`: from raw text to a chat, in one command. */

import { join } from "node:path";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { readDialogs } from "../../dialog/readers.ts";
import { saveCheckpoint, loadCheckpointWeights, readRunState } from "../../train/checkpoint.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import { reportHtml, type Entry, type SampleGroup } from "../../train/report.ts";
import { openRunFolder, type RunFolder } from "../../train/run-folder.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { defineCommand, type CommandContext } from "../command.ts";
import { packageFile } from "../package-file.ts";
import { SpeedrunRecipe } from "../recipe-speedrun.ts";
import { ngramBaseline } from "../stages/baseline.ts";
import { openStageBackend, resumable } from "../stages/context.ts";
import { openCorpus } from "../stages/corpus.ts";
import { stepPaths, type StagePaths } from "../stages/paths.ts";
import { checkPretraining, pretrainStage } from "../stages/pretrain.ts";
import { beforeAndAfter, rlhfReports, rlhfSummary } from "../stages/report-rlhf.ts";
import { rlhfStage, type RlhfRan } from "../stages/rlhf.ts";
import { corpusStage, pretrainReport, pretrainSummary, sftReport } from "../stages/report.ts";
import { saveSamples, writeSamples } from "../stages/samples.ts";
import { sftStage } from "../stages/sft.ts";
import { formatDuration } from "../terminal.ts";
import { sftSettings } from "./sft.ts";

export const speedrun = defineCommand({
  details:
    "The whole recipe in about ten minutes on two cores: fetches public-domain text from npm, trains a tokenizer, " +
    "pretrains a small Llama 2, fine-tunes it on conversations, and improves it by preferences, reward models, rejection " +
    "sampling, PPO and Ghost Attention; then writes samples and a report. Ctrl-C at any moment; the same command goes on.",
  args: {
    recipe: { type: "positional", default: "recipes/speedrun.yaml", description: "A YAML recipe" },
    name: {
      type: "string",
      default: "speedrun",
      valueHint: "NAME",
      description: "The run's folder under runs/",
    },
    set: {
      type: "string",
      multiple: true,
      valueHint: "KEY=VALUE",
      description: "Change a setting, such as pretrain.minutes=2",
    },
  },
  examples: ["cria speedrun", "cria speedrun recipes/speedrun-hour.yaml --name hour"],
  async run({ recipe: path, name, set }, context) {
    const recipe = readRecipe(SpeedrunRecipe, packageFile(path), set);
    const started = performance.now();
    checkPretraining(recipe.pretrain);
    using folder = openRunFolder({
      out: recipe.pretrain.out,
      name,
      recipe,
      mayDiffer: ["pretrain.threads", "sft.threads", "rlhf.threads", "rlhf.reject.sft.threads"],
    });
    const ran = await resumable(context, () => runStages(recipe, folder, context));
    const { stdout, style } = context;
    for (const { name: speaker, samples } of ran.samples) {
      stdout.write(`${speaker}:\n\n`);
      for (const { prompt, text } of samples) stdout.write(`${style.bold(`> ${prompt}`)}\n${text}\n\n`);
    }
    stdout.write(`${ran.summary.map(([key, value]) => `${key}: ${value}`).join("\n")}\n`);
    stdout.write(`Done in ${formatDuration((performance.now() - started) / 1000)} of this sitting.\n\n`);
    stdout.write(`Report: ${folder.report}\nChat:   npx cria chat ${ran.model}\n`);
  },
});

// --- internal ---

interface Ran {
  readonly model: string;
  readonly samples: readonly SampleGroup[];
  readonly summary: readonly Entry[];
}

async function runStages(recipe: SpeedrunRecipe, folder: RunFolder, context: CommandContext): Promise<Ran> {
  const pathsOf = (stage: string): StagePaths => stepPaths(folder, stage);
  using corpus = await openCorpus(recipe.pretrain, join(folder.path, "data"), context);
  const pretrainPaths = pathsOf("pretrain");
  const baseline = await ngramBaseline(corpus, pretrainPaths.folder, context);
  const pretrained = await pretrainStage(recipe.pretrain, corpus, pretrainPaths, context);

  const sftRecipe = { ...recipe.sft, model: pretrained.checkpoint, data: packageFile(recipe.sft.data) };
  const tuned = await sftStage(sftRecipe, pathsOf("sft"), context);

  const ran =
    recipe.rlhf === undefined
      ? undefined
      : await versions(recipe.rlhf, folder, { pretrained, tuned, context });
  const model = join(folder.path, "model");
  const samples = await finish(
    {
      recipe,
      checkpoints: [pretrained.checkpoint, ran?.policy ?? tuned.checkpoint],
      model,
      tokenizer: corpus.tokenizer,
      folder,
    },
    context,
  );
  const summary = [...pretrainSummary(pretrained, baseline), ...(ran === undefined ? [] : rlhfSummary(ran))];
  const report = reportHtml({
    title: folder.name === "speedrun" ? "Cria speedrun" : `Cria speedrun: ${folder.name}`,
    summary,
    stages: [
      corpusStage(corpus),
      pretrainReport(pretrained, baseline),
      sftReport(tuned, sftSettings(sftRecipe)),
      ...(ran === undefined ? [] : rlhfReports(ran, folder.path)),
    ],
    samples: [...(ran === undefined ? [] : beforeAndAfter(ran, 12)), ...samples],
  });
  writeFileAtomically(folder.report, report);
  return { model, samples, summary };
}

interface Made {
  readonly pretrained: { readonly checkpoint: string };
  readonly tuned: { readonly checkpoint: string };
  readonly context: CommandContext;
}

function versions(
  { restart, ...recipe }: NonNullable<SpeedrunRecipe["rlhf"]>,
  folder: RunFolder,
  { pretrained, tuned, context }: Made,
): Promise<RlhfRan> {
  const from = {
    model: tuned.checkpoint,
    restart: restart === "base" ? pretrained.checkpoint : tuned.checkpoint,
  };
  return rlhfStage({ ...recipe, ...from }, folder, context);
}

interface Finish {
  readonly recipe: SpeedrunRecipe;
  /** Of the base model and of the chat model. */
  readonly checkpoints: readonly [base: string, chat: string];
  readonly model: string;
  readonly tokenizer: Tokenizer;
  readonly folder: RunFolder;
}

/** Writes the finished model without its optimiser, and what both models say. */
async function finish(
  { recipe, checkpoints, model, tokenizer, folder }: Finish,
  { signal }: CommandContext,
): Promise<SampleGroup[]> {
  using backend = openStageBackend(recipe.sft);
  const [base, chat] = checkpoints;
  using baseWeights = loadCheckpointWeights(backend, base);
  using chatWeights = loadCheckpointWeights(backend, chat);
  saveCheckpoint(model, { weights: chatWeights, tokenizer, run: readRunState(chat) });
  const { seed, sample_prompts: texts } = recipe.pretrain;
  const questions = [...recipe.sft.sample_prompts, ...heldOutPrompts().slice(0, 6)];
  const goneOn = await writeSamples(
    { backend, weights: baseWeights, tokenizer },
    { kind: "text", prompts: texts, maxTokens: 80, seed },
    signal,
  );
  const answered = await writeSamples(
    { backend, weights: chatWeights, tokenizer },
    { kind: "chat", prompts: questions, maxTokens: 80, seed },
    signal,
  );
  saveSamples(folder.samples, "final", [...goneOn, ...answered]);
  return [
    { name: "The pretrained model goes on with a text", samples: goneOn },
    { name: "The finished model answers", samples: answered },
  ];
}

/** Questions that are not among the conversations. */
function heldOutPrompts(): string[] {
  const { dialogs } = readDialogs(packageFile("data/held-out-prompts.jsonl"));
  return dialogs.map((dialog) => dialog.at(-1)!.content);
}
