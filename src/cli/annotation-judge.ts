/** What judges in people's place: a user's function, or reward models. */

import { existsSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { ConfigError } from "../errors/errors.ts";
import { readModelFiles } from "../model/load.ts";
import type { StandIn } from "../preference/annotation/annotators.ts";
import type { AnnotatorScript } from "../preference/annotation/script.ts";
import type { Quality } from "../preference/comparison.ts";
import { rewardAnnotator, type RewardModels } from "../reward/annotator.ts";
import { openRewardModel, type Scorer } from "../reward/scorer.ts";
import type { BackendOptions } from "../tensor/backend.ts";
import { loadFunctionFile } from "./function-file.ts";

export interface OpenedJudge extends StandIn, Disposable {
  readonly judge: AnnotatorScript;
}

export interface JudgePaths {
  /** A JavaScript module, or a reward model's folder. */
  readonly judge: string;
  /** A safety model's folder beside it. */
  readonly safety: string | undefined;
}

/** What {@link openAnnotatorJudge} would throw, without opening the models. */
export async function checkAnnotatorJudge({ judge, safety }: JudgePaths): Promise<void> {
  if (!existsSync(judge)) {
    throw new ConfigError(`${judge}: no such file or folder`, { mend: "Check the path." });
  }
  if (statSync(judge).isDirectory()) {
    for (const path of safety === undefined ? [judge] : [judge, safety]) readModelFiles(path, "scalar");
    return;
  }
  if (safety !== undefined) {
    throw new ConfigError(`--safety-judge is for a reward model beside it, and ${judge} is none`, {
      mend: "Leave it out: a module says itself what is safe.",
    });
  }
  await loadFunctionFile<AnnotatorScript>(judge, "judge");
}

/**
 * Opens the judge of a batch that is about a quality; the caller disposes it.
 *
 * @throws {ConfigError} or {FormatError} as {@link checkAnnotatorJudge}.
 */
export async function openAnnotatorJudge(
  { judge, safety }: JudgePaths,
  quality: Quality,
  options: BackendOptions,
): Promise<OpenedJudge> {
  await checkAnnotatorJudge({ judge, safety });
  if (statSync(judge).isDirectory()) return openModels({ judge, safety }, quality, options);
  return {
    name: basename(judge),
    kind: "script",
    judge: await loadFunctionFile<AnnotatorScript>(judge, "judge"),
    [Symbol.dispose]() {},
  };
}

// --- internal ---

/** One model is of the batch's quality; with a second one, the first is of helpfulness. */
function openModels({ judge, safety }: JudgePaths, quality: Quality, options: BackendOptions): OpenedJudge {
  const scorers: Scorer[] = [];
  const dispose = (): void => {
    for (const scorer of scorers.toReversed()) scorer[Symbol.dispose]();
  };
  try {
    for (const path of safety === undefined ? [judge] : [judge, safety]) {
      scorers.push(openRewardModel(path, options));
    }
  } catch (error) {
    dispose();
    throw error;
  }
  const [first, second] = scorers.map(({ score }) => score);
  const models: RewardModels =
    second === undefined ? { [quality]: first } : { helpfulness: first!, safety: second };
  return {
    name: [judge, ...(safety === undefined ? [] : [safety])].map(modelName).join(" and "),
    kind: "reward model",
    judge: rewardAnnotator(models, quality),
    [Symbol.dispose]: dispose,
  };
}

/** Run and checkpoint, such as `reward-hh step-00000073`, of the characters that an annotator's name may have. */
function modelName(path: string): string {
  const parts = resolve(path)
    .split(/[\\/]/)
    .filter((part) => part !== "" && part !== "checkpoints");
  const name = parts
    .slice(-2)
    .join(" ")
    .replaceAll(/[^\p{L}\p{M}\p{N} ._@-]/gu, "-");
  return name.slice(-27).replace(/^[^\p{L}\p{N}]+/u, "");
}
