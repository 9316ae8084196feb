/**
 * What a reload must not lose: the prompt being written, the choice not yet sent, and what was sent but not heard of.
 * Kept in the browser by task, and forgotten when the task is decided.
 */

import type { SafetyLabel, Strength } from "../../src/preference/comparison.ts";
import type { EventBody } from "./api.ts";

export interface Choice {
  readonly better?: "left" | "right";
  readonly strength?: Strength;
  readonly safety?: SafetyLabel;
}

export interface Draft {
  readonly text: string;
  readonly risk: string;
  readonly attack: string;
  readonly choice: Choice;
}

/** An event on its way: sent again, with the same id, until the server has said that it has it. */
export interface Outgoing {
  readonly taskId: string;
  readonly event: EventBody;
  readonly goesOn: boolean;
}

export const emptyDraft: Draft = { text: "", risk: "", attack: "", choice: {} };

export function draftOf(taskId: string): Draft {
  return { ...emptyDraft, ...read<Partial<Draft>>(`cria.draft.${taskId}`) };
}

export function keepDraft(taskId: string, draft: Draft): void {
  write(`cria.draft.${taskId}`, draft);
}

export function forgetDraft(taskId: string): void {
  localStorage.removeItem(`cria.draft.${taskId}`);
}

export function outgoing(): Outgoing | undefined {
  return read<Outgoing>("cria.outgoing");
}

export function keepOutgoing(sending: Outgoing | undefined): void {
  if (sending === undefined) localStorage.removeItem("cria.outgoing");
  else write("cria.outgoing", sending);
}

// --- internal ---

function read<T>(key: string): T | undefined {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}

function write(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Full, or forbidden: then a reload loses it, and nothing else.
  }
}
