/**
 * K answers of the newest policy to each prompt, at each of some temperatures (Llama 2 §3.2.3, rejection sampling).
 *
 * Prompts are answered in groups, and a group's answers are one line of a log. Each answer follows from a seed of its
 * own; the last bits of a model's logits may follow from what is sampled beside it as well, but a group is always
 * sampled whole. So a run that was killed samples the groups that it lacks and ends with the answers of one that was
 * not.
 */

import { createRandom } from "../corpus/random.ts";
import type { Prompt } from "../dialog/prompts.ts";
import { JsonLinesLog } from "../formats/json-lines.ts";
import type { JsonObject } from "../formats/json.ts";
import type { AnswerSampler } from "../generate/answers.ts";
import type { StopReason } from "../generate/generate.ts";

export interface SamplingPlan {
  readonly prompts: readonly Prompt[];
  readonly temperatures: readonly number[];
  /** K, at each temperature. */
  readonly samples: number;
  readonly seed: number;
}

export interface Sample {
  /** Place of its prompt. */
  readonly prompt: number;
  /** Place of its temperature. */
  readonly temperature: number;
  /** From 0 to K - 1. */
  readonly k: number;
  readonly text: string;
  /** Without the stop token. */
  readonly tokens: number;
  readonly reason: StopReason;
}

export interface SamplingInputs {
  readonly sampler: AnswerSampler;
  /** The log. */
  readonly file: string;
  /** What the answers follow from beside the plan: the policy and its settings. A log of others is refused. */
  readonly origin: JsonObject;
  readonly onProgress?: (done: number, of: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** @returns all samples, ordered by prompt, temperature and k: `[prompts · temperatures · K]`. */
export async function sampleAnswers(plan: SamplingPlan, inputs: SamplingInputs): Promise<Sample[]> {
  const { prompts, temperatures, samples, seed } = plan;
  const each = temperatures.length * samples;
  const total = prompts.length * each;
  using log = new JsonLinesLog(inputs.file, { ...inputs.origin, temperatures, samples, seed, total });
  const known = new Map(log.earlier.map((line) => [line["group"], line["samples"] as unknown as Sample[]]));
  const size = Math.max(1, Math.floor(groupAnswers / each));
  const found: Sample[] = [];
  for (let group = 0; group * size < prompts.length; group += 1) {
    const from = group * size;
    const sampled =
      known.get(group) ??
      (await sampleGroup(plan, [from, Math.min(prompts.length, from + size)], {
        ...inputs,
        onProgress: (done) => inputs.onProgress?.(found.length + done, total),
      }));
    if (!known.has(group)) log.append({ group, samples: sampled.map((sample) => ({ ...sample })) });
    found.push(...sampled);
  }
  inputs.onProgress?.(total, total);
  return found;
}

// --- internal ---

/** Answers in a group: enough to fill a batch, few enough to sample again after a kill. */
const groupAnswers = 256;

async function sampleGroup(
  { prompts, temperatures, samples, seed }: SamplingPlan,
  [from, to]: readonly [number, number],
  {
    sampler,
    onProgress,
    signal,
  }: Omit<SamplingInputs, "onProgress"> & { onProgress: (done: number) => void },
): Promise<Sample[]> {
  const each = temperatures.length * samples;
  // Drawn from the seed's own generator first, so that sample 1 of seed 1 is not sample 0 of seed 2.
  const base = createRandom(seed).int(2 ** 52);
  const requests = prompts.slice(from, to).flatMap(({ dialog }, i) =>
    temperatures.map((temperature, t) => {
      const first = base + (from + i) * each + t * samples;
      return { prompt: dialog, temperature, seeds: Array.from({ length: samples }, (_, k) => first + k) };
    }),
  );
  const found: Sample[] = [];
  let done = 0;
  for await (const { request, index, text, tokens, reason } of sampler(requests, signal)) {
    const prompt = from + Math.floor(request / temperatures.length);
    found[request * samples + index] = {
      prompt,
      temperature: request % temperatures.length,
      k: index,
      text,
      tokens,
      reason,
    };
    onProgress((done += 1));
  }
  return found;
}
