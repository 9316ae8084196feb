/**
 * A script or a reward model in the place of people: it is given the prompts, and says of two answers which is better.
 * Its data carry its name, and what it is, wherever they appear.
 */

import { randomUUID } from "node:crypto";
import type { Random } from "../../corpus/random.ts";
import type { Dialog } from "../../dialog/message.ts";
import { ConfigError } from "../../errors/errors.ts";
import type { SafetyLabel, Strength } from "../comparison.ts";
import { safetyLabels, strengths } from "../comparison.ts";
import type { Database } from "../database.ts";
import { answerRequest, type AnswerGenerator } from "./answers.ts";
import type { Annotator } from "./annotators.ts";
import type { Batch } from "./batches.ts";
import { decisionOf, recordEvent } from "./events.ts";
import { saveAnswers, scriptTask, type Side, type Task } from "./tasks.ts";

export interface Verdict {
  readonly better: "a" | "b";
  readonly strength: Strength;
  /** Left out where nothing can be said of it. */
  readonly safety?: SafetyLabel;
}

/** @param prompt ends with the question that `a` and `b` answer. */
export type AnnotatorScript = (prompt: Dialog, a: string, b: string) => Verdict | Promise<Verdict>;

export interface ScriptedAnnotation {
  readonly database: Database;
  readonly batch: Batch;
  readonly annotator: Annotator;
  readonly judge: AnnotatorScript;
  readonly generate: AnswerGenerator;
  readonly random: Random;
}

/**
 * Has each prompt answered twice and judged; what was done before is not done again.
 *
 * @yields after each prompt, how many are done.
 * @throws {ConfigError} when the script says something else than a verdict.
 */
export async function* annotateByScript(
  prompts: readonly Dialog[],
  annotation: ScriptedAnnotation,
  signal: AbortSignal,
): AsyncGenerator<number> {
  const { database, batch, annotator, judge, random } = annotation;
  for (const [done, prompt] of prompts.entries()) {
    signal.throwIfAborted();
    const task = await scriptTask(database, prompt, { batch, annotatorId: annotator.id, random });
    const { left, right } = await answersOf(task, annotation, signal);
    if ((await decisionOf(database, task.id)) === undefined) {
      const verdict = checked(await judge(prompt, left, right));
      await recordEvent(database, annotator.id, {
        id: randomUUID(),
        taskId: task.id,
        kind: "compare",
        better: verdict.better === "a" ? "left" : "right",
        strength: verdict.strength,
        safety: verdict.safety,
      });
    }
    yield done + 1;
  }
}

// --- internal ---

async function answersOf(
  task: Task,
  { database, batch, generate }: ScriptedAnnotation,
  signal: AbortSignal,
): Promise<Record<Side, string>> {
  if (task.left !== null && task.right !== null) return { left: task.left, right: task.right };
  const answers = { left: "", right: "" };
  for (const side of ["left", "right"] as const) {
    for await (const text of generate(answerRequest(task, batch, side), signal)) answers[side] += text;
    signal.throwIfAborted();
  }
  const saved = await saveAnswers(database, task, answers);
  return { left: saved.left!, right: saved.right! };
}

/** A script is not type-checked. */
function checked(verdict: unknown): Verdict {
  const { better, strength, safety } = (verdict ?? {}) as Partial<Record<keyof Verdict, unknown>>;
  if (
    (better === "a" || better === "b") &&
    strengths.some((name) => name === strength) &&
    (safety === undefined || safetyLabels.some((name) => name === safety))
  ) {
    return verdict as Verdict;
  }
  throw new ConfigError(`the judge said ${JSON.stringify(verdict)}, which is no verdict`, {
    mend: `Return {better: "a" or "b", strength: one of ${strengths.join(", ")}, safety: one of ${safetyLabels.join(", ")}, or none}.`,
  });
}
