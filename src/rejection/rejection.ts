/**
 * Rejection-sampling fine-tuning (Llama 2 §3.2.3): K answers to each prompt, scored, the best kept as new gold, and a
 * model fine-tuned on them, with what earlier versions found.
 *
 * The paper samples from its largest model only and fine-tunes the smaller ones on what that found; so the sampler and
 * the model that is fine-tuned are two settings.
 */

import { join } from "node:path";
import type { Prompt } from "../dialog/prompts.ts";
import { ConfigError } from "../errors/errors.ts";
import type { JsonObject } from "../formats/json.ts";
import type { AnswerSampler, Opened } from "../generate/answers.ts";
import type { RewardFunction } from "../reward/reward-function.ts";
import { rewardCurves, type RewardCurve } from "./curves.ts";
import { sampleAnswers, type Sample, type SamplingPlan } from "./sample.ts";
import { scoreSamples, type ScoredSample } from "./score.ts";
import { winnersOf, writePool, writeWinners, type Winner } from "./winners.ts";

export interface RejectionOptions {
  readonly prompts: readonly Prompt[];
  readonly temperatures: readonly number[];
  /** K, at each temperature. */
  readonly samples: number;
  readonly seed: number;
  /** Files of dialogs that are trained on beside the winners. */
  readonly beside: readonly string[];
}

export interface RejectionInputs {
  readonly openSampler: () => Opened<AnswerSampler>;
  readonly openReward: () => Promise<Opened<RewardFunction>>;
  /** @returns the fine-tuned model. */
  readonly fineTune: (dialogs: string) => Promise<string>;
  /** Where samples, scores and winners are kept. */
  readonly folder: string;
  /** What the samples and the scores follow from beside the options. */
  readonly origin: { readonly samples: JsonObject; readonly scores: JsonObject };
  readonly onEvent: (event: RejectionEvent) => void;
  readonly signal?: AbortSignal;
}

export type RejectionEvent =
  | { readonly type: "sampling" | "scoring"; readonly done: number; readonly of: number }
  | { readonly type: "selected"; readonly winners: number; readonly dialogs: number };

export interface RejectionOutcome {
  /** The fine-tuned model. */
  readonly checkpoint: string;
  /** File of this version's winners, for the pools of later ones. */
  readonly winners: string;
  /** Dialogs fine-tuned on. */
  readonly dialogs: number;
  readonly curves: readonly RewardCurve[];
  readonly statistics: SampleStatistics;
}

export interface SampleStatistics {
  readonly samples: number;
  readonly meanScore: number;
  readonly meanWinner: number;
  /** Tokens an answer. */
  readonly meanTokens: number;
  /** Tokens a winner: much more than the mean would say that the reward likes length. */
  readonly meanWinnerTokens: number;
  /** The share of answers that ended by themselves. */
  readonly finished: number;
}

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function rejectionSampling(
  options: RejectionOptions,
  inputs: RejectionInputs,
): Promise<RejectionOutcome> {
  const samples = await sampledBy(options, inputs);
  const scored = await scoredBy(samples, options.prompts, inputs);
  const winners = winnersOf(scored, options);
  if (winners.length === 0) {
    throw new ConfigError(`none of the ${samples.length} samples is a text that can be trained on`, {
      mend: "Sample from a model that was fine-tuned to chat, or allow longer answers (max_tokens).",
    });
  }
  const files = {
    winners: join(inputs.folder, "winners.jsonl"),
    dialogs: join(inputs.folder, "dialogs.jsonl"),
  };
  writeWinners(files.winners, winners);
  const dialogs = writePool(files.dialogs, winners, options.beside);
  inputs.onEvent({ type: "selected", winners: winners.length, dialogs });
  const checkpoint = await inputs.fineTune(files.dialogs);
  const curves = rewardCurves(scored, options);
  return { checkpoint, winners: files.winners, dialogs, curves, statistics: statisticsOf(scored, winners) };
}

/** Opens the sampler for as long as it samples. */
export async function sampledBy(plan: SamplingPlan, inputs: RejectionInputs): Promise<Sample[]> {
  using sampler = inputs.openSampler();
  return await sampleAnswers(plan, {
    sampler: sampler.run,
    file: join(inputs.folder, "samples.jsonl"),
    origin: inputs.origin.samples,
    onProgress: (done, of) => inputs.onEvent({ type: "sampling", done, of }),
    signal: inputs.signal,
  });
}

/** Opens the reward for as long as it scores. */
export async function scoredBy(
  samples: readonly Sample[],
  prompts: readonly Prompt[],
  inputs: RejectionInputs,
): Promise<ScoredSample[]> {
  using reward = await inputs.openReward();
  return await scoreSamples(samples, {
    prompts,
    reward: reward.run,
    file: join(inputs.folder, "scores.jsonl"),
    origin: inputs.origin.scores,
    onProgress: (done, of) => inputs.onEvent({ type: "scoring", done, of }),
    signal: inputs.signal,
  });
}

// --- internal ---

function statisticsOf(scored: readonly ScoredSample[], winners: readonly Winner[]): SampleStatistics {
  const scores = scored.flatMap(({ score }) => score ?? []);
  return {
    samples: scored.length,
    meanScore: mean(scores),
    meanWinner: mean(winners.map(({ score }) => score)),
    meanTokens: mean(scored.map(({ tokens }) => tokens)),
    meanWinnerTokens: mean(winners.map(({ tokens }) => tokens)),
    finished: mean(scored.map(({ reason }) => (reason === "stop" ? 1 : 0))),
  };
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : values.reduce((a, b) => a + b, 0) / values.length;
}
