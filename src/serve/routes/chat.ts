/** `POST /v1/chat/completions`, of OpenAI's API. */

import { randomUUID } from "node:crypto";
import type { CallPlace } from "../../generate/tools.ts";
import type { GenerateRequest } from "../engine.ts";
import {
  begin,
  charactersOf,
  checkPromptSize,
  choicesOf,
  jsonLength,
  maxTokensOf,
  modelOf,
} from "../request.ts";
import { defineRoute, type RouteContext, type RouteModule } from "../route.ts";
import { ChatAnswer, ChatRequest, messageOf } from "../schema/chat.ts";
import { formatOf, toolsOf } from "../schema/output.ts";
import { keepOf, samplingOf, seedOf, stopsOf } from "../schema/sampling.ts";
import { answerChunks, wholeAnswer } from "./chat-answer.ts";
import { chatEvents } from "./chat-events.ts";

export const chatRoutes: RouteModule = (context) => [
  defineRoute({
    method: "post",
    path: "/v1/chat/completions",
    summary: "The model's answer to a conversation; as server-sent events with `stream`",
    body: ChatRequest,
    answer: ChatAnswer,
    async handle({ c, body, client, stream, ...call }) {
      const request = chatRequest(context, body, client);
      const events = chatEvents(await begin(context, request, call), callPlaceOf(request));
      const created = Math.floor(Date.now() / 1000);
      const shape = {
        head: { id: `chatcmpl-${randomUUID()}`, created, model: request.model },
        count: request.count,
        wantsLogprobs: request.topLogprobs !== undefined,
        wantsUsage: body.stream_options?.include_usage === true,
      };
      return body.stream === true
        ? stream(answerChunks(events, shape))
        : c.json(await wholeAnswer(events, shape));
    },
  }),
];

// --- internal ---

/** A text that is held to a format may have a call's mark in it and be no call. */
function callPlaceOf({ prompt, format }: GenerateRequest): CallPlace | "nowhere" {
  const tools = prompt.type === "messages" ? prompt.tools : undefined;
  if (tools === undefined || (format !== undefined && tools.choice === "none")) return "nowhere";
  return format === undefined ? "anywhere" : "beginning";
}

function chatRequest(context: RouteContext, body: ChatRequest, client: string): GenerateRequest {
  const messages = body.messages.map(messageOf);
  checkPromptSize(context, charactersOf(messages) + jsonLength(body.tools), "messages");
  const seed = seedOf(body);
  const format = formatOf(body);
  const tools = toolsOf(body);
  return {
    model: modelOf(context, body.model),
    client,
    prompt: { type: "messages", messages, ...(tools === undefined ? {} : { tools }) },
    count: choicesOf(context, body.n),
    maxTokens: maxTokensOf(context, body.max_completion_tokens ?? body.max_tokens),
    stop: stopsOf(body),
    sampling: samplingOf(body),
    ignoresEnd: body.ignore_eos === true,
    ...keepOf(body),
    ...(format === undefined ? {} : { format }),
    ...(seed === undefined ? {} : { seed }),
    ...(body.logprobs === true ? { topLogprobs: body.top_logprobs ?? 0 } : {}),
  };
}
