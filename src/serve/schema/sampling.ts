/**
 * The fields that chat and plain completions share: OpenAI's, and under the names of llama.cpp's server those that
 * OpenAI does not have. What neither knows is passed over, as both do.
 */

import { z } from "zod";
import { defaultMirostatEta, metaSampling } from "../../generate/sampling.ts";
import type { SamplingSettings } from "../engine.ts";
import { invalid } from "../problem.ts";

const token = z.int().min(0);

export const SamplingFields = {
  temperature: z.number().min(0).max(100).nullish().describe("0 always takes the most probable token."),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish().describe("0 or -1 turns it off."),
  min_p: z.number().min(0).max(1).nullish(),
  typical_p: z.number().min(0).max(1).nullish(),
  repeat_penalty: z.number().nullish(),
  repeat_last_n: z.int().min(-1).nullish(),
  presence_penalty: z.number().nullish(),
  frequency_penalty: z.number().nullish(),
  mirostat: z.literal([0, 2]).nullish().describe("2 keeps the text's surprise near mirostat_tau."),
  mirostat_tau: z.number().positive().nullish(),
  mirostat_eta: z.number().positive().max(1).nullish(),
  logit_bias: z
    .union([
      z.record(z.string().regex(/^\d+$/), z.number()),
      z.array(z.tuple([token, z.union([z.number(), z.literal(false)])])),
    ])
    .nullish()
    .describe("By token id; false bans a token."),
  seed: z.int().nullish().describe("The same seed draws the same tokens; -1 is chance."),
  stop: z
    .union([z.string(), z.array(z.string()).max(16)])
    .nullish()
    .describe("The text ends before the first of these."),
  ignore_eos: z.boolean().nullish().describe("Goes on where the model would end."),
  n_keep: z.int().min(-1).nullish().describe("Of the prompt, kept when the context shifts; -1 is all."),
} as const;

type Sampling = z.output<z.ZodObject<typeof SamplingFields>>;

export function samplingOf(fields: Sampling): SamplingSettings {
  const mirostat = fields.mirostat === 2;
  const topP = fields.top_p ?? (mirostat ? 1 : metaSampling.topP);
  return {
    temperature: fields.temperature ?? metaSampling.temperature,
    topK: Math.max(0, fields.top_k ?? 0),
    // 0 keeps the most probable token alone, as the smallest p that can be does.
    topP: topP === 0 ? Number.MIN_VALUE : topP,
    ...given("minP", fields.min_p),
    ...given("typicalP", fields.typical_p),
    ...given("repeatPenalty", fields.repeat_penalty),
    ...given("repeatLastN", fields.repeat_last_n),
    ...given("presencePenalty", fields.presence_penalty),
    ...given("frequencyPenalty", fields.frequency_penalty),
    ...(mirostat
      ? { mirostat: { tau: fields.mirostat_tau ?? 5, eta: fields.mirostat_eta ?? defaultMirostatEta } }
      : {}),
    logitBias: biasesOf(fields.logit_bias),
  };
}

export function stopsOf(fields: Sampling): string[] {
  const stops = fields.stop ?? [];
  // An empty one stands for none, as clients send it.
  return (typeof stops === "string" ? [stops] : stops).filter((stop) => stop !== "");
}

/** Undefined for chance. @throws {RequestError} for one that cannot be counted up from. */
export function seedOf({ seed }: Sampling): number | undefined {
  if (seed === undefined || seed === null || seed === -1) return undefined;
  if (Math.abs(seed) > 2 ** 52) throw invalid("seed is beyond 2^52", "seed");
  return seed;
}

/** Undefined where nothing is said; of a whole prompt, beyond any number. */
export function keepOf({ n_keep: keep }: Sampling): { readonly keep?: number } {
  if (keep === undefined || keep === null) return {};
  return { keep: keep === -1 ? Number.MAX_SAFE_INTEGER : keep };
}

// --- internal ---

function given<K extends string>(key: K, value: number | null | undefined): { [P in K]?: number } {
  return value === undefined || value === null ? {} : ({ [key]: value } as { [P in K]: number });
}

function biasesOf(biases: Sampling["logit_bias"]): [id: number, bias: number][] {
  if (biases === undefined || biases === null) return [];
  const pairs = Array.isArray(biases)
    ? biases
    : Object.entries(biases).map(([id, bias]): [number, number] => [Number(id), bias]);
  return pairs.map(([id, bias]) => [id, bias === false ? Number.NEGATIVE_INFINITY : bias]);
}
