/** Measuring a version of the policy, as a stage of a run. */

import { encodeDialog } from "../../dialog/llama2-chat.ts";
import { readPrompts } from "../../dialog/prompts.ts";
import { Decoder } from "../../model/decoder.ts";
import { openWeights, readModelFiles } from "../../model/load.ts";
import { divergence, type Divergence } from "../../rlhf/divergence.ts";
import type { Rewards } from "../../rlhf/rlhf.ts";
import { measureVersion, type PolicyAnswer, type VersionMetrics } from "../../rlhf/version.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import { unusedIds } from "../../tokenizer/tokenizer.ts";
import { packageFile } from "../package-file.ts";
import { Progress } from "../progress.ts";
import type { RlhfRecipe } from "../recipe-rlhf.ts";
import { openAnswerSampler } from "./answers.ts";
import { openStageBackend, type StageContext } from "./context.ts";
import type { NamedJudge } from "./judge.ts";
import type { StagePaths } from "./paths.ts";
import { openReward } from "./reward-source.ts";

export interface MeasureWork {
  readonly policy: string;
  readonly rewards: Rewards;
  /** Judged answers of other versions, by what they are called. */
  readonly rivals: Readonly<Record<string, string>>;
  /** The model that KL is measured to. */
  readonly start: string;
}

export interface MeasureContext extends StageContext {
  readonly judge: NamedJudge;
}

export type MeasureRecipe = Pick<RlhfRecipe, "held_out" | "evaluate" | "seed" | "device" | "threads">;

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function measureStage(
  work: MeasureWork,
  recipe: MeasureRecipe,
  paths: Pick<StagePaths, "folder">,
  { judge, stderr, signal }: MeasureContext,
): Promise<VersionMetrics> {
  const { policy, rewards, rivals, start } = work;
  const { samples, temperature, ...sampling } = recipe.evaluate;
  const hasReward = rewards.helpfulness !== undefined || rewards.safety !== undefined;
  using progress = new Progress({ label: "Measuring", total: 0, unit: "answers", stream: stderr });
  return await measureVersion(
    {
      policy,
      prompts: readPrompts(packageFile(recipe.held_out)),
      samples,
      temperature,
      // The same for all versions, so that they are compared on the same draws.
      seed: recipe.seed,
      rivals,
    },
    {
      openSampler: (model) => openAnswerSampler(model, { ...recipe, ...sampling }),
      judge: judge.judge,
      openReward: hasReward ? () => openReward(rewards, recipe) : undefined,
      divergence: (_, answers) => divergenceFrom(recipe, { policy, start }, answers, signal),
      folder: paths.folder,
      origin: { samples: sampling, scores: { ...rewards } },
      onProgress: (done, of) => progress.update({ done, total: of }),
      signal,
    },
  );
}

// --- internal ---

async function divergenceFrom(
  device: Pick<MeasureRecipe, "device" | "threads">,
  { policy, start }: Pick<MeasureWork, "policy" | "start">,
  answers: readonly PolicyAnswer[],
  signal: AbortSignal,
): Promise<Divergence> {
  if (policy === start) return { perAnswer: 0, perToken: 0 };
  const [files, startFiles] = [readModelFiles(policy), readModelFiles(start)];
  const tokenizer = tokenizerOfModel(policy, files.config.vocabSize);
  const examples = answers.map(({ prompt, text }) =>
    encodeDialog([...prompt.dialog, { role: "assistant", content: text }], tokenizer),
  );
  using backend = openStageBackend(device);
  const options = { repack: true, unusedIds: unusedIds(tokenizer) };
  using weights = openWeights(backend, files, options);
  using startWeights = openWeights(backend, startFiles, options);
  using decoder = new Decoder(backend, weights);
  using startDecoder = new Decoder(backend, startWeights);
  return await divergence(decoder, startDecoder, examples, signal);
}
