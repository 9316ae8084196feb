/** What a recipe scores answers with, opened for a stage of a run. */

import { ConfigError } from "../../errors/errors.ts";
import type { Opened } from "../../generate/answers.ts";
import type { Answered, RewardFunction } from "../../reward/reward-function.ts";
import { combinedReward } from "../../reward/combined-reward.ts";
import { openRewardModel, type Scorer } from "../../reward/scorer.ts";
import { readModelFiles } from "../../model/load.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import { loadFunctionFile } from "../function-file.ts";

export interface RewardSettings {
  readonly helpfulness?: string | undefined;
  readonly safety?: string | undefined;
  readonly file?: string | undefined;
}

/** The caller disposes it. @throws {ConfigError} unless exactly one kind of reward is named. */
export async function openReward(
  settings: RewardSettings,
  device: ScorerDevice = { device: "auto" },
): Promise<Opened<RewardFunction>> {
  const { models, file } = sourceOf(settings);
  if (file === undefined) return openRewardModels(models, device);
  const score = await loadFunctionFile<RewardFile>(file, "reward");
  return {
    run: async (answers, signal) => Float64Array.from((await score(answers, signal)) ?? []),
    [Symbol.dispose]() {},
  };
}

/** What {@link openReward} would throw, without opening the models. */
export async function checkReward(settings: RewardSettings): Promise<void> {
  const { models, file } = sourceOf(settings);
  if (file !== undefined) await loadFunctionFile<RewardFile>(file, "reward");
  for (const path of models) tokenizerOfModel(path, readModelFiles(path, "scalar").config.vocabSize);
}

// --- internal ---

function sourceOf({ helpfulness, safety, file }: RewardSettings): {
  readonly models: readonly string[];
  readonly file: string | undefined;
} {
  const models = [helpfulness, safety].filter((path) => path !== undefined);
  if ((file === undefined) === models.length > 0) return { models, file };
  throw new ConfigError(
    file === undefined ? "there is nothing to score answers with" : "there are two kinds of reward",
    {
      mend: "Set reward.helpfulness and reward.safety to reward models, or give a function by --reward FILE.js.",
    },
  );
}

interface ScorerDevice {
  readonly device: string;
  readonly threads?: number | undefined;
}

/** One model by itself, or helpfulness and safety as the paper combines them. */
function openRewardModels(
  paths: readonly string[],
  { device, threads }: ScorerDevice,
): Opened<RewardFunction> {
  const scorers: Scorer[] = [];
  const dispose = (): void => {
    for (const scorer of scorers.toReversed()) scorer[Symbol.dispose]();
  };
  try {
    for (const path of paths)
      scorers.push(openRewardModel(path, threads === undefined ? { device } : { device, threads }));
  } catch (error) {
    dispose();
    throw error;
  }
  const [first, second] = scorers as [Scorer, Scorer?];
  const run = second === undefined ? first.score : combinedReward(first.score, second.score);
  return { run, [Symbol.dispose]: dispose };
}

type RewardFile = (answers: readonly Answered[], signal?: AbortSignal) => Scores | Promise<Scores>;

/** Nothing, where the function forgets to return. */
type Scores = ArrayLike<number> | undefined;
