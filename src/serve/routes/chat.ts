/** `POST /v1/chat/completions`, of OpenAI's API. */

import { randomUUID } from "node:crypto";
import type { FinishReason, GenerateEvent, GenerateRequest, TokenChance, TokenReport } from "../engine.ts";
import {
  begin,
  charactersOf,
  checkPromptSize,
  choicesOf,
  maxTokensOf,
  modelOf,
  usageBody,
} from "../request.ts";
import { defineRoute, type RouteContext, type RouteModule } from "../route.ts";
import { ChatAnswer, ChatRequest, messageOf } from "../schema/chat.ts";
import { samplingOf, seedOf, stopsOf } from "../schema/sampling.ts";

export const chatRoutes: RouteModule = (context) => [
  defineRoute({
    method: "post",
    path: "/v1/chat/completions",
    summary: "The model's answer to a conversation; as server-sent events with `stream`",
    body: ChatRequest,
    answer: ChatAnswer,
    async handle({ c, body, client, stream, ...call }) {
      const request = chatRequest(context, body, client);
      const events = await begin(context, request, call);
      const head = {
        id: `chatcmpl-${randomUUID()}`,
        created: Math.floor(Date.now() / 1000),
        model: request.model,
      };
      const wantsLogprobs = request.topLogprobs !== undefined;
      if (body.stream !== true)
        return c.json(await wholeAnswer(events, { head, wantsLogprobs, count: request.count }));
      const wantsUsage = body.stream_options?.include_usage === true;
      return stream(chunks(events, { head, wantsLogprobs, wantsUsage, count: request.count }));
    },
  }),
];

// --- internal ---

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

interface AnswerShape {
  readonly head: Head;
  readonly wantsLogprobs: boolean;
  readonly count: number;
}

function chatRequest(context: RouteContext, body: ChatRequest, client: string): GenerateRequest {
  const messages = body.messages.map(messageOf);
  checkPromptSize(context, charactersOf(messages), "messages");
  const seed = seedOf(body);
  return {
    model: modelOf(context, body.model),
    client,
    prompt: { type: "messages", messages },
    count: choicesOf(context, body.n),
    maxTokens: maxTokensOf(context, body.max_completion_tokens ?? body.max_tokens),
    stop: stopsOf(body),
    sampling: samplingOf(body),
    ignoresEnd: body.ignore_eos === true,
    ...(seed === undefined ? {} : { seed }),
    ...(body.logprobs === true ? { topLogprobs: body.top_logprobs ?? 0 } : {}),
  };
}

async function wholeAnswer(
  events: AsyncIterable<GenerateEvent>,
  { head, wantsLogprobs, count }: AnswerShape,
): Promise<object> {
  const texts = Array.from({ length: count }, () => "");
  const logprobs = Array.from({ length: count }, (): TokenReport[] => []);
  const reasons = Array.from({ length: count }, (): FinishReason => "stop");
  let usage = {};
  for await (const event of events) {
    if (event.type === "text") {
      texts[event.index] += event.text;
      logprobs[event.index]!.push(...(event.logprobs ?? []));
    }
    if (event.type === "finished") reasons[event.index] = event.reason;
    if (event.type === "done") usage = usageBody(event.usage);
  }
  const choices = texts.map((content, index) => ({
    index,
    message: { role: "assistant", content, refusal: null },
    finish_reason: reasons[index],
    logprobs: wantsLogprobs ? logprobsBody(logprobs[index]!) : null,
  }));
  return { ...head, object: "chat.completion", choices, usage };
}

async function* chunks(
  events: AsyncIterable<GenerateEvent>,
  { head, wantsLogprobs, wantsUsage, count }: AnswerShape & { readonly wantsUsage: boolean },
): AsyncGenerator<object, void> {
  const usageSoFar = wantsUsage ? { usage: null } : {};
  const chunk = (index: number, delta: object, more: object = {}): object => ({
    ...head,
    object: "chat.completion.chunk",
    choices: [{ index, delta, logprobs: null, finish_reason: null, ...more }],
    ...usageSoFar,
  });
  for (let index = 0; index < count; index += 1) yield chunk(index, { role: "assistant", content: "" });
  for await (const event of events) {
    if (event.type === "text") {
      const more = wantsLogprobs ? { logprobs: logprobsBody(event.logprobs ?? []) } : {};
      yield chunk(event.index, { content: event.text }, more);
    }
    if (event.type === "finished") yield chunk(event.index, {}, { finish_reason: event.reason });
    if (event.type === "done" && wantsUsage) {
      yield { ...head, object: "chat.completion.chunk", choices: [], usage: usageBody(event.usage) };
    }
  }
}

function logprobsBody(reports: readonly TokenReport[]): object {
  return {
    content: reports.map((report) => ({ ...chance(report), top_logprobs: report.top.map(chance) })),
    refusal: null,
  };
}

function chance({ text, logprob, bytes }: TokenChance): object {
  return { token: text, logprob, bytes };
}
