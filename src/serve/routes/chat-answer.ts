/** Answers of a chat model in the shape of OpenAI's API, whole or in chunks. */

import type { TokenChance, TokenReport } from "../engine.ts";
import { usageBody } from "../request.ts";
import type { ChatEvent } from "./chat-events.ts";

export interface AnswerShape {
  readonly head: { readonly id: string; readonly created: number; readonly model: string };
  /** How many texts. */
  readonly count: number;
  readonly wantsLogprobs: boolean;
  /** Whether a stream ends with the usage. */
  readonly wantsUsage: boolean;
}

export async function wholeAnswer(events: AsyncIterable<ChatEvent>, shape: AnswerShape): Promise<object> {
  const texts = Array.from({ length: shape.count }, newText);
  let usage = {};
  for await (const event of events) {
    if (event.type === "done") usage = usageBody(event.usage);
    else take(texts[event.index]!, event);
  }
  const choices = texts.map(({ content, calls, logprobs, reason }, index) => ({
    index,
    message: {
      role: "assistant",
      content: content === "" && calls.length > 0 ? null : content,
      refusal: null,
      ...(calls.length === 0 ? {} : { tool_calls: calls.map(callBody) }),
    },
    finish_reason: reason,
    logprobs: shape.wantsLogprobs ? logprobsBody(logprobs) : null,
  }));
  return { ...shape.head, object: "chat.completion", choices, usage };
}

export async function* answerChunks(
  events: AsyncIterable<ChatEvent>,
  { head, count, wantsLogprobs, wantsUsage }: AnswerShape,
): AsyncGenerator<object, void> {
  const shared = { ...head, object: "chat.completion.chunk" };
  const usageSoFar = wantsUsage ? { usage: null } : {};
  const chunk = (index: number, delta: object, more: object = {}): object => ({
    ...shared,
    choices: [{ index, delta, logprobs: null, finish_reason: null, ...more }],
    ...usageSoFar,
  });
  for (let index = 0; index < count; index += 1) yield chunk(index, { role: "assistant", content: "" });
  for await (const event of events) {
    if (event.type === "done") {
      if (wantsUsage) yield { ...shared, choices: [], usage: usageBody(event.usage) };
    } else if (event.type === "finished") yield chunk(event.index, {}, { finish_reason: event.reason });
    else {
      const reports = event.type === "content" && wantsLogprobs ? (event.logprobs ?? []) : [];
      const more = reports.length === 0 ? {} : { logprobs: logprobsBody(reports) };
      yield chunk(event.index, deltaOf(event), more);
    }
  }
}

// --- internal ---

interface Call {
  readonly id: string;
  readonly name: string;
  arguments: string;
}

interface Text {
  content: string;
  readonly calls: Call[];
  readonly logprobs: TokenReport[];
  reason: string;
}

function newText(): Text {
  return { content: "", calls: [], logprobs: [], reason: "stop" };
}

function take(text: Text, event: Exclude<ChatEvent, { type: "done" }>): void {
  switch (event.type) {
    case "content":
      text.content += event.text;
      text.logprobs.push(...(event.logprobs ?? []));
      break;
    case "call":
      text.calls.push({ id: event.id, name: event.name, arguments: "" });
      break;
    case "arguments":
      text.calls[event.call]!.arguments += event.text;
      break;
    case "finished":
      text.reason = event.reason;
      break;
  }
}

function callBody({ id, name, arguments: text }: Call): object {
  return { id, type: "function", function: { name, arguments: text } };
}

function deltaOf(event: Extract<ChatEvent, { type: "content" | "call" | "arguments" }>): object {
  switch (event.type) {
    case "content":
      return { content: event.text };
    case "call": {
      const { call: index, id, name } = event;
      return { tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] };
    }
    case "arguments":
      return { tool_calls: [{ index: event.call, function: { arguments: event.text } }] };
  }
}

function logprobsBody(reports: readonly TokenReport[]): object {
  const content = reports.map((report) =>
    Object.assign(chance(report), { top_logprobs: report.top.map(chance) }),
  );
  return { content, refusal: null };
}

function chance({ text, logprob, bytes }: TokenChance): object {
  return { token: text, logprob, bytes };
}
