/** Options that all commands which run a model share. */

import { ConfigError } from "../errors/errors.ts";
import {
  defaultMirostatEta,
  metaSampling,
  samplingDefaults,
  type Mirostat,
  type SamplingOptions,
} from "../generate/sampling.ts";
import { loadModel, type LoadedModel, type LoadOptions } from "../generate/loaded-model.ts";
import { cacheTypes, type CacheType } from "../model/kv-cache.ts";
import type { Arguments, ArgumentValues } from "./command.ts";

export const modelArguments = {
  model: {
    type: "positional",
    required: true,
    description: "A Hugging Face or Meta folder, a .gguf file, or a llama2.c .bin",
  },
  tokenizer: {
    type: "string",
    valueHint: "FILE",
    description: "The tokenizer, for a model that does not carry it",
  },
  context: {
    type: "string",
    as: "integer",
    min: 1,
    valueHint: "N",
    description: "Longest context, in tokens",
  },
  threads: {
    type: "string",
    as: "integer",
    min: 1,
    valueHint: "N",
    description: "CPU threads; all cores by default",
  },
  device: {
    type: "string",
    default: "auto",
    valueHint: "NAME",
    description: "cpu, auto, or one that doctor lists",
  },
  "cache-type": {
    type: "string",
    valueHint: "TYPE",
    description: "Of cached keys and values: f16, f32 or q8_0",
  },
  repack: {
    type: "boolean",
    default: "true",
    description: "Lay weights out for this processor (default), or use them as they lie in the file",
  },
} as const satisfies Arguments;

export const samplingArguments = {
  temperature: {
    type: "string",
    as: "number",
    min: 0,
    alias: "t",
    default: String(metaSampling.temperature),
    description: "0 always takes the most probable token",
  },
  "top-p": {
    type: "string",
    as: "number",
    min: 0,
    valueHint: "P",
    description: `1 turns it off (default ${metaSampling.topP}, with mirostat 1)`,
  },
  "top-k": {
    type: "string",
    as: "integer",
    min: 0,
    default: "0",
    valueHint: "K",
    description: "0 turns it off",
  },
  "min-p": {
    type: "string",
    as: "number",
    min: 0,
    default: String(samplingDefaults.minP),
    valueHint: "P",
    description: "Times the largest p; 0 turns it off",
  },
  "typical-p": {
    type: "string",
    as: "number",
    min: 0,
    default: String(samplingDefaults.typicalP),
    valueHint: "P",
    description: "1 turns it off",
  },
  "repeat-penalty": {
    type: "string",
    as: "number",
    min: 0,
    default: String(samplingDefaults.repeatPenalty),
    description: "On tokens used before; 1 is off",
  },
  "repeat-last-n": {
    type: "string",
    as: "integer",
    min: -1,
    default: String(samplingDefaults.repeatLastN),
    valueHint: "N",
    description: "Tokens it looks back on; -1 is all",
  },
  "presence-penalty": {
    type: "string",
    as: "number",
    default: String(samplingDefaults.presencePenalty),
    description: "On tokens generated before",
  },
  "frequency-penalty": {
    type: "string",
    as: "number",
    default: String(samplingDefaults.frequencyPenalty),
    description: "For each time it was generated",
  },
  "mirostat-tau": {
    type: "string",
    as: "number",
    min: 0,
    valueHint: "BITS",
    description: "Keeps to this surprise a token, by mirostat 2",
  },
  "mirostat-eta": {
    type: "string",
    as: "number",
    min: 0,
    description: `How fast mirostat corrects (default ${defaultMirostatEta})`,
  },
  "logit-bias": {
    type: "string",
    multiple: true,
    valueHint: "ID=BIAS",
    description: "Added to a logit; -inf bans",
  },
  seed: { type: "string", as: "integer", valueHint: "N", description: "The same seed draws the same tokens" },
} as const satisfies Arguments;

/** The caller disposes it. */
export function openModel(
  args: ArgumentValues<typeof modelArguments>,
  signal?: AbortSignal,
): Promise<LoadedModel> {
  return loadModel(args.model, { ...loadOptionsOf(args), ...(signal === undefined ? {} : { signal }) });
}

/** @throws {ConfigError} for a type of cache that there is not. */
export function loadOptionsOf(
  args: Omit<ArgumentValues<typeof modelArguments>, "model">,
): LoadOptions & { readonly device: string } {
  const { tokenizer, context, threads, device, "cache-type": cacheType } = args;
  return {
    device,
    repack: args.repack,
    ...(cacheType === undefined ? {} : { cacheType: cacheTypeOf(cacheType) }),
    ...(tokenizer === undefined ? {} : { tokenizer }),
    ...(context === undefined ? {} : { contextTokens: context }),
    ...(threads === undefined ? {} : { threads }),
  };
}

/** @throws {ConfigError} for a bias that cannot be read, and for mirostat's η without its τ. */
export function samplingOf(args: ArgumentValues<typeof samplingArguments>): SamplingOptions {
  const mirostat = mirostatOf(args["mirostat-tau"], args["mirostat-eta"]);
  const logitBias = new Map(args["logit-bias"].map(biasOf));
  return {
    temperature: args.temperature,
    topK: args["top-k"],
    topP: args["top-p"] ?? (mirostat === undefined ? metaSampling.topP : 1),
    minP: args["min-p"],
    typicalP: args["typical-p"],
    repeatPenalty: args["repeat-penalty"],
    repeatLastN: args["repeat-last-n"],
    presencePenalty: args["presence-penalty"],
    frequencyPenalty: args["frequency-penalty"],
    ...(mirostat === undefined ? {} : { mirostat }),
    ...(logitBias.size === 0 ? {} : { logitBias }),
  };
}

// --- internal ---

function cacheTypeOf(name: string): CacheType {
  const type = cacheTypes.find((known) => known === name);
  if (type !== undefined) return type;
  throw new ConfigError(`there is no cache type "${name}"`, { mend: `There are ${cacheTypes.join(", ")}.` });
}

function mirostatOf(tau: number | undefined, eta: number | undefined): Mirostat | undefined {
  if (tau !== undefined) return { tau, eta: eta ?? defaultMirostatEta };
  if (eta === undefined) return undefined;
  throw new ConfigError(`--mirostat-eta ${eta} corrects towards no --mirostat-tau`, {
    mend: "Give --mirostat-tau too, for instance 5.",
  });
}

function biasOf(text: string): [id: number, bias: number] {
  const [, id = "", bias = ""] = /^(\d+)=(\S+)$/.exec(text) ?? [];
  const value = bias === "-inf" ? Number.NEGATIVE_INFINITY : Number(bias);
  if (id !== "" && !Number.isNaN(value)) return [Number(id), value];
  throw new ConfigError(
    `--logit-bias is ${JSON.stringify(text)}, not a token's id, an equals sign and a number`,
    {
      mend: "Write for instance --logit-bias 15043=-5, or 15043=-inf to ban the token.",
    },
  );
}
