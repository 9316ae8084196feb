/**
 * A model's process as the server sees it: started when it is wanted, and started again when it dies. A death ends
 * the requests that were running there, each with an error, and nothing else.
 */

import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { GenerateEvent, GenerateRequest, ModelDescription, ModelStats, ModelStatus } from "../engine.ts";
import { EventBuffer } from "../event-buffer.ts";
import { RequestError, unavailable, type ApiProblem } from "../problem.ts";
import type { Answer, FromModel, Question, QuestionArgument, ToModel } from "./protocol.ts";
import type { ServedModelOptions } from "./served-model.ts";
import type { Turns, TurnTaker } from "./turns.ts";

export interface ModelProcessEvents {
  /** The process ended by itself. */
  readonly died: (reason: string) => void;
  readonly turns: Turns;
}

export class ModelProcess implements TurnTaker {
  readonly id: string;
  readonly options: ServedModelOptions;
  readonly #events: ModelProcessEvents;
  #child: ChildProcess | undefined;
  #state: ModelStatus["state"] = "unloaded";
  #opening: Opening | undefined;
  #timer: NodeJS.Timeout | undefined;
  #description: ModelDescription | undefined;
  #stats: ModelStats | undefined;
  #deaths = 0;
  /** Deaths since it was last open: the next start waits the longer. */
  #failedStarts = 0;
  #isShared = false;
  #isClosing = false;
  #lastId = 0;
  readonly #buffers = new Map<number, EventBuffer>();
  readonly #answers = new Map<number, PromiseWithResolvers<unknown>>();
  #users = 0;
  /** When it was last asked for something, or was done. */
  lastUsed = 0;

  constructor(id: string, options: ServedModelOptions, events: ModelProcessEvents) {
    this.id = id;
    this.options = options;
    this.#events = events;
  }

  get status(): ModelStatus {
    return {
      id: this.id,
      state: this.#state,
      deaths: this.#deaths,
      ...(this.#description === undefined ? {} : { description: this.#description }),
      ...(this.#stats === undefined || this.#state !== "ready" ? {} : { stats: this.#stats }),
    };
  }

  /** Whether it has memory, or is about to. */
  get isOpen(): boolean {
    return !this.#isClosing && (this.#child !== undefined || this.#opening !== undefined);
  }

  get isBusy(): boolean {
    return this.#users > 0 || this.#state === "loading";
  }

  /** Somebody is about to ask it, and is not done until what is returned is called: it is not to be closed. */
  use(): () => void {
    this.#users += 1;
    this.lastUsed = Date.now();
    return () => {
      this.#users -= 1;
      this.lastUsed = Date.now();
    };
  }

  /** For tests and the curious. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** @throws {RequestError} when it cannot be opened. */
  open(): Promise<ModelDescription> {
    this.#opening ??= this.#start();
    return this.#opening.promise;
  }

  generate(request: GenerateRequest): EventBuffer {
    const id = this.#nextId();
    const buffer = new EventBuffer(() => {
      this.#buffers.delete(id);
      this.#send({ type: "cancel", id });
    });
    if (this.#child?.connected === true) this.#buffers.set(id, buffer);
    else buffer.fail(died());
    this.#send({ type: "generate", id, request });
    return buffer;
  }

  ask<Q extends Question>(question: Q, argument: QuestionArgument<Q>): Promise<Answer<Q>> {
    const id = this.#nextId();
    const answer = withResolvers<unknown>();
    if (this.#child?.connected === true) this.#answers.set(id, answer);
    else answer.reject(died());
    this.#send({ type: "ask", id, question, argument });
    return answer.promise as Promise<Answer<Q>>;
  }

  /** Ends it; settles when its memory is free. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined) {
      this.#opening?.reject(died());
      this.#opening = undefined;
      this.#state = "unloaded";
      return;
    }
    this.#isClosing = true;
    const ended = new Promise((ended) => child.once("exit", ended));
    child.kill("SIGKILL");
    await ended;
  }

  share(isShared: boolean): void {
    if (this.#isShared === isShared) return;
    this.#isShared = isShared;
    this.#send({ type: "sharing", isShared });
  }

  grant(): void {
    this.#send({ type: "turn" });
  }

  #nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  #send(message: ToModel): void {
    // A child that has died takes nothing; its `exit` ends what waits for it.
    if (this.#child?.connected === true) this.#child.send(message, () => {});
  }

  #start(): Opening {
    const opening = withResolvers<ModelDescription>();
    // Whoever waits sees it fail; that nobody does is no reason to end the server.
    opening.promise.catch(() => {});
    this.#state = "loading";
    const delay = this.#failedStarts === 0 ? 0 : Math.min(30_000, 200 * 2 ** this.#failedStarts);
    this.#timer = setTimeout(() => this.#fork(), delay);
    return opening;
  }

  #fork(): void {
    const child = fork(fileURLToPath(entry), {
      serialization: "advanced",
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child = child;
    child.on("message", (message: FromModel) => {
      if (this.#child === child) this.#receive(message);
    });
    child.on("error", () => {});
    child.on("exit", (code, signal) => {
      if (this.#child === child) this.#ended(signal ?? `exit code ${code}`);
    });
    this.#send({ type: "open", options: this.options });
    if (this.#isShared) this.#send({ type: "sharing", isShared: true });
  }

  #receive(message: FromModel): void {
    switch (message.type) {
      case "ready":
        this.#state = "ready";
        this.#description = message.description;
        this.#stats = message.stats;
        this.#opening?.resolve(message.description);
        return;
      case "not-opened":
        this.#refuse(message.problem);
        return;
      case "events":
        this.#stats = message.stats;
        for (const [id, event] of message.events) this.#deliver(id, event);
        return;
      case "answer":
      case "refusal": {
        const answer = this.#answers.get(message.id);
        this.#answers.delete(message.id);
        if (message.type === "answer") answer?.resolve(message.answer);
        else answer?.reject(new RequestError(message.problem));
        return;
      }
      case "turn-wanted":
        this.#events.turns.want(this);
        return;
      case "turn-over":
        this.#events.turns.end(this);
    }
  }

  #deliver(id: number, event: GenerateEvent): void {
    const buffer = this.#buffers.get(id);
    if (event.type === "done" || event.type === "failed") this.#buffers.delete(id);
    buffer?.push(event);
  }

  /** It could not be opened, and the next who asks makes it try again. */
  #refuse(problem: ApiProblem): void {
    const opening = this.#opening;
    this.#opening = undefined;
    this.#state = "failed";
    this.#child?.kill("SIGKILL");
    // Its end is no death.
    this.#child = undefined;
    opening?.reject(new RequestError(problem));
  }

  #ended(reason: string): void {
    this.#child = undefined;
    this.#stats = undefined;
    this.#events.turns.leave(this);
    const wasClosing = this.#isClosing;
    this.#isClosing = false;
    const error = died();
    for (const buffer of this.#buffers.values()) buffer.fail(error);
    for (const answer of this.#answers.values()) answer.reject(error);
    this.#buffers.clear();
    this.#answers.clear();
    if (wasClosing) {
      this.#state = "unloaded";
      this.#opening?.reject(error);
      this.#opening = undefined;
      return;
    }
    this.#deaths += 1;
    this.#failedStarts = this.#state === "ready" ? 0 : this.#failedStarts + 1;
    this.#events.died(reason);
    this.#opening?.reject(error);
    this.#opening = this.#start();
  }
}

// --- internal ---

const entry = new URL("../../../bin/worker.js", import.meta.url);

function died(): RequestError {
  return unavailable("The model's process ended while it worked on this; it starts again.", "engine_died");
}

type Opening = PromiseWithResolvers<ModelDescription>;

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** `Promise.withResolvers`, which Node 20 does not have. */
function withResolvers<T>(): PromiseWithResolvers<T> {
  let [resolve, reject]: [(value: T) => void, (error: unknown) => void] = [() => {}, () => {}];
  const promise = new Promise<T>((take, fail) => ([resolve, reject] = [take, fail]));
  return { promise, resolve, reject };
}
