/**
 * K answers of the newest policy to each prompt, at each of some temperatures (Llama 2 §3.2.3, rejection sampling).
 *
 * Answers are written to a log as they are finished, in any order. Each follows from a seed of its own, so a run that
 * was killed samples what is missing and ends with the same answers as one that was not.
 */

import { createRandom } from "../corpus/random.ts";
import type { Prompt } from "../dialog/prompts.ts";
import { JsonLinesLog } from "../formats/json-lines.ts";
import type { JsonObject } from "../formats/json.ts";
import type { AnswerRequest, AnswerSampler } from "../generate/answers.ts";
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
  const total = prompts.length * temperatures.length * samples;
  const found = new Map<number, Sample>();
  using log = new JsonLinesLog(inputs.file, { ...inputs.origin, temperatures, samples, seed, total });
  for (const record of log.earlier) {
    const sample = record as unknown as Sample;
    found.set(placeOf(sample, plan), sample);
  }
  inputs.onProgress?.(found.size, total);
  const wanted = missing(plan, found);
  const requests = wanted.map(({ request }) => request);
  if (requests.length > 0) {
    for await (const answer of inputs.sampler(requests, inputs.signal)) {
      const { prompt, temperature, ks } = wanted[answer.request]!;
      const { text, tokens, reason } = answer;
      const sample: Sample = { prompt, temperature, k: ks[answer.index]!, text, tokens, reason };
      log.append({ ...sample });
      found.set(placeOf(sample, plan), sample);
      inputs.onProgress?.(found.size, total);
    }
  }
  return Array.from({ length: total }, (_, place) => found.get(place)!);
}

// --- internal ---

interface Wanted {
  readonly prompt: number;
  readonly temperature: number;
  readonly ks: readonly number[];
  readonly request: AnswerRequest;
}

function placeOf(
  { prompt, temperature, k }: Pick<Sample, "prompt" | "temperature" | "k">,
  plan: SamplingPlan,
) {
  return (prompt * plan.temperatures.length + temperature) * plan.samples + k;
}

/** A request for each prompt and temperature of which not all K are there: one prefill for all it lacks. */
function missing(plan: SamplingPlan, found: ReadonlyMap<number, Sample>): Wanted[] {
  // Drawn from the seed's own generator first, so that sample 1 of seed 1 is not sample 0 of seed 2.
  const base = createRandom(plan.seed).int(2 ** 52);
  return plan.prompts.flatMap(({ dialog }, prompt) =>
    plan.temperatures.flatMap((degrees, temperature) => {
      const place = (k: number): number => placeOf({ prompt, temperature, k }, plan);
      const ks = Array.from({ length: plan.samples }, (_, k) => k).filter((k) => !found.has(place(k)));
      if (ks.length === 0) return [];
      const request = { prompt: dialog, temperature: degrees, seeds: ks.map((k) => base + place(k)) };
      return [{ prompt, temperature, ks, request }];
    }),
  );
}
