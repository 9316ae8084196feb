/** The driver's stages, wired to the commands' own. */

import { join } from "node:path";
import { readPrompts } from "../../dialog/prompts.ts";
import type { JsonObject } from "../../formats/json.ts";
import type { Opened } from "../../generate/answers.ts";
import type { RewardFunction } from "../../reward/reward-function.ts";
import { collectComparisons } from "../../rlhf/collect.ts";
import { openLedger, type Step } from "../../rlhf/ledger.ts";
import { rlhf, type Rewards, type StageName, type RlhfOutcome, type RlhfStages } from "../../rlhf/rlhf.ts";
import type { Comparison, Quality } from "../../preference/comparison.ts";
import { readComparisons } from "../../preference/read.ts";
import { writeComparisons } from "../../preference/write.ts";
import type { RunFolder } from "../../train/run-folder.ts";
import { programCommit } from "../commit.ts";
import { packageFile, packageFiles } from "../package-file.ts";
import { Progress } from "../progress.ts";
import type { RlhfRecipe } from "../recipe-rlhf.ts";
import { openAnswerSampler } from "./answers.ts";
import { checkRlhf } from "./check-rlhf.ts";
import type { StageContext } from "./context.ts";
import { gattStage, type GattStageOutcome } from "./gatt.ts";
import { judgeReward, openJudge, type NamedJudge } from "./judge.ts";
import { stepPaths, type StagePaths } from "./paths.ts";
import { distilStage, rejectStage, type DistilStageOutcome, type RejectOutcome } from "./reject.ts";
import { ppoStage, type PpoOutcome } from "./ppo.ts";
import { openReward } from "./reward-source.ts";
import { measureStage } from "./version.ts";
import { rewardStage, type RewardOutcome } from "./reward.ts";

export interface RlhfRan extends RlhfOutcome {
  readonly steps: readonly Step[];
  /** By step, of those that were made in this sitting or before. */
  readonly rejections: Readonly<Record<string, RejectOutcome>>;
  readonly distillations: Readonly<Record<string, DistilStageOutcome>>;
  readonly policies: Readonly<Record<string, PpoOutcome>>;
  readonly ghosts: Readonly<Record<string, GattStageOutcome>>;
  readonly rewardModels: Readonly<
    Record<string, { readonly outcomes: Partial<Record<Quality, RewardOutcome>> }>
  >;
  readonly judgeName: string;
}

/**
 * Runs the versions in a run's folder.
 *
 * @throws the signal's reason when it is aborted; the next call goes on.
 */
export async function rlhfStage(
  recipe: Omit<RlhfRecipe, "out">,
  folder: Pick<RunFolder, "path" | "checkpoints" | "samples">,
  context: StageContext,
): Promise<RlhfRan> {
  const judge = await openJudge(recipe.judge);
  await checkRlhf(recipe);
  const { stderr } = context;
  const ledger = openLedger({
    folder: join(folder.path, "steps"),
    commit: programCommit(),
    onStep: (name, state) => {
      if (state === "begun") stderr.write(`${name}\n`);
    },
  });
  const pathsOf = (name: string): StagePaths => stepPaths(folder, name);
  const stages = createStages({ recipe, context, judge, pathsOf });
  const options = {
    model: recipe.model,
    restart: recipe.restart ?? recipe.model,
    versions: recipe.versions.map((version) => ({
      ...version,
      preferences: version.preferences.map((file) => packageFile(file)),
    })),
    poolFrom: recipe.pool_from,
    seed: recipe.seed,
  };
  const outcome = await rlhf(options, stages, ledger);
  const resultsOf = (stage: StageName): [name: string, result: JsonObject][] =>
    ledger.steps.flatMap(({ name, result }) => (name.endsWith(`-${stage}`) ? [[name, result]] : []));
  return {
    ...outcome,
    steps: ledger.steps,
    rejections: Object.fromEntries(resultsOf("reject")) as unknown as RlhfRan["rejections"],
    distillations: Object.fromEntries(resultsOf("distil")) as unknown as RlhfRan["distillations"],
    rewardModels: Object.fromEntries(resultsOf("reward")) as unknown as RlhfRan["rewardModels"],
    policies: Object.fromEntries(resultsOf("ppo")) as unknown as RlhfRan["policies"],
    ghosts: Object.fromEntries(resultsOf("gatt")) as unknown as RlhfRan["ghosts"],
    judgeName: judge.name,
  };
}

// --- internal ---

interface Wiring {
  readonly recipe: Omit<RlhfRecipe, "out">;
  readonly context: StageContext;
  readonly judge: NamedJudge;
  readonly pathsOf: (name: string) => StagePaths;
}

function createStages(wiring: Wiring): RlhfStages {
  const { recipe, context, judge, pathsOf } = wiring;
  return {
    collect: collectStage(wiring),
    reward: rewardsStage(wiring),
    reject: rejectionStage(wiring),
    distil: distillationStage(wiring),
    ppo: policyStage(wiring),
    gatt: ghostStage(wiring),
    evaluate: ({ policy, rewards, rivals }, name) =>
      measureStage({ policy, rewards, rivals, start: recipe.model }, recipe, pathsOf(name), {
        ...context,
        judge,
      }),
  };
}

function collectStage({ recipe, context, judge, pathsOf }: Wiring): RlhfStages["collect"] {
  return async ({ policy, previous, seed }, name) => {
    const { pairs, temperatures, test_fraction: testFraction, ...sampling } = recipe.collect;
    using progress = new Progress({ label: "Collecting", total: 0, unit: "answers", stream: context.stderr });
    return await collectComparisons(
      {
        prompts: readPrompts(packageFile(recipe.prompts)),
        variants: [
          { model: policy, temperature: temperatures[0] },
          { model: previous, temperature: temperatures[1] },
        ],
        pairs,
        testFraction,
        seed,
      },
      {
        openSampler: (model) => openAnswerSampler(model, { ...recipe, ...sampling }),
        judge: judge.judge,
        judgeName: judge.name,
        folder: pathsOf(name).folder,
        origin: sampling,
        onProgress: (done, of) => progress.update({ done, total: of }),
        signal: context.signal,
      },
    );
  };
}

function rejectionStage({ recipe, context, judge, pathsOf }: Wiring): RlhfStages["reject"] {
  return async ({ sampler, model, rewards, beside, seed }, name) => {
    const { sft, beside: always, ...sampling } = recipe.reject;
    const settings = {
      ...sampling,
      sampler,
      model,
      prompts: packageFile(recipe.prompts),
      reward: rewards,
      beside: [...beside, ...packageFiles(always)],
      sft: { ...sft, device: recipe.device, threads: recipe.threads ?? sft.threads, seed },
      seed,
      device: recipe.device,
      threads: recipe.threads,
      out: "",
    };
    return await rejectStage(settings, pathsOf(name), context, rewardOf(recipe, rewards, judge));
  };
}

/** By the reward model of safety alone: that is what answers behind preprompts are to be better by. */
function distillationStage({ recipe, context, judge, pathsOf }: Wiring): RlhfStages["distil"] {
  return async ({ policy, rewards, seed }, name) => {
    const { sft, beside, preprompts, ...sampling } = recipe.distil;
    const { device, threads } = recipe;
    const safety = rewards.safety === undefined ? {} : { safety: rewards.safety };
    const settings = {
      ...sampling,
      model: policy,
      prompts: packageFile(recipe.prompts),
      preprompts: packageFile(preprompts),
      reward: safety,
      beside: packageFiles(beside),
      sft: { ...sft, device, threads: threads ?? sft.threads, seed },
      seed,
      device,
      threads,
      out: "",
    };
    return await distilStage(settings, pathsOf(name), context, rewardOf(recipe, safety, judge));
  };
}

/** Both reward models, each of all comparisons of its quality; the other's are what its mix may draw from. */
function rewardsStage({ recipe, context, pathsOf }: Wiring): RlhfStages["reward"] {
  return async ({ initial, train, test }, name) => {
    const { device, threads, seed } = recipe;
    const { data_share: share } = recipe.reward;
    const files = {
      train: await splitByQuality(train, pathsOf(name).folder, "train"),
      test: await splitByQuality(test, pathsOf(name).folder, "test"),
    };
    const outcomes: Partial<Record<Quality, RewardOutcome>> = {};
    for (const quality of ["helpfulness", "safety"] as const) {
      const data = files.train[quality];
      if (data === undefined) continue;
      const other = files.train[quality === "safety" ? "helpfulness" : "safety"];
      const tested = files.test[quality];
      context.stderr.write(`Reward model of ${quality}\n`);
      const settings = {
        ...recipe.reward,
        data_share: typeof share === "number" ? share : share[quality],
        model: initial,
        quality,
        data: [data],
        other_data: other === undefined ? [] : [other],
        test_data: tested === undefined ? [] : [tested],
        device,
        threads,
        seed,
        out: "",
      };
      outcomes[quality] = await rewardStage(settings, pathsOf(`${name}-${quality}`), context);
    }
    const { helpfulness, safety } = outcomes;
    return {
      ...(helpfulness === undefined ? {} : { helpfulness: helpfulness.checkpoint }),
      ...(safety === undefined ? {} : { safety: safety.checkpoint }),
      outcomes,
    };
  };
}

/** @returns a file for each quality that there are comparisons of. */
async function splitByQuality(
  files: readonly string[],
  folder: string,
  name: string,
): Promise<Partial<Record<Quality, string>>> {
  const all: Comparison[] = [];
  for (const file of files) all.push(...(await readComparisons(file)).comparisons);
  const written: Partial<Record<Quality, string>> = {};
  for (const quality of ["helpfulness", "safety"] as const) {
    const own = all.filter((comparison) => comparison.quality === quality);
    if (own.length === 0) continue;
    written[quality] = join(folder, `${name}-${quality}.jsonl`);
    writeComparisons(written[quality], own);
  }
  return written;
}

function policyStage({ recipe, context, judge, pathsOf }: Wiring): RlhfStages["ppo"] {
  return async ({ policy, rewards, seed }, name) => {
    const { device, threads, ppo } = recipe;
    const held = ppo.held_out === undefined ? {} : { held_out: packageFile(ppo.held_out) };
    const prompts = packageFile(recipe.prompts);
    const settings = { ...ppo, ...held, model: policy, prompts, reward: rewards, device, threads, seed };
    return await ppoStage(settings, pathsOf(name), context, rewardOf(recipe, rewards, judge));
  };
}

function ghostStage({ recipe, context, pathsOf }: Wiring): RlhfStages["gatt"] {
  return async ({ policy, seed }, name) => {
    const { gatt, device, threads } = recipe;
    const sft = { ...gatt.sft, device, threads: threads ?? gatt.sft.threads, seed };
    const questions = packageFile(gatt.questions);
    const beside = packageFiles(gatt.beside);
    const settings = { ...gatt, questions, beside, sft, model: policy, seed, device, threads };
    return await gattStage(settings, pathsOf(name), context);
  };
}

/** Without a reward model, the judge's own scores. */
function rewardOf(
  recipe: Wiring["recipe"],
  rewards: Rewards,
  judge: NamedJudge,
): { openReward: () => Promise<Opened<RewardFunction>>; rewardName?: string } {
  if (rewards.helpfulness !== undefined || rewards.safety !== undefined)
    return { openReward: () => openReward(rewards, recipe) };
  return { openReward: () => Promise.resolve(judgeReward(judge)), rewardName: judge.name };
}
