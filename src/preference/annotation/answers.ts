/** Who answers: the variants of a batch, by a function that whoever has the models gives. */

import type { Dialog } from "../../dialog/message.ts";
import type { Batch, Variant } from "./batches.ts";
import { promptOf, type Side, type Task } from "./tasks.ts";

export interface AnswerRequest {
  readonly variant: Variant;
  /** Ends with the question. */
  readonly prompt: Dialog;
  /** The same gives the same answer. */
  readonly seed: number;
}

/** @yields the answer's text piece by piece. */
export type AnswerGenerator = (request: AnswerRequest, signal: AbortSignal) => AsyncIterable<string>;

export function answerRequest(task: Task, { variants }: Batch, side: Side): AnswerRequest {
  const place = side === "left" ? task.leftVariant : task.rightVariant;
  // One model twice would say the same twice at equal seeds.
  return { variant: variants[place]!, prompt: promptOf(task), seed: task.seed + Number(side === "right") };
}
