/** What requests of several routes have in common: which model, how much, for whom. */

import type { TemplateMessage } from "../dialog/template-message.ts";
import type { GenerateEvent, GenerateRequest, Usage } from "./engine.ts";
import type { RouteCall, RouteContext } from "./route.ts";
import { invalid } from "./problem.ts";

/** The model that is asked for: the first that is served when none is named. */
export function modelOf({ engine }: RouteContext, name: string | null | undefined): string {
  return name ?? engine.models()[0]!.id;
}

/** -1 and nothing are as many as fit; no more than the server allows. */
export function maxTokensOf({ limits }: RouteContext, asked: number | null | undefined): number {
  const tokens = asked === undefined || asked === null || asked === -1 ? Number.POSITIVE_INFINITY : asked;
  return Math.min(tokens, limits.maxTokens);
}

/** @throws {RequestError} for more than the server allows. */
export function choicesOf({ limits }: RouteContext, asked: number | null | undefined): number {
  const count = asked ?? 1;
  if (count > limits.choices) throw invalid(`n (${count}) is above ${limits.choices}`, "n");
  return count;
}

/** @throws {RequestError} for more text than the server reads. */
export function checkPromptSize({ limits }: RouteContext, characters: number, param: string): void {
  if (characters <= limits.promptCharacters) return;
  throw invalid(
    `the prompt has ${characters} characters, and ${limits.promptCharacters} are the most`,
    param,
    "context_length_exceeded",
  );
}

export function charactersOf(messages: readonly TemplateMessage[]): number {
  return messages.reduce((sum, message) => sum + message.content.length + jsonLength(message.tool_calls), 0);
}

/** As long as it is in JSON; nothing when it is not there. */
export function jsonLength(value: unknown): number {
  return value === undefined || value === null ? 0 : JSON.stringify(value).length;
}

export function usageBody({ promptTokens, cachedTokens, completionTokens }: Usage): Record<string, unknown> {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/**
 * Starts a text and waits until it is accepted, so that what is wrong with the request is answered with the right
 * status. Notes what the log and the metrics want to know.
 */
export async function begin(
  { engine, metrics }: RouteContext,
  request: GenerateRequest,
  { signal, note }: Pick<RouteCall, "signal" | "note">,
): Promise<AsyncGenerator<GenerateEvent, void>> {
  const start = performance.now();
  note.model = request.model;
  const events = engine.generate(request, signal);
  const first = await events.next();
  if (first.done !== true && first.value.type === "accepted") note.promptTokens = first.value.promptTokens;
  return observed();

  async function* observed(): AsyncGenerator<GenerateEvent, void> {
    if (first.done !== true) yield first.value;
    let last: number | undefined;
    for await (const event of events) {
      if (event.type === "text") {
        const now = performance.now();
        if (last === undefined) {
          note.firstTokenMs = Math.round(now - start);
          metrics.firstToken((now - start) / 1000);
        } else metrics.nextToken((now - last) / 1000);
        last = now;
      }
      if (event.type === "done") {
        note.cachedTokens = event.usage.cachedTokens;
        note.completionTokens = event.usage.completionTokens;
      }
      yield event;
    }
  }
}
