/** Clients of a server: streams that are checked event by event, and clients that misbehave. */

import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

export interface StreamRequest {
  readonly url: string;
  readonly body: object;
  /** Breaks off after so many events. */
  readonly leaveAfter?: number;
  /** Waits so long before it reads on, at every chunk. */
  readonly pauseMs?: number;
  /** Of its connection; one that keeps connections when left out. */
  readonly agent?: Agent;
}

export interface StreamResult {
  readonly status: number;
  readonly text: string;
  readonly events: number;
  /** From the request to the first text. */
  readonly firstMs: number | undefined;
  /** Between pieces of text. */
  readonly gapsMs: readonly number[];
  /** How it ended: whole is with one reason, one usage and one [DONE]. */
  readonly end: "whole" | "left" | "problem" | "broken";
  /** Of a problem, its code; of a broken stream, what is wrong. */
  readonly detail?: string;
  readonly tokens: number;
}

const keeping = new Agent({ keepAlive: true, maxSockets: 512 });

/** @throws never; what goes wrong is in the result. */
export async function stream(asked: StreamRequest): Promise<StreamResult> {
  const reading = new Reading();
  try {
    const response = await post(asked);
    reading.status = response.statusCode ?? 0;
    response.setEncoding("utf8");
    for await (const chunk of response) {
      if (!reading.take(chunk as string, asked.leaveAfter)) break;
      if (asked.pauseMs !== undefined) await sleep(asked.pauseMs);
    }
    response.destroy();
  } catch (error) {
    reading.wrong ??= String(error);
  }
  return reading.result(asked.leaveAfter);
}

// --- internal ---

function post({ url, body, agent = keeping }: StreamRequest): Promise<IncomingMessage> {
  const text = JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } });
  return new Promise((answered, fail) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const sent = request(`${url}/v1/chat/completions`, { method: "POST", agent, headers }, answered);
    sent.setTimeout(60_000, () => sent.destroy(new Error("nothing came for a minute")));
    sent.on("error", fail);
    sent.end(text);
  });
}

interface Chunk {
  readonly error?: { readonly code: string | null; readonly message: string };
  readonly choices?: readonly {
    readonly delta: { readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

class Reading {
  status = 0;
  wrong: string | undefined;
  readonly #start = performance.now();
  #rest = "";
  #text = "";
  #events = 0;
  #firstMs: number | undefined;
  #lastAt = 0;
  readonly #gapsMs: number[] = [];
  #finishes = 0;
  #usages = 0;
  #tokens = 0;
  #dones = 0;
  #problem: string | undefined;

  /** @returns whether to read on. */
  take(chunk: string, leaveAfter = Number.POSITIVE_INFINITY): boolean {
    const lines = (this.#rest + chunk).split("\n\n");
    this.#rest = lines.pop()!;
    for (const line of lines) this.#line(line);
    return this.#events < leaveAfter;
  }

  result(leaveAfter?: number): StreamResult {
    if (this.#rest !== "" && this.#rest.startsWith("{")) this.#line(`data: ${this.#rest}`);
    const isWhole =
      this.#finishes === 1 && this.#usages === 1 && this.#dones === 1 && this.wrong === undefined;
    const hasLeft = leaveAfter !== undefined && this.#events >= leaveAfter;
    const counts = `${this.#finishes} ends, ${this.#usages} usages, ${this.#dones} times [DONE]`;
    const detail = this.#problem ?? this.wrong ?? counts;
    return {
      status: this.status,
      text: this.#text,
      events: this.#events,
      firstMs: this.#firstMs,
      gapsMs: this.#gapsMs,
      end: isWhole ? "whole" : hasLeft ? "left" : this.#problem === undefined ? "broken" : "problem",
      ...(isWhole || hasLeft ? {} : { detail }),
      tokens: this.#tokens,
    };
  }

  #line(line: string): void {
    if (line.startsWith(":")) return;
    this.#events += 1;
    if (line === "data: [DONE]") {
      this.#dones += 1;
      return;
    }
    const chunk = JSON.parse(line.slice("data: ".length)) as Chunk;
    if (chunk.error !== undefined) this.#problem = chunk.error.code ?? chunk.error.message;
    if (this.#dones > 0) this.wrong = "an event after [DONE]";
    const choice = chunk.choices?.[0];
    if (choice !== undefined && choice.finish_reason !== null) this.#finishes += 1;
    if (chunk.usage !== undefined && chunk.usage !== null) {
      this.#usages += 1;
      this.#tokens = chunk.usage.completion_tokens;
    }
    this.#piece(choice?.delta.content ?? "");
  }

  #piece(text: string): void {
    if (text === "") return;
    if (this.#finishes > 0) this.wrong = "text after the end";
    this.#text += text;
    const now = performance.now();
    if (this.#firstMs === undefined) this.#firstMs = now - this.#start;
    else this.#gapsMs.push(now - this.#lastAt);
    this.#lastAt = now;
  }
}
