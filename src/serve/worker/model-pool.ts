/**
 * The models of a server, each in a process of its own: opened when they are asked for, and let go of, the least
 * recently used first, when another needs their memory.
 */

import type {
  ChatPrompt,
  EmbedRequest,
  Embeddings,
  Engine,
  GenerateEvent,
  GenerateRequest,
  ModelDescription,
  ModelStatus,
  TokenizeRequest,
  TokenPiece,
} from "../engine.ts";
import { RequestError, unavailable } from "../problem.ts";
import { ModelProcess } from "./model-process.ts";
import type { ServedModelOptions } from "./served-model.ts";
import { Turns } from "./turns.ts";

export interface PoolModel {
  /** As clients name it. */
  readonly id: string;
  readonly options: ServedModelOptions;
  /** What it takes when it is open. */
  readonly bytes: number;
}

export interface PoolOptions {
  /** Of all open models together. */
  readonly memoryBytes: number;
  /** Told when a model's process ends by itself. */
  readonly died: (model: string, reason: string) => void;
}

export class ModelPool implements Engine {
  readonly #models = new Map<string, { readonly process: ModelProcess; readonly bytes: number }>();
  readonly #memoryBytes: number;
  /** Models are opened one after the other, so that each sees what the one before it took. */
  #lastOpening: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(models: readonly PoolModel[], { memoryBytes, died }: PoolOptions) {
    this.#memoryBytes = memoryBytes;
    const turns = new Turns();
    for (const { id, options, bytes } of models) {
      const events = { turns, died: (reason: string) => died(id, reason) };
      this.#models.set(id, { process: new ModelProcess(id, options, events), bytes });
    }
  }

  models(): readonly ModelStatus[] {
    return [...this.#models.values()].map(({ process }) => process.status);
  }

  async load(model: string): Promise<ModelDescription> {
    return this.#using(model, async (process) => process.open());
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerateEvent, undefined> {
    const process = this.#process(request.model);
    const done = process.use();
    try {
      await this.#open(request.model);
      signal?.throwIfAborted();
      const events = process.generate(request);
      const leave = (): void => void events.return();
      signal?.addEventListener("abort", leave, { once: true });
      try {
        yield* events;
      } finally {
        signal?.removeEventListener("abort", leave);
      }
    } finally {
      done();
    }
    signal?.throwIfAborted();
    return undefined;
  }

  async embed(request: EmbedRequest): Promise<Embeddings> {
    return this.#using(request.model, (process) => process.ask("embed", request));
  }

  async tokenize(request: TokenizeRequest): Promise<readonly TokenPiece[]> {
    return this.#using(request.model, (process) => process.ask("tokenize", request));
  }

  async detokenize(model: string, tokens: readonly number[]): Promise<string> {
    return this.#using(model, (process) => process.ask("detokenize", tokens));
  }

  async applyTemplate(model: string, prompt: ChatPrompt): Promise<string> {
    return this.#using(model, (process) => process.ask("applyTemplate", prompt));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#models.values()].map(({ process }) => process.close()));
  }

  /** Asks a model, which stays open meanwhile. */
  async #using<T>(model: string, ask: (process: ModelProcess) => Promise<T>): Promise<T> {
    const process = this.#process(model);
    const done = process.use();
    try {
      await this.#open(model);
      return await ask(process);
    } finally {
      done();
    }
  }

  #process(model: string): ModelProcess {
    if (this.#isClosed) throw unavailable("The server is being stopped.", "shutting_down");
    const found = this.#models.get(model);
    if (found !== undefined) return found.process;
    throw noModel(model, [...this.#models.keys()]);
  }

  /** Settles when it answers. */
  async #open(model: string): Promise<void> {
    const process = this.#process(model);
    if (!process.isOpen) await this.#inTurn(() => this.#makeRoom(model));
    const opening = process.open();
    this.#tellSharing();
    await opening;
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#lastOpening.then(work);
    this.#lastOpening = turn.catch(() => {});
    await turn;
  }

  /** Closes models that nobody uses until this one fits. */
  async #makeRoom(model: string): Promise<void> {
    const wanted = this.#models.get(model)!;
    if (wanted.bytes > this.#memoryBytes) {
      throw new RequestError({
        status: 503,
        message: `The model "${model}" needs more memory than the server may use.`,
        type: "server_error",
        code: "model_too_large",
      });
    }
    while (!wanted.process.isOpen && this.#taken() + wanted.bytes > this.#memoryBytes) {
      const idle = [...this.#models.values()]
        .filter(({ process }) => process.isOpen && !process.isBusy)
        .sort((a, b) => a.process.lastUsed - b.process.lastUsed);
      if (idle[0] === undefined) await new Promise((later) => setTimeout(later, 50));
      else await idle[0].process.close();
    }
  }

  #taken(): number {
    let bytes = 0;
    for (const model of this.#models.values()) if (model.process.isOpen) bytes += model.bytes;
    return bytes;
  }

  #tellSharing(): void {
    const open = [...this.#models.values()].filter(({ process }) => process.isOpen);
    for (const { process } of open) process.share(open.length > 1);
  }
}

// --- internal ---

function noModel(model: string, known: readonly string[]): RequestError {
  return new RequestError({
    status: 404,
    message: `There is no model "${model.slice(0, 100)}". There are: ${known.join(", ")}.`,
    type: "invalid_request_error",
    param: "model",
    code: "model_not_found",
  });
}
