/**
 * The answers of tasks, while they are being made. One making a task, however many pages listen; it goes on when they
 * leave, so a page that is loaded again finds what was said so far and hears the rest.
 */

import {
  answerRequest,
  type AnswerGenerator,
  type AnswerRequest,
} from "../../preference/annotation/answers.ts";
import type { Batch } from "../../preference/annotation/batches.ts";
import { saveAnswers, type Side, type Task } from "../../preference/annotation/tasks.ts";
import type { Database } from "../../preference/database.ts";

export type AnswerEvent =
  | { readonly type: "text"; readonly side: Side; readonly text: string }
  /** Both are whole and on the disk. */
  | { readonly type: "done" }
  /** Why is the server's to know: a reason that names a model would tell which variant failed. */
  | { readonly type: "failed" };

/** An answer is cut here: no page and no one can read more. */
const maxCharacters = 4_000_000;

export class AnswerStreams implements AsyncDisposable {
  readonly #database: Database;
  readonly #generate: AnswerGenerator;
  readonly #report: (reason: string) => void;
  readonly #makings = new Map<string, Making>();
  readonly #closing = new AbortController();

  constructor(database: Database, generate: AnswerGenerator, report: (reason: string) => void) {
    this.#database = database;
    this.#generate = generate;
    this.#report = report;
  }

  /** @yields what was said so far, then what is said, then one `done` or `failed`. */
  async *listen(task: Task, batch: Batch, signal: AbortSignal): AsyncGenerator<AnswerEvent> {
    const making = this.#makings.get(task.id) ?? this.#make(task, batch);
    for (let heard = 0; !signal.aborted;) {
      const event = making.events[heard];
      if (event !== undefined) {
        heard += 1;
        yield event;
        if (event.type !== "text") return;
      } else await making.next(signal);
    }
  }

  /** Stops what is being made; settles when the database is not used any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#makings.values()].map(({ ended }) => ended));
  }

  #make(task: Task, batch: Batch): Making {
    const making = new Making();
    this.#makings.set(task.id, making);
    making.ended = this.#run(making, task, batch).then((end) => {
      this.#makings.delete(task.id);
      making.push(end);
    });
    return making;
  }

  async #run(making: Making, task: Task, batch: Batch): Promise<AnswerEvent> {
    try {
      const [left, right] = await Promise.all([
        this.#answer(making, "left", answerRequest(task, batch, "left")),
        this.#answer(making, "right", answerRequest(task, batch, "right")),
      ]);
      await saveAnswers(this.#database, task, { left, right });
      return { type: "done" };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!this.#closing.signal.aborted) this.#report(`an answer of "${batch.name}" failed: ${reason}`);
      return { type: "failed" };
    }
  }

  async #answer(making: Making, side: Side, request: AnswerRequest): Promise<string> {
    let answer = "";
    for await (const text of this.#generate(request, this.#closing.signal)) {
      const room = maxCharacters - answer.length;
      const piece = text.slice(0, room);
      answer += piece;
      making.push({ type: "text", side, text: piece });
      if (text.length > room) break;
    }
    this.#closing.signal.throwIfAborted();
    return answer;
  }
}

// --- internal ---

class Making {
  readonly events: AnswerEvent[] = [];
  ended: Promise<void> = Promise.resolve();
  #waiting = new Set<() => void>();

  push(event: AnswerEvent): void {
    this.events.push(event);
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const wake of waiting) wake();
  }

  /** Settles at the next event, or when the listener leaves. */
  next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake);
    });
  }
}
