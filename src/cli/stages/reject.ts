/** Rejection-sampling fine-tuning and safety context distillation as stages of a run. */

import { join } from "node:path";
import { readPrompts, type Prompt } from "../../dialog/prompts.ts";
import type { JsonObject } from "../../formats/json.ts";
import type { Opened } from "../../generate/answers.ts";
import { askedPrompts, distil, readPreprompts, type DistilOutcome } from "../../rejection/distil.ts";
import type { DistilRecipe } from "../../rejection/recipe-distil.ts";
import type { RejectionEvent, RejectionInputs, RejectionOutcome } from "../../rejection/rejection.ts";
import { rejectionSampling } from "../../rejection/rejection.ts";
import type { RejectionRecipe } from "../../rejection/recipe.ts";
import type { RewardFunction } from "../../reward/reward-function.ts";
import { Progress } from "../progress.ts";
import { formatNumberOf } from "../terminal.ts";
import { openAnswerSampler } from "./answers.ts";
import { checkDialogFiles, checkLength, checkPrompts } from "./checks.ts";
import type { StageContext } from "./context.ts";
import type { StagePaths } from "./paths.ts";
import { checkReward, openReward } from "./reward-source.ts";
import { sftStage } from "./sft.ts";

export interface RejectOutcome extends RejectionOutcome {
  readonly metricsFile: string;
}

export interface RejectOptions {
  /** Scores in place of the recipe's reward, such as a judge. */
  readonly openReward?: () => Promise<Opened<RewardFunction>>;
  /** Names the reward in the log of scores. */
  readonly rewardName?: string;
}

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function rejectStage(
  recipe: RejectionRecipe,
  paths: StagePaths,
  context: StageContext,
  options: RejectOptions = {},
): Promise<RejectOutcome> {
  const { sampler, temperatures, samples, seed, beside } = recipe;
  const prompts = readPrompts(recipe.prompts);
  await checkBefore(recipe, options, { sampler, prompts });
  using inputs = rejectionInputs(recipe, paths, context, options);
  const plan = { prompts, temperatures, samples, seed, beside };
  const outcome = await rejectionSampling(plan, inputs);
  return { ...outcome, metricsFile: metricsOf(paths) };
}

export interface DistilStageOutcome extends DistilOutcome {
  readonly metricsFile: string;
}

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function distilStage(
  recipe: DistilRecipe,
  paths: StagePaths,
  context: StageContext,
  options: RejectOptions = {},
): Promise<DistilStageOutcome> {
  const { model, temperature, samples, seed, beside } = recipe;
  const [prompts, preprompts] = [readPrompts(recipe.prompts), readPreprompts(recipe.preprompts)];
  const plan = { model, prompts, preprompts, temperature, samples, seed, beside };
  await checkBefore(recipe, options, { sampler: model, prompts: askedPrompts(plan) });
  using inputs = rejectionInputs({ ...recipe, sampler: model }, paths, context, options);
  return { ...(await distil(plan, inputs)), metricsFile: metricsOf(paths) };
}

// --- internal ---

/** Sampling may take hours: what would be refused after it is refused before. */
async function checkBefore(
  { model, sft, beside, reward }: Pick<RejectionRecipe, "model" | "sft" | "beside" | "reward">,
  { openReward: other }: RejectOptions,
  { sampler, prompts }: { readonly sampler: string; readonly prompts: readonly Prompt[] },
): Promise<void> {
  checkLength({ model, seq_len: sft.seq_len });
  checkPrompts(sampler, prompts);
  checkDialogFiles(beside);
  if (other === undefined) await checkReward(reward);
}

function metricsOf(paths: StagePaths): string {
  return join(paths.folder, "metrics.jsonl");
}

type InputsRecipe = Pick<
  RejectionRecipe,
  "sampler" | "model" | "prompts" | "reward" | "top_p" | "max_tokens" | "sft" | "device" | "threads"
>;

/** What both ways of choosing answers need: a sampler, a reward and the fine-tuning. The caller disposes it. */
function rejectionInputs(
  recipe: InputsRecipe,
  paths: StagePaths,
  context: StageContext,
  options: RejectOptions,
): RejectionInputs & Disposable {
  const { sampler, prompts, reward, top_p, max_tokens, sft, model } = recipe;
  const bar = new RejectionBar(context);
  const judged: JsonObject =
    options.rewardName === undefined
      ? Object.fromEntries(
          Object.entries(reward).flatMap(([key, path]) => (path === undefined ? [] : [[key, path]])),
        )
      : { reward: options.rewardName };
  return {
    openSampler: () => openAnswerSampler(sampler, recipe),
    openReward: options.openReward ?? (() => openReward(reward, recipe)),
    fineTune: async (data) => {
      bar.end();
      return (await sftStage({ ...sft, model, data }, paths, context)).checkpoint;
    },
    folder: paths.folder,
    origin: { samples: { sampler, prompts, top_p, max_tokens }, scores: judged },
    onEvent: (event) => bar.show(event),
    signal: context.signal,
    [Symbol.dispose]: () => bar.end(),
  };
}

const labels = { sampling: "Sampling", scoring: "Scoring" } as const;
const units = { sampling: "answers", scoring: "answers" } as const;

/** Shows a run's events on the terminal. */
class RejectionBar {
  readonly #context: StageContext;
  #bar: Progress | undefined;
  #type = "";

  constructor(context: StageContext) {
    this.#context = context;
  }

  show(event: RejectionEvent): void {
    const { stderr } = this.#context;
    if (event.type === "selected") {
      this.end();
      const { winners, dialogs } = event;
      stderr.write(
        `Kept ${formatNumberOf(winners, "winner")}, fine-tuning on ${formatNumberOf(dialogs, "dialog")}\n`,
      );
      return;
    }
    if (event.type !== this.#type) {
      this.end();
      this.#type = event.type;
      const [label, unit] = [labels[event.type], units[event.type]];
      this.#bar = new Progress({ label, total: event.of, unit, start: event.done, stream: stderr });
    }
    this.#bar?.update({ done: event.done });
  }

  end(): void {
    this.#bar?.end();
    this.#bar = undefined;
  }
}
