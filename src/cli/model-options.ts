/** Options that all commands which run a model share. */

import { metaSampling, type SamplingOptions } from "../generate/sampling.ts";
import { loadModel, type LoadedModel } from "../generate/loaded-model.ts";
import type { Arguments, ArgumentValues } from "./command.ts";

export const modelArguments = {
  model: {
    type: "positional",
    required: true,
    description: "A Hugging Face folder, a .gguf file, or a llama2.c .bin",
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
    default: String(metaSampling.topP),
    description: "1 turns it off",
  },
  "top-k": { type: "string", as: "integer", min: 0, default: "0", description: "0 turns it off" },
  seed: { type: "string", as: "integer", valueHint: "N", description: "The same seed draws the same tokens" },
} as const satisfies Arguments;

/** The caller disposes it. */
export function openModel(args: ArgumentValues<typeof modelArguments>): LoadedModel {
  const { model, tokenizer, context, threads, device } = args;
  return loadModel(model, {
    device,
    ...(tokenizer === undefined ? {} : { tokenizer }),
    ...(context === undefined ? {} : { contextTokens: context }),
    ...(threads === undefined ? {} : { threads }),
  });
}

export function samplingOf(args: ArgumentValues<typeof samplingArguments>): SamplingOptions {
  return { temperature: args.temperature, topK: args["top-k"], topP: args["top-p"] };
}
