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
 * @throws {ApiError} when the server refuses, or its engine fails on the way.
 * @throws the signal's reason when it is aborted.
 */
export async function* streamChat(
  connection: Connection,
  { settings, messages }: ChatRequest,
  signal: AbortSignal,
): AsyncGenerator<ChatEvent> {
  const asked = performance.now();
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { ...headersOf(connection), "content-type": "application/json" },
    body: JSON.stringify({ ...settings, messages, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok || response.body === null) throw await errorOf(response);
  let first: number | undefined;
  let reason = "";
  let usage = { prompt_tokens: 0, completion_tokens: 0 };
  for await (const chunk of serverEvents(response.body)) {
    if (chunk.error !== undefined) throw new ApiError(500, chunk.error.message ?? "the server failed");
    const choice = chunk.choices?.[0];
    const text = choice?.delta?.content ?? "";
    if (text !== "") {
      first ??= performance.now();
      yield { type: "text", text };
    }
    reason = choice?.finish_reason ?? reason;
    usage = chunk.usage ?? usage;
  }
  const end = performance.now();
  if (reason === "") throw new ApiError(500, "the connection ended before the answer did");
  yield {
    type: "done",
    stats: {
      tokens: usage.completion_tokens,
      promptTokens: usage.prompt_tokens,
      firstTokenMs: (first ?? end) - asked,
      answerMs: end - (first ?? end),
      reason,
    },
  };
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

/** The JSON of each `data:` line (WHATWG HTML §9.2.6), up to `[DONE]`. */
async function* serverEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<Chunk> {
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
  let rest = "";
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      const lines = (rest + step.value).split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        yield JSON.parse(data) as Chunk;
      }
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
