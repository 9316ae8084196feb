/** Pretraining as a stage of a run: plan, train with a progress bar, measure, sample. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { readJsonFile } from "../../formats/json.ts";
import type { LlamaConfig } from "../../model/config.ts";
import { pretrain, stepsInTime, type PretrainEvent, type PretrainOptions } from "../../pretrain/pretrain.ts";
import { batchTokens, modelConfigOf, trainingLength, type PretrainRecipe } from "../../pretrain/recipe.ts";
import type { Backend } from "../../tensor/backend.ts";
import { cosineSchedule } from "../../train/schedule.ts";
import { formatBytes, formatCount } from "../terminal.ts";
import { openStageBackend, positiveInteger, precisionOf, type StageContext } from "./context.ts";
import type { PreparedCorpus } from "./corpus.ts";
import { StageMetrics } from "./metrics.ts";
import type { StagePaths } from "./paths.ts";
import { saveSamples, writeSamples } from "./samples.ts";
import { TrainingBar } from "./training-bar.ts";

export interface PretrainOutcome {
  /** Directory of the last checkpoint. */
  readonly checkpoint: string;
  readonly config: LlamaConfig;
  readonly options: PretrainOptions;
  readonly metricsFile: string;
}

/**
 * Refuses at once what would else be refused after the corpus is prepared.
 *
 * @throws {ConfigError} for a shape, a length, a schedule or a device that cannot be.
 */
export function checkPretraining(recipe: PretrainRecipe): void {
  // The size of a vocabulary that is yet to be read does not matter to the rest.
  modelConfigOf(recipe, "path" in recipe.tokenizer ? 32_000 : recipe.tokenizer.vocab_size);
  const { lr: peak, warmup_steps: warmupSteps, min_lr_ratio: minRatio } = recipe;
  const length = trainingLength(recipe);
  if (length.by === "steps") cosineSchedule({ peak, warmupSteps, steps: length.steps, minRatio });
  openStageBackend(recipe)[Symbol.dispose]();
}

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function pretrainStage(
  recipe: PretrainRecipe,
  corpus: PreparedCorpus,
  paths: StagePaths,
  context: StageContext,
): Promise<PretrainOutcome> {
  using backend = openStageBackend(recipe);
  const config = modelConfigOf(recipe, corpus.tokenizer.vocabSize);
  const options = await planned(recipe, config, { backend, folder: paths.folder, context });
  const metrics = new StageMetrics(join(paths.folder, "metrics.jsonl"));
  const bar = new TrainingBar("Pretraining", context, metrics);
  const checkpoint = await pretrain(options, {
    backend,
    train: corpus.train,
    validation: corpus.validation,
    tokenizer: corpus.tokenizer,
    folder: paths.checkpoints,
    signal: context.signal,
    onEvent: (event) => show(bar, event, options),
    sample: async (weights, step) => {
      const settings = {
        kind: "text",
        prompts: recipe.sample_prompts,
        maxTokens: 64,
        seed: recipe.seed,
      } as const;
      const samples = await writeSamples(
        { backend, weights, tokenizer: corpus.tokenizer },
        settings,
        context.signal,
      );
      saveSamples(paths.samples, `pretrain-${String(step).padStart(8, "0")}`, samples);
    },
  }).finally(() => {
    bar[Symbol.dispose]();
    metrics[Symbol.dispose]();
  });
  return { checkpoint, config, options, metricsFile: metrics.path };
}

// --- internal ---

interface PlanPlace {
  readonly backend: Backend;
  readonly folder: string;
  readonly context: StageContext;
}

/** How long the run is. A length in minutes becomes steps once, on this machine, and stays so when the run goes on. */
async function planned(
  recipe: PretrainRecipe,
  config: LlamaConfig,
  place: PlanPlace,
): Promise<PretrainOptions> {
  const length = trainingLength(recipe);
  const options = (steps: number): PretrainOptions =>
    optionsOf(recipe, config, { steps, backend: place.backend });
  if (length.by === "steps") return options(length.steps);
  const file = join(place.folder, "plan.json");
  if (existsSync(file)) {
    const plan = readJsonFile(file) as { steps?: unknown };
    return options(positiveInteger(plan.steps, `steps in ${file}`));
  }
  place.context.stderr.write(`Measuring how many steps fit into ${length.minutes} minutes\n`);
  const steps = await stepsInTime(options(1), place.backend, length.minutes * 60);
  writeFileAtomically(file, `${JSON.stringify({ steps, minutes: length.minutes })}\n`);
  return options(steps);
}

function optionsOf(
  recipe: PretrainRecipe,
  config: LlamaConfig,
  { steps, backend }: { steps: number; backend: Backend },
): PretrainOptions {
  // A run that is as long as the time allows may be shorter than the recipe's warm-up.
  const warmupSteps =
    recipe.minutes === undefined ? recipe.warmup_steps : Math.min(recipe.warmup_steps, Math.floor(steps / 4));
  return {
    config,
    steps,
    warmupSteps,
    batchSize: recipe.batch_size,
    seqLen: recipe.seq_len,
    gradientAccumulation: recipe.gradient_accumulation,
    lr: recipe.lr,
    minLrRatio: recipe.min_lr_ratio,
    beta1: recipe.beta1,
    beta2: recipe.beta2,
    eps: recipe.eps,
    weightDecay: recipe.weight_decay,
    gradClip: recipe.grad_clip,
    precision: precisionOf(recipe, backend),
    lanes: recipe.lanes,
    initStd: recipe.init_std,
    seed: recipe.seed,
    validationEvery: recipe.validation_every,
    checkpointEvery: recipe.checkpoint_every,
    keepCheckpoints: recipe.keep_checkpoints,
    sampleEvery: recipe.sample_every,
  };
}

function show(bar: TrainingBar, event: PretrainEvent, options: PretrainOptions): void {
  switch (event.type) {
    case "resumed":
      bar.resumed(event.step, ` of ${options.steps}`);
      break;
    case "started":
      bar.started(options.steps, startLine(event, options));
      break;
    case "step":
      bar.step(event);
      break;
    case "validation": {
      const { step, loss, bitsPerByte } = event;
      bar.measured(
        { step, validationLoss: loss, bitsPerByte },
        `validation ${bitsPerByte.toFixed(3)} bits/byte`,
      );
      break;
    }
    case "checkpoint":
      break;
  }
}

function startLine(
  { parameterBytes, nativeBytes }: PretrainEvent & { type: "started" },
  { steps, seqLen, batchSize, gradientAccumulation, precision }: PretrainOptions,
): string {
  const batch = { seq_len: seqLen, batch_size: batchSize, gradient_accumulation: gradientAccumulation };
  const tokens = steps * batchTokens(batch);
  return (
    `Pretraining ${formatCount(parameterBytes / 4)} parameters on ${formatCount(tokens)} tokens in ${steps} steps, ` +
    `${precision}, ${formatBytes(nativeBytes)} of memory`
  );
}
