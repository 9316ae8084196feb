/**
 * The versions of a chat model (Llama 2 §3.2): each collects preferences on the newest policy, trains reward models on
 * all that were collected, and improves the policy by rejection sampling (V1 to V4), then by PPO on top (V5), with
 * Ghost Attention after V3; and each is measured against the one before it and against where all started. Safety
 * context distillation (§4.2.4) may follow any of them: the paper does not say which versions had it.
 *
 * Stages come as functions, so any may be swapped; a version lists those that it runs, so any may be skipped. Each is
 * done once (see ledger.ts), so a run that is killed goes on where it was.
 */

import type { Collected } from "./collect.ts";
import type { Ledger } from "./ledger.ts";
import type { VersionMetrics } from "./version.ts";

export const stageNames = ["collect", "reward", "reject", "distil", "ppo", "gatt", "evaluate"] as const;
export type StageName = (typeof stageNames)[number];

export interface Version {
  readonly name: string;
  /** In the order that they are run in. */
  readonly stages: readonly StageName[];
  /** Files of preferences that people gave, beside or in place of those that are collected. */
  readonly preferences: readonly string[];
}

/** Reward models: directories. One is missing where no comparisons of its quality are known. */
export interface Rewards {
  readonly helpfulness?: string;
  readonly safety?: string;
}

export interface CollectWork {
  readonly policy: string;
  /** The version before it, or the policy itself. */
  readonly previous: string;
  readonly seed: number;
}

export interface RewardWork {
  /** The chat model that they are initialised from. */
  readonly initial: string;
  readonly train: readonly string[];
  readonly test: readonly string[];
}

export interface RejectWork {
  readonly sampler: string;
  /** What is fine-tuned. */
  readonly model: string;
  readonly rewards: Rewards;
  /** Files of earlier versions' winners that are trained on as well. */
  readonly beside: readonly string[];
  readonly seed: number;
}

export interface PolicyWork {
  readonly policy: string;
  readonly rewards: Rewards;
  readonly seed: number;
}

export interface EvaluateWork {
  readonly policy: string;
  readonly rewards: Rewards;
  /** Judged answers of other versions, by what they are called. */
  readonly rivals: Readonly<Record<string, string>>;
}

/** A stage, called with what it works on and its name in the run, such as "V1-reject". */
export type Stage<Work, Result> = (work: Work, name: string) => Promise<Result>;

export interface RlhfStages {
  readonly collect: Stage<CollectWork, Collected>;
  readonly reward: Stage<RewardWork, Rewards>;
  readonly reject: Stage<RejectWork, { readonly checkpoint: string; readonly winners: string }>;
  /** Without winners its checkpoint is the policy itself: no answer behind a preprompt was safer. */
  readonly distil: Stage<PolicyWork, { readonly checkpoint: string; readonly winners?: string }>;
  readonly ppo: Stage<PolicyWork, { readonly checkpoint: string }>;
  readonly gatt: Stage<PolicyWork, { readonly checkpoint: string }>;
  readonly evaluate: Stage<EvaluateWork, VersionMetrics>;
}

export interface RlhfOptions {
  /** The fine-tuned model that everything starts from. */
  readonly model: string;
  /** What rejection sampling restarts from: the paper's is the base model. */
  readonly restart: string;
  readonly versions: readonly Version[];
  /** Number, from 1, of the first version that is trained on earlier versions' winners too: the paper's is 4. */
  readonly poolFrom: number;
  readonly seed: number;
}

export interface RlhfOutcome {
  /** The last version. */
  readonly policy: string;
  readonly rewards: Rewards;
  /** What was measured, by version; that of the start is called "start". */
  readonly metrics: Readonly<Record<string, VersionMetrics>>;
}

/** @throws what a stage throws, such as the signal's reason; the next call goes on. */
export async function rlhf(options: RlhfOptions, stages: RlhfStages, ledger: Ledger): Promise<RlhfOutcome> {
  let state: State = {
    policy: options.model,
    previous: options.model,
    rewards: {},
    train: [],
    test: [],
    winners: [],
    metrics: {},
  };
  if (options.versions.some((version) => version.stages.includes("evaluate")))
    state = await evaluated(state, "start", { stages, ledger });
  for (const [i, version] of options.versions.entries()) {
    const before = state.policy;
    state = { ...state, train: [...state.train, ...version.preferences] };
    for (const stage of version.stages)
      state = await performed(stage, state, { options, stages, ledger, version, number: i + 1 });
    state = { ...state, previous: before };
  }
  const { policy, rewards, metrics } = state;
  return { policy, rewards, metrics };
}

// --- internal ---

interface State {
  readonly policy: string;
  /** The version before. */
  readonly previous: string;
  readonly rewards: Rewards;
  readonly train: readonly string[];
  readonly test: readonly string[];
  /** Of all versions so far, of rejection sampling and of distillation. */
  readonly winners: readonly string[];
  readonly metrics: Readonly<Record<string, VersionMetrics>>;
}

interface Run {
  readonly options: RlhfOptions;
  readonly stages: RlhfStages;
  readonly ledger: Ledger;
  readonly version: Version;
  /** Of the version, from 1. */
  readonly number: number;
}

async function performed(stage: StageName, state: State, run: Run): Promise<State> {
  const { options, stages, ledger, version, number } = run;
  const name = `${version.name}-${stage}`;
  const seed = options.seed + number;
  const { policy, previous, rewards, train, test } = state;
  const once = async <Work extends object, Result extends object>(
    perform: Stage<Work, Result>,
    work: Work,
  ): Promise<Result> => ledger.once(name, work, () => perform(work, name));
  switch (stage) {
    case "collect": {
      const collected = await once(stages.collect, { policy, previous, seed });
      // A file without a line is none that can be read.
      const tests = collected.testPairs === 0 ? [] : [collected.test];
      return { ...state, train: [...train, collected.train], test: [...test, ...tests] };
    }
    case "reward":
      return { ...state, rewards: pathsOf(await once(stages.reward, { initial: policy, train, test })) };
    case "reject": {
      const beside = number >= options.poolFrom ? state.winners : [];
      const work = { sampler: policy, model: options.restart, rewards, beside, seed };
      const { checkpoint, winners } = await once(stages.reject, work);
      return { ...state, policy: checkpoint, winners: [...state.winners, winners] };
    }
    case "distil": {
      const { checkpoint, winners = [] } = await once(stages.distil, { policy, rewards, seed });
      return { ...state, policy: checkpoint, winners: [...state.winners, winners].flat() };
    }
    case "ppo":
    case "gatt":
      return { ...state, policy: (await once(stages[stage], { policy, rewards, seed })).checkpoint };
    case "evaluate":
      return evaluated(state, version.name, run);
  }
}

/** Without what a stage tells of them beside: later work follows from the models only. */
function pathsOf({ helpfulness, safety }: Rewards): Rewards {
  return {
    ...(helpfulness === undefined ? {} : { helpfulness }),
    ...(safety === undefined ? {} : { safety }),
  };
}

async function evaluated(
  state: State,
  version: string,
  { stages, ledger }: Pick<Run, "stages" | "ledger">,
): Promise<State> {
  const measured = Object.entries(state.metrics);
  const rivals = Object.fromEntries(
    [measured[0], measured.at(-1)].flatMap((entry) =>
      entry === undefined ? [] : [[entry[0], entry[1].judged]],
    ),
  );
  const work: EvaluateWork = { policy: state.policy, rewards: state.rewards, rivals };
  const name = `${version}-evaluate`;
  const metrics = await ledger.once(name, work, () => stages.evaluate(work, name));
  return { ...state, metrics: { ...state.metrics, [version]: metrics } };
}
