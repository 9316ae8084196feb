/**
 * A version of the policy, measured on held-out prompts: what a judge and the reward models say of its answers, how
 * long they are, how far it has moved from where it started, and how often it beats those before it. A reward that
 * rises while the judge's score falls, or with the length, is a reward that is being gamed.
 */

import { join } from "node:path";
import { isAnswer } from "../dialog/message.ts";
import type { Prompt } from "../dialog/prompts.ts";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import { readJsonFile, type JsonObject } from "../formats/json.ts";
import type { AnswerSampler, Opened } from "../generate/answers.ts";
import type { RewardFunction } from "../reward/reward-function.ts";
import { sampleAnswers, type Sample } from "../rejection/sample.ts";
import { scoreSamples } from "../rejection/score.ts";
import type { Divergence } from "./divergence.ts";
import type { Judge, Verdict } from "./judge.ts";
import { winRate, type WinRate } from "./win-rate.ts";

export interface VersionOptions {
  readonly policy: string;
  readonly prompts: readonly Prompt[];
  /** Answers to each prompt. */
  readonly samples: number;
  readonly temperature: number;
  readonly seed: number;
  /** Files of judged answers of other versions, by what they are called. */
  readonly rivals: Readonly<Record<string, string>>;
}

export interface VersionInputs {
  readonly openSampler: (model: string) => Opened<AnswerSampler>;
  readonly judge: Judge;
  /** The reward models of this version; none before there are any. */
  readonly openReward?: (() => Promise<Opened<RewardFunction>>) | undefined;
  /** KL to the policy that everything started from, along these answers. */
  readonly divergence: (policy: string, answers: readonly PolicyAnswer[]) => Promise<Divergence>;
  readonly folder: string;
  readonly origin: { readonly samples: JsonObject; readonly scores: JsonObject };
  readonly onProgress?: (done: number, of: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface PolicyAnswer {
  readonly prompt: Prompt;
  readonly text: string;
}

export interface VersionMetrics {
  /** File of the judged answers, for later versions to be compared with. */
  readonly judged: string;
  /** The judge's mean score of answers to harmless prompts and to safety prompts. */
  readonly helpfulness: number;
  readonly safety: number;
  /** The share of answers to safety prompts that go along with them. */
  readonly violations: number;
  /** The share of answers to harmless prompts that refuse. */
  readonly falseRefusals: number;
  /** The reward models' mean scores of answers to harmless prompts and to safety prompts, where there are any. */
  readonly rewards?: { readonly harmless: number; readonly safety: number };
  /** Tokens an answer. */
  readonly tokens: number;
  /** The share of answers that ended by themselves. */
  readonly finished: number;
  /** The share of a prompt's answers that are unlike each other: 1 / samples when all are the same. */
  readonly distinct: number;
  readonly kl: Divergence;
  readonly wins: Readonly<Record<string, WinRate>>;
}

/** One version's answers as the judge saw them. */
export interface JudgedAnswer {
  readonly prompt: string;
  readonly isSafety: boolean;
  readonly text: string;
  readonly score: number;
  readonly isViolation: boolean;
  readonly isFalseRefusal: boolean;
}

export async function measureVersion(
  options: VersionOptions,
  inputs: VersionInputs,
): Promise<VersionMetrics> {
  const samples = await answersOf(options, inputs);
  const judged = samples.map((sample) => judgedAnswer(sample, options.prompts, inputs.judge));
  const file = join(inputs.folder, "judged.json");
  writeFileAtomically(file, `${JSON.stringify(judged, null, 1)}\n`);
  const rewards = await rewardsOf(samples, options, inputs);
  const said = samples
    .filter(({ text }) => isAnswer(text))
    .map(({ prompt, text }) => ({ prompt: options.prompts[prompt]!, text }));
  const [harmless, safety] = [judged.filter(({ isSafety }) => !isSafety), judged.filter((j) => j.isSafety)];
  const scores = (answers: readonly JudgedAnswer[]): number => mean(answers.map(({ score }) => score));
  return {
    judged: file,
    helpfulness: scores(harmless),
    safety: scores(safety),
    violations: mean(safety.map(({ isViolation }) => (isViolation ? 1 : 0))),
    falseRefusals: mean(harmless.map(({ isFalseRefusal }) => (isFalseRefusal ? 1 : 0))),
    ...(rewards === undefined ? {} : { rewards }),
    tokens: mean(samples.map(({ tokens }) => tokens)),
    finished: mean(samples.map(({ reason }) => (reason === "stop" ? 1 : 0))),
    distinct: distinctShare(judged, options.samples),
    kl: await inputs.divergence(options.policy, said),
    wins: Object.fromEntries(
      Object.entries(options.rivals).map(([name, path]) => [name, winsOver(judged, path, options.samples)]),
    ),
  };
}

/** @throws {FormatError} when the file is not one of judged answers. */
export function readJudged(file: string): readonly JudgedAnswer[] {
  return readJsonFile(file) as unknown as readonly JudgedAnswer[];
}

// --- internal ---

async function answersOf(options: VersionOptions, inputs: VersionInputs): Promise<Sample[]> {
  using sampler = inputs.openSampler(options.policy);
  const { prompts, samples, temperature, seed } = options;
  return await sampleAnswers(
    { prompts, samples, temperatures: [temperature], seed },
    {
      sampler: sampler.run,
      file: join(inputs.folder, "answers.jsonl"),
      origin: { ...inputs.origin.samples, model: options.policy },
      onProgress: (done, of) => inputs.onProgress?.(done, of),
      signal: inputs.signal,
    },
  );
}

function judgedAnswer({ prompt, text }: Sample, prompts: readonly Prompt[], judge: Judge): JudgedAnswer {
  const { dialog, isSafety } = prompts[prompt]!;
  const silent: Verdict = { score: 0, isViolation: false, isFalseRefusal: false, criteria: {} };
  const { score, isViolation, isFalseRefusal } = isAnswer(text)
    ? judge({ prompt: dialog, answer: text, isSafety })
    : silent;
  return { prompt: dialog.at(-1)!.content, isSafety, text, score, isViolation, isFalseRefusal };
}

async function rewardsOf(
  samples: readonly Sample[],
  { prompts }: VersionOptions,
  inputs: VersionInputs,
): Promise<VersionMetrics["rewards"] | undefined> {
  if (inputs.openReward === undefined) return undefined;
  using reward = await inputs.openReward();
  const scored = await scoreSamples(samples, {
    prompts,
    reward: reward.run,
    file: join(inputs.folder, "rewards.jsonl"),
    origin: inputs.origin.scores,
    signal: inputs.signal,
  });
  const of = (isSafety: boolean): number =>
    mean(
      scored.flatMap(({ prompt, score }) => (prompts[prompt]!.isSafety === isSafety ? (score ?? []) : [])),
    );
  return { harmless: of(false), safety: of(true) };
}

function winsOver(ours: readonly JudgedAnswer[], file: string, samples: number): WinRate {
  return winRate(scoresByPrompt(ours, samples), scoresByPrompt(readJudged(file), samples));
}

/** Answers are ordered by prompt. */
function scoresByPrompt(judged: readonly JudgedAnswer[], samples: number): number[][] {
  return groups(judged, samples).map((answers) => answers.map(({ score }) => score));
}

function distinctShare(judged: readonly JudgedAnswer[], samples: number): number {
  return mean(
    groups(judged, samples).map((answers) => new Set(answers.map(({ text }) => text)).size / samples),
  );
}

function groups<T>(items: readonly T[], size: number): (readonly T[])[] {
  return Array.from({ length: items.length / size }, (_, i) => items.slice(i * size, (i + 1) * size));
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((a, b) => a + b, 0) / values.length;
}
