/** What a recipe scores answers with, opened for a stage of a run. */

import { ConfigError } from "../../errors/errors.ts";
import type { Opened } from "../../generate/answers.ts";
import type { Answered, RewardFunction } from "../../reward/reward-function.ts";
import { combinedReward } from "../../reward/combined-reward.ts";
import { openRewardModel, type Scorer } from "../../reward/scorer.ts";
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
  const { helpfulness, safety, file } = settings;
  if ((file === undefined) === (helpfulness === undefined && safety === undefined)) {
    throw new ConfigError(
      file === undefined ? "there is nothing to score answers with" : "there are two kinds of reward",
      {
        mend: "Set reward.helpfulness and reward.safety to reward models, or give a function by --reward FILE.js.",
      },
    );
  }
  if (file !== undefined) {
    const score = await loadFunctionFile<RewardFile>(file, "reward");
    return {
      run: async (answers, signal) => Float64Array.from(await score(answers, signal)),
      [Symbol.dispose]() {},
    };
  }
  return openRewardModels(
    [helpfulness, safety].filter((path) => path !== undefined),
    device,
  );
}

// --- internal ---

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

type RewardFile = (
  answers: readonly Answered[],
  signal?: AbortSignal,
) => ArrayLike<number> | Promise<ArrayLike<number>>;
