/** Samples' scores by a reward function, a prompt's at a time, in a log that a killed run goes on with. */

import { isAnswer, type Dialog } from "../dialog/message.ts";
import type { Prompt } from "../dialog/prompts.ts";
import { ConfigError } from "../errors/errors.ts";
import { JsonLinesLog } from "../formats/json-lines.ts";
import type { JsonObject } from "../formats/json.ts";
import type { RewardFunction } from "../reward/reward-function.ts";
import type { Sample } from "./sample.ts";

export interface ScoredSample extends Sample {
  /** The larger the better; undefined of a text that cannot be a turn of a dialog: blank, or with a tag in it. */
  readonly score: number | undefined;
}

export interface ScoringInputs {
  readonly prompts: readonly Prompt[];
  readonly reward: RewardFunction;
  /** The log. */
  readonly file: string;
  /** What the scores follow from beside the samples. A log of another origin is refused. */
  readonly origin: JsonObject;
  readonly onProgress?: (done: number, of: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** @returns the samples with their scores, ordered by prompt. */
export async function scoreSamples(
  samples: readonly Sample[],
  inputs: ScoringInputs,
): Promise<ScoredSample[]> {
  const { prompts, reward, signal } = inputs;
  const byPrompt = prompts.map((): Sample[] => []);
  for (const sample of samples) byPrompt[sample.prompt]!.push(sample);
  using log = new JsonLinesLog(inputs.file, { ...inputs.origin, samples: samples.length });
  const known = new Map(log.earlier.map((line) => [line["prompt"], line["scores"] as (number | null)[]]));
  const scored: ScoredSample[] = [];
  for (const [i, { dialog, isSafety }] of prompts.entries()) {
    const group = byPrompt[i]!;
    // Always all of a prompt's samples in one call: what a model scores a text may depend on its neighbours' bits.
    const scores = known.get(i) ?? (await scoresOf(group, { prompt: dialog, isSafety }, reward, signal));
    if (!known.has(i)) log.append({ prompt: i, scores });
    for (const [j, sample] of group.entries()) scored.push({ ...sample, score: scores[j] ?? undefined });
    inputs.onProgress?.(i + 1, prompts.length);
  }
  return scored;
}

// --- internal ---

async function scoresOf(
  samples: readonly Sample[],
  asked: { readonly prompt: Dialog; readonly isSafety: boolean },
  reward: RewardFunction,
  signal: AbortSignal | undefined,
): Promise<(number | null)[]> {
  const valid = samples.filter(({ text }) => isAnswer(text));
  if (valid.length === 0) return samples.map(() => null);
  const scores = await reward(
    valid.map(({ text }) => ({ ...asked, answer: text })),
    signal,
  );
  if (scores.length !== valid.length || !scores.every((score) => Number.isFinite(score))) {
    throw new ConfigError(
      `the reward function returned [${scores.slice(0, 5).join(", ")}] for ${valid.length} answers`,
      { mend: "It returns one finite number for each answer, in their order." },
    );
  }
  const scoreOf = new Map(valid.map((sample, i) => [sample, scores[i]!]));
  return samples.map((sample) => scoreOf.get(sample) ?? null);
}
