/** The annotation API, as the page uses it. */

import type { AnnotatorProgress, BatchProgress } from "../../src/preference/annotation/progress.ts";
import type { AnnotationEvent } from "../../src/preference/annotation/events.ts";
import type { Guidelines } from "../../src/preference/annotation/guidelines.ts";
import type { Message } from "../../src/dialog/message.ts";
import type { Quality } from "../../src/preference/comparison.ts";

export interface Me {
  readonly name: string;
  readonly role: "annotator" | "lead";
  readonly batches: readonly OpenBatch[];
  readonly guidelines: Readonly<Record<Quality, Guidelines>>;
  readonly riskCategories: Readonly<Record<string, string>>;
  readonly attackStyles: Readonly<Record<string, string>>;
}

export interface OpenBatch {
  readonly id: string;
  readonly name: string;
  readonly quality: Quality;
}

export interface TaskView {
  readonly id: string;
  readonly history: readonly Message[];
  readonly question: string | null;
  readonly left: string | null;
  readonly right: string | null;
  readonly progress: Omit<AnnotatorProgress, "name" | "kind" | "repeated">;
  /** The task that an undo would open again. */
  readonly lastDecided: string | null;
}

export interface LeadBatch extends BatchProgress {
  readonly id: string;
  readonly name: string;
  readonly policyVersion: string;
  readonly quality: Quality;
  readonly split: "train" | "test";
  readonly overlapShare: number;
  readonly openedAt: string;
  readonly closedAt: string | null;
  readonly source: string | null;
  /** Whether the lead annotates it, and is told neither its variants nor which wins until it is closed. */
  readonly isBlind: boolean;
  readonly variants: readonly { readonly name: string }[];
}

export interface LeadView {
  readonly variants: readonly { readonly name: string }[];
  readonly batches: readonly LeadBatch[];
}

/** What a page sends of an event; which task it is about is in the address. */
export type EventBody = AnnotationEvent extends infer E
  ? E extends unknown
    ? Omit<E, "taskId">
    : never
  : never;

export type AnswerEvent =
  | { readonly type: "text"; readonly side: "left" | "right"; readonly text: string }
  | { readonly type: "done" }
  | { readonly type: "failed" };

/** The server refuses: by its own words. What is no `ApiError` is a server that was not reached. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** @throws {ApiError} when the server refuses, `TypeError` when it is not reached. */
export async function call<T>(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<T> {
  const response = await fetch(`/annotate/api${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  if (!response.ok) throw await errorOf(response);
  return (await response.json()) as T;
}

/**
 * The answers as they are written, from their beginning.
 *
 * @yields events up to `done` or `failed`.
 * @throws {ApiError} when the server refuses, `TypeError` when it is not reached or goes away.
 */
export async function* listen(taskId: string, signal: AbortSignal): AsyncGenerator<AnswerEvent> {
  const response = await fetch(`/annotate/api/tasks/${taskId}/answers`, { signal });
  if (!response.ok || response.body === null) throw await errorOf(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    const lines = (rest + step.value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const data = line.startsWith("data:") ? line.slice(5).trim() : "";
      // The stream's own end, and what ended it before its time, say nothing of the answers.
      if (data === "" || data === "[DONE]" || data.startsWith('{"error"')) continue;
      yield JSON.parse(data) as AnswerEvent;
    }
  }
}

// --- internal ---

async function errorOf(response: Response): Promise<ApiError> {
  try {
    const { message } = ((await response.json()) as { error: { message: string } }).error;
    return new ApiError(response.status, message.charAt(0).toUpperCase() + message.slice(1));
  } catch {
    return new ApiError(response.status, `The server answered ${response.status}.`);
  }
}
