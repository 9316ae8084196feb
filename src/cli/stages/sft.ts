/** Supervised fine-tuning as a stage of a run. */

import { join } from "node:path";
import { createRandom, shuffle } from "../../corpus/random.ts";
import { encodeDialog, type Example } from "../../dialog/llama2-chat.ts";
import { readDialogs } from "../../dialog/readers.ts";
import { readModelFiles } from "../../model/load.ts";
import { fineTune, type SftEvent, type SftOptions } from "../../sft/sft.ts";
import type { SftRecipe } from "../../sft/recipe.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import { formatNumberOf } from "../terminal.ts";
import { checkLength } from "./checks.ts";
import { openStageBackend, precisionOf, type StageContext } from "./context.ts";
import { StageMetrics } from "./metrics.ts";
import type { StagePaths } from "./paths.ts";
import { saveSamples, writeSamples } from "./samples.ts";
import { TrainingBar } from "./training-bar.ts";

export interface SftOutcome {
  /** Directory of the last checkpoint. */
  readonly checkpoint: string;
  readonly metricsFile: string;
  /** Dialogs trained on. */
  readonly dialogs: number;
}

/** Examples of a recipe's data. */
export interface SftExamples {
  readonly tokenizer: Tokenizer;
  readonly train: readonly Example[];
  readonly heldOut: readonly Example[];
}

/**
 * Reads and encodes the dialogs, and holds a seeded part of them out.
 *
 * @throws {ConfigError} when the model, its tokenizer and seq_len do not fit each other.
 */
export function readExamples(recipe: SftRecipe): SftExamples {
  checkLength(recipe);
  const { config } = readModelFiles(recipe.model);
  const tokenizer = tokenizerOfModel(recipe.model, config.vocabSize);
  const { dialogs } = readDialogs(recipe.data);
  const examples = shuffle(dialogs, createRandom(recipe.seed)).map((dialog) =>
    encodeDialog(dialog, tokenizer),
  );
  const heldOut = Math.floor(examples.length * recipe.validation_fraction);
  return { tokenizer, train: examples.slice(heldOut), heldOut: examples.slice(0, heldOut) };
}

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function sftStage(
  recipe: SftRecipe,
  paths: StagePaths,
  context: StageContext,
): Promise<SftOutcome> {
  return await tuneOnExamples(recipe, readExamples(recipe), paths, context);
}

/** The same, on examples that were made otherwise. */
export async function tuneOnExamples(
  recipe: Omit<SftRecipe, "data">,
  { tokenizer, train, heldOut }: SftExamples,
  paths: StagePaths,
  context: StageContext,
): Promise<SftOutcome> {
  using backend = openStageBackend(recipe);
  const options: SftOptions = {
    batchSize: recipe.batch_size,
    microBatchSize: Math.min(recipe.micro_batch_size, recipe.batch_size),
    seqLen: recipe.seq_len,
    epochs: recipe.epochs,
    lr: recipe.lr,
    warmupRatio: recipe.warmup_ratio,
    minLrRatio: recipe.min_lr_ratio,
    beta1: recipe.beta1,
    beta2: recipe.beta2,
    eps: recipe.eps,
    weightDecay: recipe.weight_decay,
    gradClip: recipe.grad_clip,
    precision: precisionOf(recipe, backend),
    lanes: recipe.lanes,
    seed: recipe.seed,
    validationEvery: recipe.validation_every,
    checkpointEvery: recipe.checkpoint_every,
    keepCheckpoints: recipe.keep_checkpoints,
    sampleEvery: recipe.sample_every,
  };
  const metrics = new StageMetrics(join(paths.folder, "metrics.jsonl"));
  const bar = new TrainingBar("Fine-tuning", context, metrics);
  const checkpoint = await fineTune(options, {
    backend,
    model: recipe.model,
    tokenizer,
    examples: train,
    heldOut,
    folder: paths.checkpoints,
    signal: context.signal,
    onEvent: (event) => show(bar, event),
    sample: async (weights, step) => {
      const settings = {
        kind: "chat",
        prompts: recipe.sample_prompts,
        maxTokens: 64,
        seed: recipe.seed,
      } as const;
      const samples = await writeSamples({ backend, weights, tokenizer }, settings, context.signal);
      saveSamples(paths.samples, `sft-${String(step).padStart(8, "0")}`, samples);
    },
  }).finally(() => {
    bar[Symbol.dispose]();
    metrics[Symbol.dispose]();
  });
  return { checkpoint, metricsFile: metrics.path, dialogs: train.length };
}

// --- internal ---

function show(bar: TrainingBar, event: SftEvent): void {
  switch (event.type) {
    case "resumed":
      bar.resumed(event.step);
      break;
    case "started": {
      const cut = `${formatNumberOf(event.truncated, "dialog")} longer than seq_len lost the end`;
      const rows = `Fine-tuning on ${formatNumberOf(event.rows, "packed sequence")} an epoch`;
      bar.started(event.steps, rows, ...(event.truncated > 0 ? [cut] : []));
      break;
    }
    case "step":
      bar.step(event);
      break;
    case "validation": {
      const { step, loss } = event;
      bar.measured({ step, validationLoss: loss }, `held out ${loss.toFixed(3)}`);
      break;
    }
    case "checkpoint":
      break;
  }
}
