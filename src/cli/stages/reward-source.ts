/** What a recipe scores answers with, opened for a stage of a run. */

import { ConfigError } from "../../errors/errors.ts";
import type { Opened } from "../../generate/answers.ts";
import type { Answered, RewardFunction } from "../../reward/reward-function.ts";
import { loadFunctionFile } from "../function-file.ts";

export interface RewardSettings {
  readonly helpfulness?: string | undefined;
  readonly safety?: string | undefined;
  readonly file?: string | undefined;
}

/** The caller disposes it. @throws {ConfigError} unless exactly one kind of reward is named. */
export async function openReward(settings: RewardSettings): Promise<Opened<RewardFunction>> {
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
  throw new ConfigError("reward models cannot be opened yet", {
    mend: "Give a function by --reward FILE.js.",
  });
}

// --- internal ---

type RewardFile = (
  answers: readonly Answered[],
  signal?: AbortSignal,
) => ArrayLike<number> | Promise<ArrayLike<number>>;
