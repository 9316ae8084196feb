/** The server's OpenAI-compatible interface, as far as the page needs it. */

import type { ApiMessage, TurnStats } from "./conversation.ts";

/** The server refuses: by its own words. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface Connection {
  readonly apiKey: string;
}

/** Names of the models that the server has. */
export async function listModels(connection: Connection): Promise<string[]> {
  const response = await fetch("/v1/models", { headers: headersOf(connection) });
  if (!response.ok) throw await errorOf(response);
  const { data } = (await response.json()) as { data: { id: string }[] };
  return data.map(({ id }) => id);
}

export interface ChatRequest {
  readonly settings: Record<string, unknown>;
  readonly messages: readonly ApiMessage[];
}

export type ChatEvent =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "done"; readonly stats: TurnStats };

/**
 * Streams an answer.
 *
 * @yields its text as it comes, and in the end what it took.
 * @throws {ApiError} when the server refuses, or its engine fails on the way.
 * @throws the signal's reason when it is aborted.
 */
export async function* streamChat(
  connection: Connection,
  { settings, messages }: ChatRequest,
  signal: AbortSignal,
): AsyncGenerator<ChatEvent> {
  const meter = createMeter();
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { ...headersOf(connection), "content-type": "application/json" },
    body: JSON.stringify({ ...settings, messages, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok || response.body === null) throw await errorOf(response);
  for await (const chunk of serverEvents(response.body)) {
    const text = meter.read(chunk);
    if (text !== "") yield { type: "text", text };
  }
  yield { type: "done", stats: meter.end() };
}

// --- internal ---

interface Chunk {
  readonly error?: { readonly message?: string };
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
}

interface Meter {
  /** @returns the chunk's text. @throws {ApiError} when the chunk is an error. */
  read(chunk: Chunk): string;
  /** @throws {ApiError} when no chunk said why the answer ended. */
  end(): TurnStats;
}

function createMeter(): Meter {
  const asked = performance.now();
  let first: number | undefined;
  let reason = "";
  let usage = { prompt_tokens: 0, completion_tokens: 0 };
  return {
    read({ error, choices, usage: counted }) {
      if (error !== undefined) throw new ApiError(500, error.message ?? "the server failed");
      usage = counted ?? usage;
      const choice = choices?.[0];
      reason = choice?.finish_reason ?? reason;
      const text = choice?.delta?.content ?? "";
      if (text !== "") first ??= performance.now();
      return text;
    },
    end() {
      const end = performance.now();
      if (reason === "") throw new ApiError(500, "the connection ended before the answer did");
      return {
        tokens: usage.completion_tokens,
        promptTokens: usage.prompt_tokens,
        firstTokenMs: (first ?? end) - asked,
        answerMs: end - (first ?? end),
        reason,
      };
    },
  };
}

/**
 * The stream of a server's events (WHATWG HTML §9.2.6), up to `[DONE]`.
 *
 * @yields the JSON of each `data:` line.
 */
async function* serverEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<Chunk> {
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
  let rest = "";
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      const lines = (rest + step.value).split(/\r?\n/);
      rest = lines.pop() ?? "";
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
      const end = data.indexOf("[DONE]");
      yield* data.slice(0, end < 0 ? data.length : end).map((json) => JSON.parse(json) as Chunk);
      if (end >= 0) return;
    }
  } finally {
    // Also when the listener leaves: the server then frees the slot.
    await reader.cancel().catch(() => {});
  }
}

function headersOf({ apiKey }: Connection): Record<string, string> {
  return apiKey === "" ? {} : { authorization: `Bearer ${apiKey}` };
}

async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string } };
    if (error?.message !== undefined) return new ApiError(response.status, error.message);
  } catch {
    // Not JSON: a proxy's page, which is no use to the reader.
  }
  return new ApiError(
    response.status,
    `the server answered ${response.status} ${response.statusText}`.trim(),
  );
}
