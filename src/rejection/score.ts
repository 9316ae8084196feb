/** Samples' scores by a reward function, in a log that a killed run goes on with. */

import { isAnswer } from "../dialog/message.ts";
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

/** @param samples ordered by prompt. @returns them with their scores, in the same order. */
export async function scoreSamples(
  samples: readonly Sample[],
  inputs: ScoringInputs,
): Promise<ScoredSample[]> {
  using log = new JsonLinesLog(inputs.file, { ...inputs.origin, samples: samples.length });
  const known = new Map(log.earlier.map((line) => [line["group"], line["scores"] as (number | null)[]]));
  const scored: ScoredSample[] = [];
  for (let group = 0; group * groupSamples < samples.length; group += 1) {
    // A group is always scored whole: what a model scores a text may depend on its neighbours by the last bits.
    const together = samples.slice(group * groupSamples, (group + 1) * groupSamples);
    const scores = known.get(group) ?? (await scoresOf(together, inputs));
    if (!known.has(group)) log.append({ group, scores });
    for (const [i, sample] of together.entries()) scored.push({ ...sample, score: scores[i] ?? undefined });
    inputs.onProgress?.(scored.length, samples.length);
  }
  return scored;
}

// --- internal ---

/** Samples that are scored in one call. */
const groupSamples = 256;

async function scoresOf(
  samples: readonly Sample[],
  { prompts, reward, signal }: ScoringInputs,
): Promise<(number | null)[]> {
  const valid = samples.filter(({ text }) => isAnswer(text));
  if (valid.length === 0) return samples.map(() => null);
  const answers = valid.map(({ prompt, text }) => {
    const { dialog, isSafety } = prompts[prompt]!;
    return { prompt: dialog, answer: text, isSafety };
  });
  const scores = await reward(answers, signal);
  if (scores.length !== valid.length || !scores.every((score) => Number.isFinite(score))) {
    throw new ConfigError(
      `the reward function returned [${scores.slice(0, 5).join(", ")}] for ${valid.length} answers`,
      { mend: "It returns one finite number for each answer, in their order." },
    );
  }
  const scoreOf = new Map(valid.map((sample, i) => [sample, scores[i]!]));
  return samples.map((sample) => scoreOf.get(sample) ?? null);
}
