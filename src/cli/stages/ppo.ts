/** Proximal policy optimisation as a stage of a run. */

import { join } from "node:path";
import { readPrompts } from "../../dialog/prompts.ts";
import type { Opened } from "../../generate/answers.ts";
import { readModelFiles } from "../../model/load.ts";
import type { PpoEvent, PpoOptions } from "../../ppo/options.ts";
import { optimisePolicy } from "../../ppo/ppo.ts";
import type { PpoRecipe } from "../../ppo/recipe.ts";
import type { RewardFunction } from "../../reward/reward-function.ts";
import type { Precision } from "../../tensor/graph.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import { Progress } from "../progress.ts";
import { formatNumberOf } from "../terminal.ts";
import { checkVocabulary } from "./checks.ts";
import { openStageBackend, precisionOf, type StageContext } from "./context.ts";
import { StageMetrics } from "./metrics.ts";
import type { StagePaths } from "./paths.ts";
import { openReward } from "./reward-source.ts";

export interface PpoOutcome {
  /** Directory of the best policy. */
  readonly checkpoint: string;
  readonly metricsFile: string;
}

export interface PpoStageOptions {
  /** Rewards in place of the recipe's, such as a judge. */
  readonly openReward?: () => Promise<Opened<RewardFunction>>;
}

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function ppoStage(
  recipe: Omit<PpoRecipe, "out">,
  paths: Pick<StagePaths, "folder" | "checkpoints">,
  context: StageContext,
  options: PpoStageOptions = {},
): Promise<PpoOutcome> {
  const { config } = readModelFiles(recipe.model);
  const tokenizer = tokenizerOfModel(recipe.model, config.vocabSize);
  // InstructGPT: the value function "is initialized from" the reward model.
  const valueModel = recipe.value === "separate" ? recipe.reward.helpfulness : undefined;
  if (valueModel !== undefined) {
    const why = "the value function, which starts as the reward model, reads the policy's tokens";
    checkVocabulary(recipe.model, { path: valueModel, head: "scalar" }, why);
  }
  using reward = await (options.openReward ?? (() => openReward(recipe.reward, recipe)))();
  using backend = openStageBackend(recipe);
  using metrics = new StageMetrics(join(paths.folder, "metrics.jsonl"));
  using bar = new PpoBar(recipe, context, metrics);
  const checkpoint = await optimisePolicy(optionsOf(recipe, precisionOf(recipe, backend)), {
    backend,
    model: recipe.model,
    valueModel,
    tokenizer,
    prompts: readPrompts(recipe.prompts),
    heldOut: recipe.held_out === undefined ? [] : readPrompts(recipe.held_out),
    reward: reward.run,
    folder: paths.checkpoints,
    signal: context.signal,
    onEvent: (event) => bar.show(event),
  });
  return { checkpoint, metricsFile: metrics.path };
}

// --- internal ---

function optionsOf(recipe: Omit<PpoRecipe, "out">, precision: Precision): PpoOptions {
  return {
    iterations: recipe.iterations,
    batchSize: recipe.batch_size,
    miniBatchSize: Math.min(recipe.mini_batch_size, recipe.batch_size),
    microBatchSize: Math.min(recipe.micro_batch_size, recipe.mini_batch_size, recipe.batch_size),
    maxTokens: recipe.max_tokens,
    maxSequences: recipe.max_sequences,
    sampling: {
      temperature: recipe.temperature,
      topK: recipe.top_k,
      topP: recipe.top_p,
      minP: recipe.min_p,
      typicalP: recipe.typical_p,
      repeatPenalty: recipe.repeat_penalty,
      presencePenalty: recipe.presence_penalty,
      frequencyPenalty: recipe.frequency_penalty,
    },
    temperature: recipe.temperature,
    value: recipe.value,
    lr: recipe.lr,
    valueLr: recipe.value_lr,
    valueCoefficient: recipe.value_coefficient,
    epsilon: recipe.epsilon,
    valueEpsilon: recipe.value_epsilon,
    beta: recipe.beta,
    gamma: recipe.gamma,
    lambda: recipe.lambda,
    whitenScores: recipe.whiten_scores,
    whitenApart: recipe.whiten_apart,
    missingEosPenalty: recipe.missing_eos_penalty,
    beta1: recipe.beta1,
    beta2: recipe.beta2,
    eps: recipe.eps,
    weightDecay: recipe.weight_decay,
    gradClip: recipe.grad_clip,
    precision,
    lanes: recipe.lanes,
    seed: recipe.seed,
    validationEvery: recipe.validation_every,
    patience: recipe.patience,
    maxKl: recipe.max_kl,
    checkpointEvery: recipe.checkpoint_every,
    keepCheckpoints: recipe.keep_checkpoints,
  };
}

/** Shows a run's events on the terminal and writes them to its metrics. */
class PpoBar implements Disposable {
  readonly #recipe: Pick<PpoRecipe, "lr" | "batch_size">;
  readonly #context: StageContext;
  readonly #metrics: StageMetrics;
  #bar: Progress | undefined;
  /** The step that the metrics go on after. Without a checkpoint even the measurement at step 0 is made again. */
  #from = -1;
  #note = "";

  constructor(recipe: Pick<PpoRecipe, "lr" | "batch_size">, context: StageContext, metrics: StageMetrics) {
    this.#recipe = recipe;
    this.#context = context;
    this.#metrics = metrics;
  }

  show(event: PpoEvent): void {
    const { stderr } = this.#context;
    switch (event.type) {
      case "resumed":
        this.#from = event.step;
        stderr.write(`Going on after iteration ${event.step}\n`);
        break;
      case "started": {
        const { step, iterations, prompts, left } = event;
        stderr.write(`Optimising the policy on ${formatNumberOf(prompts, "prompt")}\n`);
        if (left > 0) stderr.write(`${formatNumberOf(left, "prompt")} too long for the context left out\n`);
        this.#metrics.open(this.#from);
        this.#bar = new Progress({
          label: "PPO",
          total: iterations,
          unit: "iterations",
          start: step,
          stream: stderr,
        });
        break;
      }
      case "iteration":
        this.#iteration(event);
        break;
      case "validation": {
        const { step, score, tokens } = event;
        this.#metrics.append({ step, "eval/scores": score, "eval/tokens": tokens });
        this.#note = `, held out ${score.toFixed(3)}`;
        break;
      }
      case "ended":
        this.#bar?.log(`Ended after ${formatNumberOf(event.step, "iteration")}: ${event.reason}`);
        break;
      case "checkpoint":
        break;
    }
  }

  [Symbol.dispose](): void {
    this.#bar?.end();
  }

  #iteration({ step, metrics, seconds, skipped }: PpoEvent & { type: "iteration" }): void {
    this.#metrics.append({
      step,
      episode: step * this.#recipe.batch_size,
      lr: this.#recipe.lr,
      ...metrics,
      "seconds/rollout": rounded(seconds.rollout),
      "seconds/scoring": rounded(seconds.scoring),
      "seconds/update": rounded(seconds.update),
      ...(skipped > 0 ? { skipped } : {}),
    });
    if (skipped > 0)
      this.#bar?.log(
        `Iteration ${step}: ${formatNumberOf(skipped, "gradient step")} skipped, which was not finite`,
      );
    const [scores, kl] = [metrics["objective/scores"]!, metrics["objective/kl"]!];
    this.#bar?.update({
      done: step,
      note: `score ${scores.toFixed(3)}, KL ${kl.toFixed(2)}${this.#note}`,
    });
  }
}

function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
