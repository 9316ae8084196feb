/**
 * A preference (Llama 2 §3.2.1): of two answers to the same conversation, which one is better, by how much, and
 * whether they are safe.
 */

import type { Dialog } from "../dialog/message.ts";

/** How much better the chosen answer is, on the paper's four-point scale, from the clearest down. */
export const strengths = ["significantly", "better", "slightly", "negligibly"] as const;
export type Strength = (typeof strengths)[number];

/**
 * The paper's three bins of safety: the chosen answer is safe and the other is not, both are safe, both are unsafe.
 * Pairs whose chosen answer is the unsafe one are not kept.
 */
export const safetyLabels = ["chosen-safe", "both-safe", "both-unsafe"] as const;
export type SafetyLabel = (typeof safetyLabels)[number];

/** Which of the two data sets it belongs to, each collected by guidelines of its own. */
export type Quality = "helpfulness" | "safety";

export interface Comparison {
  /** The conversation up to the question: it ends with a message of the user. */
  readonly prompt: Dialog;
  readonly chosen: string;
  readonly rejected: string;
  /** Undefined where the data do not say, as in hh-rlhf. */
  readonly strength?: Strength;
  readonly safety?: SafetyLabel;
  readonly quality: Quality;
  /** Who preferred: people, or what stood in for them. Shown wherever the data are. */
  readonly judge: string;
}
