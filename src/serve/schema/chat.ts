/** `POST /v1/chat/completions`: what it takes, and what it gives. */

import { z } from "zod";
import type { TemplateMessage } from "../../dialog/template-message.ts";
import { OutputFields, ToolFields } from "./output.ts";
import { SamplingFields } from "./sampling.ts";

const TextPart = z.object({ type: z.literal("text"), text: z.string() });
const Content = z.union([z.string(), z.array(TextPart)], { error: "wants a text or a list of text parts" });

const ToolCall = z.object({
  id: z.string(),
  type: z.literal("function").nullish(),
  function: z.object({ name: z.string(), arguments: z.string() }),
});

export const ChatMessage = z.discriminatedUnion("role", [
  z.object({ role: z.enum(["system", "developer"]), content: Content }),
  z.object({ role: z.literal("user"), content: Content }),
  z.object({
    role: z.literal("assistant"),
    content: Content.nullish(),
    tool_calls: z.array(ToolCall).nullish(),
  }),
  z.object({ role: z.literal("tool"), content: Content, tool_call_id: z.string() }),
]);

export const ChatRequest = z.object({
  model: z.string().nullish().describe("The first that is served when left out."),
  messages: z.array(ChatMessage).min(1),
  max_tokens: z.int().min(-1).nullish().describe("-1 or left out: as many as fit."),
  max_completion_tokens: z.int().min(1).nullish(),
  n: z.int().min(1).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  ...SamplingFields,
  ...OutputFields,
  ...ToolFields,
});

export type ChatRequest = z.output<typeof ChatRequest>;

const Chance = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() });

export const Usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }),
});

export const ChatAnswer = z.object({
  id: z.string(),
  object: z.literal("chat.completion"),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({
        role: z.literal("assistant"),
        content: z.string().nullable(),
        tool_calls: z.array(ToolCall).optional(),
      }),
      finish_reason: z.enum(["stop", "length", "tool_calls"]),
      logprobs: z.object({ content: z.array(Chance.extend({ top_logprobs: z.array(Chance) })) }).nullable(),
    }),
  ),
  usage: Usage,
});

/** A message with its text in one piece. */
export function messageOf(message: z.output<typeof ChatMessage>): TemplateMessage {
  const { role, content } = message;
  const text = typeof content === "string" ? content : (content ?? []).map((part) => part.text).join("");
  switch (role) {
    case "system":
    case "developer":
      return { role: "system", content: text };
    case "user":
      return { role, content: text };
    case "assistant": {
      const calls = (message.tool_calls ?? []).map(({ id, function: called }) => ({ id, function: called }));
      return { role, content: text, ...(calls.length === 0 ? {} : { tool_calls: calls }) };
    }
    case "tool":
      return { role, content: text, tool_call_id: message.tool_call_id };
  }
}
