/** What scores answers: a reward model, a pair of them, or any function of the text. */

import type { Dialog } from "../dialog/message.ts";

export interface Answered {
  /** The conversation up to the question: it ends with a message of the user. */
  readonly prompt: Dialog;
  readonly answer: string;
  /** Whether the prompt is tagged as able to provoke an unsafe answer (`is_safety` of §3.2.3); no when left out. */
  readonly isSafety?: boolean;
}

/**
 * Scores answers, the larger the better.
 *
 * @returns one score for each, in their order. `[answers]`
 */
export type RewardFunction = (answers: readonly Answered[], signal?: AbortSignal) => Promise<Float64Array>;
