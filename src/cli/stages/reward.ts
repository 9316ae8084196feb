/** Training and measuring a reward model as a stage of a run. */

import { join } from "node:path";
import { createRandom, shuffle } from "../../corpus/random.ts";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { readModelFiles } from "../../model/load.ts";
import type { Comparison } from "../../preference/comparison.ts";
import { findLeakage } from "../../preference/leakage.ts";
import { readComparisons } from "../../preference/read.ts";
import { evaluateScores, type RewardEvaluation } from "../../reward/evaluate.ts";
import { mixed } from "../../reward/mix.ts";
import { encodePair } from "../../reward/pairs.ts";
import { dataShareOf, safetyWeightOf, type RewardRecipe } from "../../reward/recipe.ts";
import { trainReward, type RewardEvent, type RewardOptions } from "../../reward/reward.ts";
import { openRewardModel } from "../../reward/scorer.ts";
import type { Backend } from "../../tensor/backend.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import { formatNumberOf } from "../terminal.ts";
import { checkLength } from "./checks.ts";
import { openStageBackend, precisionOf, type StageContext } from "./context.ts";
import { StageMetrics } from "./metrics.ts";
import type { StagePaths } from "./paths.ts";
import { TrainingBar } from "./training-bar.ts";

export interface RewardOutcome {
  /** Directory of the reward model. */
  readonly checkpoint: string;
  readonly metricsFile: string;
  /** Pairs trained on, and how many of them were drawn from `other_data`. */
  readonly pairs: number;
  readonly drawn: number;
  /** Comparisons left out of training because their prompts are held out. */
  readonly leaking: number;
  /** On what was held out of `data`, and on each file of `test_data`, by name. */
  readonly evaluations: readonly { readonly name: string; readonly evaluation: RewardEvaluation }[];
}

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function rewardStage(
  recipe: RewardRecipe,
  paths: Pick<StagePaths, "folder" | "checkpoints">,
  context: StageContext,
): Promise<RewardOutcome> {
  const { config } = readModelFiles(recipe.model);
  checkLength(recipe);
  const tokenizer = tokenizerOfModel(recipe.model, config.vocabSize);
  const data = await readRewardData(recipe);
  const { drawn, missing } = data.mix;
  if (missing > 0)
    context.stderr.write(`${formatNumberOf(missing, "pair")} fewer in other_data than the mix wants\n`);
  const metrics = new StageMetrics(join(paths.folder, "metrics.jsonl"));
  const bar = new TrainingBar("Reward model", context, metrics);
  const encode = (comparison: Comparison) =>
    encodePair(comparison, tokenizer, { seqLen: recipe.seq_len, margin: recipe.margin });
  const train = async (): Promise<string> => {
    using backend = openStageBackend(recipe);
    return await trainReward(rewardOptions(recipe, backend), {
      backend,
      model: recipe.model,
      tokenizer,
      pairs: data.mix.pairs.map(encode),
      heldOut: data.heldOut.map(encode),
      folder: paths.checkpoints,
      signal: context.signal,
      onEvent: (event) => show(bar, event),
    });
  };
  const checkpoint = await train().finally(() => {
    bar[Symbol.dispose]();
    metrics[Symbol.dispose]();
  });
  const evaluations = await evaluateAll(checkpoint, data.tests, { recipe, context });
  writeFileAtomically(join(paths.folder, "evaluation.json"), `${JSON.stringify(evaluations, null, 2)}\n`);
  const { leaking } = data;
  const pairs = data.mix.pairs.length;
  return { checkpoint, metricsFile: metrics.path, pairs, drawn, leaking, evaluations };
}

// --- internal ---

interface NamedComparisons {
  readonly name: string;
  readonly comparisons: readonly Comparison[];
}

/** Held out are conversations, not pairs: what shares a held-out prompt is not trained on. */
async function readRewardData(recipe: RewardRecipe) {
  const own = shuffle(await readAll(recipe.data), createRandom(recipe.seed));
  const held = Math.floor(own.length * recipe.validation_fraction);
  const heldOut = own.slice(0, held);
  const tests: NamedComparisons[] = [{ name: "held out", comparisons: heldOut }];
  for (const name of recipe.test_data) tests.push({ name, comparisons: await readAll([name]) });
  const tested = tests.flatMap(({ comparisons }) => comparisons);
  const kept = withoutPrompts(own.slice(held), tested);
  const rest = withoutPrompts(await readAll(recipe.other_data), tested);
  const mix = mixed(kept, rest, dataShareOf(recipe), createRandom(recipe.seed));
  return { heldOut, tests, mix, leaking: own.length - held - kept.length };
}

async function readAll(files: readonly string[]): Promise<Comparison[]> {
  const read: Comparison[] = [];
  for (const file of files) read.push(...(await readComparisons(file)).comparisons);
  return read;
}

function withoutPrompts(comparisons: readonly Comparison[], tested: readonly Comparison[]): Comparison[] {
  const { equal, overlapping } = findLeakage(tested, comparisons);
  const leaking = new Set([...equal, ...overlapping]);
  return comparisons.filter((_, place) => !leaking.has(place));
}

function rewardOptions(recipe: RewardRecipe, backend: Backend): RewardOptions {
  return {
    batchSize: recipe.batch_size,
    microBatchSize: Math.min(recipe.micro_batch_size, recipe.batch_size),
    seqLen: recipe.seq_len,
    epochs: recipe.epochs,
    lr: recipe.lr,
    warmupRatio: recipe.warmup_ratio,
    minWarmupSteps: recipe.min_warmup_steps,
    minLrRatio: recipe.min_lr_ratio,
    safetyWeight: safetyWeightOf(recipe),
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
  };
}

async function evaluateAll(
  checkpoint: string,
  tests: readonly NamedComparisons[],
  { recipe, context }: { recipe: RewardRecipe; context: StageContext },
): Promise<RewardOutcome["evaluations"]> {
  const { device, threads, seq_len: longest } = recipe;
  using scorer = openRewardModel(checkpoint, {
    device,
    longest,
    ...(threads === undefined ? {} : { threads }),
  });
  const evaluations: { name: string; evaluation: RewardEvaluation }[] = [];
  for (const { name, comparisons } of tests) {
    if (comparisons.length === 0) continue;
    const answers = comparisons.flatMap(({ prompt, chosen, rejected }) => [
      { prompt, answer: chosen },
      { prompt, answer: rejected },
    ]);
    const scores = await scorer.score(answers, context.signal);
    const scored = comparisons.map((comparison, i) => ({
      comparison,
      chosen: scores[2 * i]!,
      rejected: scores[2 * i + 1]!,
    }));
    evaluations.push({ name, evaluation: evaluateScores(scored) });
  }
  return evaluations;
}

function show(bar: TrainingBar, event: RewardEvent): void {
  switch (event.type) {
    case "resumed":
      bar.resumed(event.step);
      break;
    case "started":
      bar.started(event.steps, `Training a reward model on ${formatNumberOf(event.pairs, "pair")}`);
      break;
    case "step":
      bar.step(event);
      break;
    case "validation": {
      const { step, loss, accuracy } = event;
      bar.measured(
        { step, validationLoss: loss, accuracy },
        `held out ${(100 * accuracy).toFixed(1)}% right`,
      );
      break;
    }
    case "checkpoint":
      break;
  }
}
