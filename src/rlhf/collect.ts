/**
 * Preferences without people (Llama 2 §3.2.1 collects them from people): two variants of the policy answer each
 * prompt at temperatures of their own, and a judge says which answer is better, how much, and whether it is safe.
 *
 * A judge's scores lie in [0, 1]; how far they are apart makes the four strengths. Equal scores say nothing, and
 * neither does a pair whose better answer is the unsafe one: both are left out, as the paper leaves out the latter.
 */

import { join } from "node:path";
import { createRandom, shuffle } from "../corpus/random.ts";
import { isAnswer } from "../dialog/message.ts";
import type { Prompt } from "../dialog/prompts.ts";
import { ConfigError } from "../errors/errors.ts";
import type { JsonObject } from "../formats/json.ts";
import type { AnswerSampler, Opened } from "../generate/answers.ts";
import type { Comparison, SafetyLabel, Strength } from "../preference/comparison.ts";
import { writeComparisons } from "../preference/write.ts";
import { sampleAnswers, type Sample } from "../rejection/sample.ts";
import type { Judge, Verdict } from "./judge.ts";

/** A model at a temperature. */
export interface Variant {
  readonly model: string;
  readonly temperature: number;
}

export interface CollectOptions {
  readonly prompts: readonly Prompt[];
  readonly variants: readonly [Variant, Variant];
  /** Pairs for each prompt. */
  readonly pairs: number;
  /** The share of prompts whose pairs are kept to test reward models on. */
  readonly testFraction: number;
  readonly seed: number;
}

export interface CollectInputs {
  readonly openSampler: (model: string) => Opened<AnswerSampler>;
  readonly judge: Judge;
  /** How the judge's data are labelled. */
  readonly judgeName: string;
  readonly folder: string;
  readonly origin: JsonObject;
  readonly onProgress?: (done: number, of: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Collected {
  /** Comparisons to train reward models on, a file in TRL's format. */
  readonly train: string;
  readonly test: string;
  readonly trainPairs: number;
  readonly testPairs: number;
  /** Pairs that say nothing: equal scores, or the unsafe answer is the better one. */
  readonly leftOut: number;
  /** The share of pairs that the first variant wins. */
  readonly firstWins: number;
}

export async function collectComparisons(options: CollectOptions, inputs: CollectInputs): Promise<Collected> {
  const { prompts, variants, testFraction, seed } = options;
  const answers: Sample[][] = [];
  for (const [i, { model, temperature }] of variants.entries()) {
    using sampler = inputs.openSampler(model);
    const plan = { prompts, temperatures: [temperature], samples: options.pairs, seed: seed * 2 + i };
    answers.push(
      await sampleAnswers(plan, {
        sampler: sampler.run,
        file: join(inputs.folder, `answers-${i + 1}.jsonl`),
        origin: { ...inputs.origin, model },
        onProgress: (done, of) => inputs.onProgress?.(done + i * of, of * variants.length),
        signal: inputs.signal,
      }),
    );
  }
  const [first, second] = answers as [Sample[], Sample[]];
  // The same in every version: no prompt moves from test to training.
  const order = shuffle([...prompts.keys()], createRandom(splitSeed));
  const tests = new Set(order.slice(0, Math.floor(prompts.length * testFraction)));
  const sets: Record<"train" | "test", Comparison[]> = { train: [], test: [] };
  let wins = 0;
  for (const [i, sample] of first.entries()) {
    const prompt = prompts[sample.prompt]!;
    const compared = comparison(prompt, [sample.text, second[i]!.text], inputs);
    if (compared === undefined) continue;
    sets[tests.has(sample.prompt) ? "test" : "train"].push(compared);
    wins += compared.chosen === sample.text ? 1 : 0;
  }
  return written(sets, { wins, all: first.length, folder: inputs.folder });
}

/** Which of two answers the judge prefers; undefined when that says nothing. */
export function comparison(
  { dialog, isSafety }: Prompt,
  answers: readonly [string, string],
  { judge, judgeName }: Pick<CollectInputs, "judge" | "judgeName">,
): Comparison | undefined {
  if (!answers.every(isAnswer)) return undefined;
  const [a, b] = answers.map((answer) => ({
    answer,
    verdict: judge({ prompt: dialog, answer, isSafety }),
  })) as [Judged, Judged];
  const [chosen, rejected] = a.verdict.score >= b.verdict.score ? [a, b] : [b, a];
  const gap = chosen.verdict.score - rejected.verdict.score;
  if (gap === 0 || (chosen.verdict.isViolation && !rejected.verdict.isViolation)) return undefined;
  return {
    prompt: dialog,
    chosen: chosen.answer,
    rejected: rejected.answer,
    strength: strengthOf(gap),
    // Answers to harmless prompts are safe: without them the safety model would learn that only refusals are.
    safety: safetyOf(chosen.verdict, rejected.verdict),
    quality: isSafety ? "safety" : "helpfulness",
    judge: judgeName,
  };
}

// --- internal ---

const splitSeed = 1;

interface Judged {
  readonly answer: string;
  readonly verdict: Verdict;
}

function strengthOf(gap: number): Strength {
  if (gap >= 0.4) return "significantly";
  if (gap >= 0.2) return "better";
  return gap >= 0.08 ? "slightly" : "negligibly";
}

function safetyOf(chosen: Verdict, rejected: Verdict): SafetyLabel {
  if (chosen.isViolation) return "both-unsafe";
  return rejected.isViolation ? "chosen-safe" : "both-safe";
}

function written(
  sets: Readonly<Record<"train" | "test", readonly Comparison[]>>,
  { wins, all, folder }: { wins: number; all: number; folder: string },
): Collected {
  const kept = sets.train.length + sets.test.length;
  if (sets.train.length === 0) {
    throw new ConfigError(`the judge preferred neither answer in any of ${all} pairs`, {
      mend: "Sample at temperatures further apart, or ask for more pairs.",
    });
  }
  const [train, test] = [join(folder, "train.jsonl"), join(folder, "test.jsonl")];
  writeComparisons(train, sets.train);
  writeComparisons(test, sets.test);
  return {
    train,
    test,
    trainPairs: sets.train.length,
    testPairs: sets.test.length,
    leftOut: all - kept,
    firstWins: wins / kept,
  };
}
