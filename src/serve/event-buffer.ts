/**
 * The events of one request between who makes them and who reads them. A slow reader holds nobody up: text that it
 * has not read yet grows into one event, so what is kept is at most the text itself, and that has a bound too.
 */

import type { GenerateEvent, TokenReport } from "./engine.ts";
import { RequestError } from "./problem.ts";

type TextEvent = Extract<GenerateEvent, { type: "text" }>;

export class EventBuffer implements AsyncIterableIterator<GenerateEvent> {
  readonly #leave: () => void;
  readonly #maxSize: number;
  readonly #queue: GenerateEvent[] = [];
  #size = 0;
  #failure: unknown;
  #isOver = false;
  #wake: (() => void) | undefined;

  /**
   * @param leave   called once when nobody reads any more and the request has not ended.
   * @param maxSize of what is kept, in characters of text; log-probabilities count as their text would.
   */
  constructor(leave: () => void, maxSize = 8 * 2 ** 20) {
    this.#leave = leave;
    this.#maxSize = maxSize;
  }

  push(event: GenerateEvent): void {
    if (this.#isOver) return;
    if (event.type === "failed") {
      this.fail(new RequestError(event.problem));
      return;
    }
    const place = event.type === "text" ? this.#unread(event) : -1;
    if (place < 0) this.#queue.push(event);
    else this.#queue[place] = joined(this.#queue[place] as TextEvent, event as TextEvent);
    this.#size += sizeOf(event);
    if (event.type === "done") this.#isOver = true;
    if (this.#size > this.#maxSize) this.#overflow();
    this.#wake?.();
  }

  /** The reader gets what is left, and then the error. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#failure = error;
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<GenerateEvent, undefined>> {
    while (this.#queue.length === 0 && !this.#isOver) {
      await new Promise<void>((wake) => (this.#wake = wake));
      this.#wake = undefined;
    }
    const event = this.#queue.shift();
    if (event !== undefined) {
      this.#size -= sizeOf(event);
      return { done: false, value: event };
    }
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
    return { done: true, value: undefined };
  }

  /** The reader leaves. */
  async return(): Promise<IteratorResult<GenerateEvent, undefined>> {
    this.#queue.length = 0;
    this.#failure = undefined;
    if (!this.#isOver) {
      this.#isOver = true;
      this.#leave();
    }
    this.#wake?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Where text of the same answer waits to be read. */
  #unread({ index }: TextEvent): number {
    return this.#queue.findLastIndex((event) => event.type === "text" && event.index === index);
  }

  #overflow(): void {
    this.#queue.length = 0;
    this.#size = 0;
    this.#isOver = true;
    this.#failure = new RequestError({
      status: 503,
      message: `More than ${this.#maxSize} characters were written and not read.`,
      type: "server_error",
      code: "reader_too_slow",
    });
    this.#leave();
  }
}

// --- internal ---

function joined(first: TextEvent, second: TextEvent): TextEvent {
  const text = first.text + second.text;
  if (second.logprobs === undefined) return { ...first, text };
  return { ...first, text, logprobs: [...(first.logprobs ?? []), ...second.logprobs] };
}

function sizeOf(event: GenerateEvent): number {
  if (event.type !== "text") return 100;
  return event.text.length + (event.logprobs ?? []).reduce((size, report) => size + reportSize(report), 0);
}

/** About as long as its JSON. */
function reportSize({ top }: TokenReport): number {
  return 60 * (1 + top.length);
}
