/** A line for each request: for people, or as JSON for machines. What was asked and answered is not in it. */

import type { RequestNote } from "./route.ts";

export interface LoggedRequest extends RequestNote {
  readonly time: string;
  readonly id: string;
  readonly client: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly ms: number;
}

export type RequestLog = (request: LoggedRequest) => void;

/** @param write takes a line with its end. */
export function jsonLog(write: (line: string) => void): RequestLog {
  return (request) => write(`${JSON.stringify(request)}\n`);
}

/** @param write takes a line with its end. */
export function readableLog(write: (line: string) => void): RequestLog {
  return ({
    time,
    method,
    path,
    status,
    ms,
    model,
    promptTokens,
    completionTokens,
    firstTokenMs,
    problem,
  }) => {
    const details = [
      model,
      promptTokens === undefined ? undefined : `${promptTokens} tokens read`,
      completionTokens === undefined ? undefined : `${completionTokens} written`,
      firstTokenMs === undefined ? undefined : `first after ${firstTokenMs} ms`,
      problem,
    ].filter((detail) => detail !== undefined);
    const rest = details.length === 0 ? "" : `  ${details.join(", ")}`;
    write(`${time.slice(11, 19)} ${status} ${method} ${path} ${ms} ms${printable(rest)}\n`);
  };
}

// --- internal ---

/** What a client sends must not drive the terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, "\uFFFD");
}
