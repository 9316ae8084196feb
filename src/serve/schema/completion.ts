/** `POST /v1/completions`: what it takes, and what it gives. */

import { z } from "zod";
import { Usage } from "./chat.ts";
import { OutputFields } from "./output.ts";
import { SamplingFields } from "./sampling.ts";

const tokens = z.array(z.int().min(0)).min(1);

export const CompletionRequest = z.object({
  model: z.string().nullish().describe("The first that is served when left out."),
  prompt: z.union([z.string(), z.array(z.string()).min(1), tokens, z.array(tokens).min(1)], {
    error: "wants a text, a list of texts, token ids, or a list of those",
  }),
  max_tokens: z.int().min(-1).nullish(),
  n: z.int().min(1).nullish(),
  echo: z.boolean().nullish().describe("Puts the prompt before the text."),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  logprobs: z.int().min(0).max(20).nullish().describe("How many of the most probable tokens are reported."),
  best_of: z.literal(1).nullish(),
  suffix: z.literal("").nullish(),
  ...SamplingFields,
  ...OutputFields,
});

export type CompletionRequest = z.output<typeof CompletionRequest>;

export const CompletionAnswer = z.object({
  id: z.string(),
  object: z.literal("text_completion"),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      text: z.string(),
      finish_reason: z.enum(["stop", "length"]),
      logprobs: z
        .object({
          tokens: z.array(z.string()),
          token_logprobs: z.array(z.number()),
          top_logprobs: z.array(z.record(z.string(), z.number())),
          text_offset: z.array(z.int()),
        })
        .nullable(),
    }),
  ),
  usage: Usage,
});
