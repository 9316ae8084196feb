/** Rejection-sampling fine-tuning as a stage of a run. */

import { join } from "node:path";
import { readPrompts } from "../../dialog/prompts.ts";
import type { JsonObject } from "../../formats/json.ts";
import type { Opened } from "../../generate/answers.ts";
import type { RejectionEvent, RejectionOutcome } from "../../rejection/rejection.ts";
import { rejectionSampling } from "../../rejection/rejection.ts";
import type { RejectionRecipe } from "../../rejection/recipe.ts";
import type { RewardFunction } from "../../reward/reward-function.ts";
import { Progress } from "../progress.ts";
import { formatNumberOf } from "../terminal.ts";
import { openAnswerSampler } from "./answers.ts";
import type { StageContext } from "./context.ts";
import type { StagePaths } from "./pretrain.ts";
import { openReward } from "./reward-source.ts";
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
  const { sampler, prompts, reward, temperatures, samples, seed, beside, sft } = recipe;
  using bar = new RejectionBar(context);
  let metricsFile = "";
  const from = { sampler, prompts, top_p: recipe.top_p, max_tokens: recipe.max_tokens };
  const judged: JsonObject =
    options.rewardName === undefined
      ? Object.fromEntries(
          Object.entries(reward).flatMap(([key, path]) => (path === undefined ? [] : [[key, path]])),
        )
      : { reward: options.rewardName };
  const outcome = await rejectionSampling(
    { prompts: readPrompts(prompts), temperatures, samples, seed, beside },
    {
      openSampler: () => openAnswerSampler(sampler, recipe),
      openReward: options.openReward ?? (() => openReward(reward)),
      fineTune: async (data) => {
        bar.end();
        const tuned = await sftStage({ ...sft, model: recipe.model, data }, paths, context);
        metricsFile = tuned.metricsFile;
        return tuned.checkpoint;
      },
      folder: paths.folder,
      origin: { samples: from, scores: judged },
      onEvent: (event) => bar.show(event),
      signal: context.signal,
    },
  );
  return { ...outcome, metricsFile: metricsFile === "" ? join(paths.folder, "metrics.jsonl") : metricsFile };
}

// --- internal ---

const labels = { sampling: "Sampling", scoring: "Scoring" } as const;
const units = { sampling: "answers", scoring: "prompts" } as const;

/** Shows a run's events on the terminal. */
class RejectionBar implements Disposable {
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

  [Symbol.dispose](): void {
    this.end();
  }
}
