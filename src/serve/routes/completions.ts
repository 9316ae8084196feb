/** `POST /v1/completions`, of OpenAI's API: goes on with texts. */

import { randomUUID } from "node:crypto";
import type { FinishReason, GenerateEvent, GenerateRequest, Prompt, TokenReport, Usage } from "../engine.ts";
import { invalid } from "../problem.ts";
import { begin, checkPromptSize, choicesOf, maxTokensOf, modelOf, usageBody } from "../request.ts";
import { defineRoute, type RouteCall, type RouteContext, type RouteModule } from "../route.ts";
import { CompletionAnswer, CompletionRequest } from "../schema/completion.ts";
import { formatOf } from "../schema/output.ts";
import { keepOf, samplingOf, seedOf, stopsOf } from "../schema/sampling.ts";

export const completionRoutes: RouteModule = (context) => [
  defineRoute({
    method: "post",
    path: "/v1/completions",
    summary: "Goes on with a text, or with several; as server-sent events with `stream`",
    body: CompletionRequest,
    answer: CompletionAnswer,
    async handle({ c, body, client, stream, ...call }) {
      const requests = requestsOf(context, body, client);
      const echoes = await echoesOf(context, body, requests);
      const events = await beginAll(context, requests, call);
      const created = Math.floor(Date.now() / 1000);
      const head = {
        id: `cmpl-${randomUUID()}`,
        object: "text_completion",
        created,
        model: requests[0]!.model,
      };
      if (body.stream === true) return stream(chunks(events, { head, echoes, body }));
      return c.json(await wholeAnswer(events, { head, echoes, body }));
    },
  }),
];

// --- internal ---

interface AnswerShape {
  readonly head: object;
  /** What stands before each text. */
  readonly echoes: readonly string[];
  readonly body: CompletionRequest;
}

function requestsOf(context: RouteContext, body: CompletionRequest, client: string): GenerateRequest[] {
  const prompts = promptsOf(body.prompt);
  const { inputs } = context.limits;
  if (prompts.length > inputs)
    throw invalid(`${prompts.length} prompts, of which ${inputs} are the most`, "prompt");
  const characters = prompts.reduce(
    (sum, prompt) => sum + (prompt.type === "text" ? prompt.text.length : 0),
    0,
  );
  checkPromptSize(context, characters, "prompt");
  const seed = seedOf(body);
  const count = choicesOf(context, body.n);
  const format = formatOf(body);
  const shared = {
    model: modelOf(context, body.model),
    client,
    count,
    // OpenAI's API writes 16 tokens where nothing is said.
    maxTokens: maxTokensOf(context, body.max_tokens ?? 16),
    stop: stopsOf(body),
    sampling: samplingOf(body),
    ignoresEnd: body.ignore_eos === true,
    ...keepOf(body),
    ...(format === undefined ? {} : { format }),
    ...(typeof body.logprobs === "number" ? { topLogprobs: body.logprobs } : {}),
  };
  const requests: GenerateRequest[] = [];
  for (const [i, prompt] of prompts.entries()) {
    requests.push({ ...shared, prompt, ...(seed === undefined ? {} : { seed: seed + i * count }) });
  }
  return requests;
}

function promptsOf(prompt: CompletionRequest["prompt"]): Exclude<Prompt, { type: "messages" }>[] {
  if (typeof prompt === "string") return [{ type: "text", text: prompt }];
  if (isTokens(prompt)) return [{ type: "tokens", tokens: prompt }];
  return prompt.map((one) =>
    typeof one === "string" ? { type: "text", text: one } : { type: "tokens", tokens: one },
  );
}

function isTokens(prompt: readonly (string | number | number[])[]): prompt is number[] {
  return typeof prompt[0] === "number";
}

/** The prompts' texts where they are wanted before the answers', one for each text. */
async function echoesOf(
  { engine }: RouteContext,
  { echo }: CompletionRequest,
  requests: readonly GenerateRequest[],
): Promise<string[]> {
  const echoes: string[] = [];
  for (const { model, prompt, count } of requests) {
    let text = "";
    if (echo === true && prompt.type === "text") ({ text } = prompt);
    if (echo === true && prompt.type === "tokens") text = await engine.detokenize(model, prompt.tokens);
    for (let i = 0; i < count; i += 1) echoes.push(text);
  }
  return echoes;
}

/** The events of all requests as if they were of one: texts are counted on, and there is one usage. */
async function beginAll(
  context: RouteContext,
  requests: readonly GenerateRequest[],
  call: Pick<RouteCall, "signal" | "note">,
): Promise<AsyncGenerator<GenerateEvent, void>> {
  const begun: AsyncGenerator<GenerateEvent, void>[] = [];
  try {
    for (const request of requests) begun.push(await begin(context, request, call));
  } catch (error) {
    for (const events of begun) void events.return();
    throw error;
  }
  return merged(begun, requests[0]!.count);
}

async function* merged(
  sources: readonly AsyncGenerator<GenerateEvent, void>[],
  count: number,
): AsyncGenerator<GenerateEvent, void> {
  const sum = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  const next = async (source: number): Promise<{ source: number; event: GenerateEvent | undefined }> => {
    const step = await sources[source]!.next();
    return { source, event: step.done === true ? undefined : step.value };
  };
  const pending = new Map(sources.map((_, source) => [source, next(source)]));
  try {
    while (pending.size > 0) {
      const { source, event } = await Promise.race(pending.values());
      if (event === undefined) {
        pending.delete(source);
        continue;
      }
      pending.set(source, next(source));
      if (event.type === "done") addUsage(sum, event.usage);
      else if (event.type === "text" || event.type === "finished")
        yield { ...event, index: source * count + event.index };
    }
  } finally {
    for (const source of sources) void source.return();
  }
  yield { type: "done", usage: sum };
}

function addUsage(sum: { -readonly [K in keyof Usage]: Usage[K] }, usage: Usage): void {
  sum.promptTokens += usage.promptTokens;
  sum.cachedTokens += usage.cachedTokens;
  sum.completionTokens += usage.completionTokens;
}

async function wholeAnswer(
  events: AsyncIterable<GenerateEvent>,
  { head, echoes, body }: AnswerShape,
): Promise<object> {
  const texts = [...echoes];
  const reports = echoes.map((): TokenReport[] => []);
  const reasons = echoes.map((): FinishReason => "stop");
  let usage = {};
  for await (const event of events) {
    if (event.type === "text") {
      texts[event.index] += event.text;
      reports[event.index]!.push(...(event.logprobs ?? []));
    }
    if (event.type === "finished") reasons[event.index] = event.reason;
    if (event.type === "done") usage = usageBody(event.usage);
  }
  const choices = texts.map((text, index) => ({
    index,
    text,
    finish_reason: reasons[index],
    logprobs: typeof body.logprobs === "number" ? logprobsBody(reports[index]!, echoes[index]!.length) : null,
  }));
  return { ...head, choices, usage };
}

async function* chunks(
  events: AsyncIterable<GenerateEvent>,
  { head, echoes, body }: AnswerShape,
): AsyncGenerator<object, void> {
  const wantsUsage = body.stream_options?.include_usage === true;
  const usageSoFar = wantsUsage ? { usage: null } : {};
  const chunk = (index: number, text: string, more: object = {}): object => ({
    ...head,
    choices: [{ index, text, logprobs: null, finish_reason: null, ...more }],
    ...usageSoFar,
  });
  const offsets = echoes.map((echo) => echo.length);
  for (const [index, echo] of echoes.entries()) if (echo !== "") yield chunk(index, echo);
  for await (const event of events) {
    if (event.type === "text") {
      const { index, text, logprobs = [] } = event;
      const wantsLogprobs = typeof body.logprobs === "number";
      yield chunk(index, text, wantsLogprobs ? { logprobs: logprobsBody(logprobs, offsets[index]!) } : {});
      offsets[index]! += logprobs.reduce((sum, report) => sum + report.text.length, 0);
    }
    if (event.type === "finished") yield chunk(event.index, "", { finish_reason: event.reason });
    if (event.type === "done" && wantsUsage) yield { ...head, choices: [], usage: usageBody(event.usage) };
  }
}

/** @param offset where the first token's text begins. */
function logprobsBody(reports: readonly TokenReport[], offset: number): object {
  const offsets: number[] = [];
  let at = offset;
  for (const { text } of reports) {
    offsets.push(at);
    at += text.length;
  }
  return {
    tokens: reports.map(({ text }) => text),
    token_logprobs: reports.map(({ logprob }) => logprob),
    top_logprobs: reports.map(({ top }) =>
      Object.fromEntries(top.map(({ text, logprob }) => [text, logprob])),
    ),
    text_offset: offsets,
  };
}
