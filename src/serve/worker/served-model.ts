/** A model that answers requests: its weights, its tokenizer, its decoder, and who of the requests has its turn. */

import { randomInt } from "node:crypto";
import { createRandom } from "../../corpus/random.ts";
import type { ContextShift } from "../../generate/context-shift.ts";
import { createSampler, type SamplingOptions } from "../../generate/sampling.ts";
import { checkTopLogprobs } from "../../generate/logprobs.ts";
import { createStopStrings } from "../../generate/stop-strings.ts";
import { BatchDecoder } from "../../model/batch-decoder.ts";
import type { CacheType } from "../../model/kv-cache.ts";
import { openWeights, readModelFiles, type ModelFiles } from "../../model/load.ts";
import type { OwnedWeights } from "../../model/weights.ts";
import { openBackend, type Backend } from "../../tensor/backend.ts";
import { createStreamDecoder } from "../../tokenizer/stream.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import { unusedIds, type Tokenizer } from "../../tokenizer/tokenizer.ts";
import type {
  ChatPrompt,
  EmbedRequest,
  Embeddings,
  GenerateEvent,
  GenerateRequest,
  ModelDescription,
  ModelStats,
  Prompt,
  SamplingSettings,
  TokenizeRequest,
  TokenPiece,
} from "../engine.ts";
import { invalid, problemOf } from "../problem.ts";
import { Choice } from "./choice.ts";
import { Constraints } from "./constraints.ts";
import { embedText } from "../../generate/embeddings.ts";
import { Prompts } from "./prompts.ts";
import { Scheduler, type Job } from "./scheduler.ts";
import { tokenReports } from "./token-report.ts";
import { oneAtATime } from "./turns.ts";

export interface ServedModelOptions {
  /** A Hugging Face or Meta folder, a `.gguf` file, or a llama2.c `.bin`. */
  readonly path: string;
  readonly tokenizer?: string;
  /** Longest text with its prompt, in tokens; the model's own limit when left out. */
  readonly contextTokens?: number;
  /** Tokens that all texts together can hold; four contexts when left out. */
  readonly cells?: number;
  readonly parallel: number;
  readonly queue: number;
  readonly device?: string;
  readonly threads?: number;
  readonly repack?: boolean;
  /** Of cached keys and values; f32 when left out and the weights are f32, else f16. */
  readonly cacheType?: CacheType;
  /** Texts go on when their context is full, and keep so many tokens of the prompt unless a request says otherwise. */
  readonly contextShift?: ContextShift;
}

export class ServedModel implements Disposable {
  readonly #files: ModelFiles;
  readonly #tokenizer: Tokenizer;
  readonly #prompts: Prompts;
  readonly #constraints: Constraints;
  readonly #backend: Backend;
  readonly #weights: OwnedWeights;
  readonly #decoder: BatchDecoder;
  readonly #scheduler: Scheduler;
  readonly #parallel: number;
  readonly #contextShift: ContextShift | undefined;
  readonly #counts = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  readonly #turn: () => Promise<() => void>;

  /**
   * The caller disposes it, when no request is left.
   *
   * @param turn settles when this model may compute; what it settles to says that it has.
   * @throws {ConfigError} when something is missing. @throws {FormatError} when a file is damaged.
   * @throws {EngineError} when the memory does not suffice.
   */
  constructor(options: ServedModelOptions, turn: () => Promise<() => void> = async () => () => {}) {
    const { path, tokenizer, device = "auto", threads, repack = true, parallel, queue } = options;
    this.#files = readModelFiles(path);
    const { config } = this.#files;
    this.#tokenizer = tokenizerOfModel(path, config.vocabSize, tokenizer);
    this.#prompts = new Prompts(path, this.#tokenizer);
    this.#constraints = new Constraints(this.#tokenizer, config.vocabSize, this.#prompts);
    const contextTokens = options.contextTokens ?? config.maxSeqLen;
    const cells = options.cells ?? 4 * contextTokens;
    const owned: Disposable[] = [];
    try {
      this.#backend = openBackend({ device, ...(threads === undefined ? {} : { threads }) });
      owned.push(this.#backend);
      this.#weights = openWeights(this.#backend, this.#files, {
        repack,
        unusedIds: unusedIds(this.#tokenizer),
      });
      owned.push(this.#weights);
      const size = { cells, contextTokens };
      const cacheType = options.cacheType === undefined ? {} : { cacheType: options.cacheType };
      this.#decoder = new BatchDecoder(this.#backend, this.#weights, { ...size, ...cacheType });
    } catch (error) {
      for (const owner of owned.toReversed()) owner[Symbol.dispose]();
      throw error;
    }
    this.#parallel = parallel;
    this.#contextShift = options.contextShift;
    this.#turn = oneAtATime(turn);
    this.#scheduler = new Scheduler(this.#decoder, { parallel, queue }, this.#turn);
  }

  get description(): ModelDescription {
    let parameters = 0;
    let fileBytes = 0;
    for (const { shape, parts } of this.#files.tensors.values()) {
      parameters += shape.reduce((product, size) => product * size, 1);
      for (const { bytes } of parts) fileBytes += bytes;
    }
    const { vocabSize } = this.#files.config;
    const { contextTokens, cacheBytes } = this.#decoder;
    const { threads } = this.#backend;
    let packedBytes = 0;
    for (const { isPacked, bytes } of Object.values(this.#weights.byName)) if (isPacked) packedBytes += bytes;
    return { contextTokens, vocabSize, parameters, fileBytes, packedBytes, cacheBytes, threads };
  }

  get stats(): ModelStats {
    const { running, waiting, steps } = this.#scheduler.stats;
    const { cells, freeCells } = this.#decoder;
    const residentBytes = process.memoryUsage.rss();
    return { running, waiting, steps, cells, freeCells, ...this.#counts, residentBytes };
  }

  /**
   * @param listen told of each event, the last of which is `done` or `failed`.
   * @returns ends the work; nothing is told any more.
   */
  generate(request: GenerateRequest, listen: (event: GenerateEvent) => void): () => void {
    let isEnded = false;
    const emit = (event: GenerateEvent): void => {
      if (isEnded) return;
      if (event.type === "done" || event.type === "failed") isEnded = true;
      listen(event);
    };
    let job: Job;
    try {
      this.#checkRoom(request.prompt, this.#prompts.leastTokensOf(request.prompt), "at least ");
      const prompt = this.#prompts.tokensOf(request.prompt);
      job = this.#job(request, prompt, emit);
      this.#scheduler.submit(job);
      emit({ type: "accepted", promptTokens: prompt.length, ...this.#callMark(request.prompt) });
    } catch (error) {
      emit({ type: "failed", problem: problemOf(error) });
      return () => {};
    }
    return () => {
      if (isEnded) return;
      isEnded = true;
      this.#scheduler.cancel(job);
    };
  }

  /** @throws {RequestError} for a text that is too long. */
  async embed({ inputs }: EmbedRequest): Promise<Embeddings> {
    const tokens = inputs.map((input) =>
      typeof input === "string" ? this.#prompts.withBos(input) : [...input],
    );
    const most = this.#decoder.contextTokens;
    for (const [i, { length }] of tokens.entries()) {
      if (length >= 1 && length <= most) continue;
      throw invalid(`input ${i} has ${length} tokens, not 1 to ${most}`, "input", "context_length_exceeded");
    }
    const vectors: Float32Array[] = [];
    for (const ids of tokens) {
      const end = await this.#turn();
      try {
        vectors.push(await embedText(this.#backend, this.#weights, ids));
      } finally {
        end();
      }
    }
    const promptTokens = tokens.reduce((sum, { length }) => sum + length, 0);
    this.#counts.promptTokens += promptTokens;
    return { vectors, promptTokens };
  }

  tokenize({ text, addSpecial }: TokenizeRequest): TokenPiece[] {
    const ids = addSpecial ? this.#prompts.withBos(text) : [...this.#tokenizer.encode(text)];
    return ids.map((id) => ({ id, piece: this.#tokenizer.model.pieces[id]!.piece }));
  }

  /** @throws {RequestError} for an id that is not in the vocabulary. */
  detokenize(tokens: readonly number[]): string {
    this.#prompts.checkIds(tokens, "tokens");
    return this.#tokenizer.decode(tokens);
  }

  applyTemplate(prompt: ChatPrompt): string {
    return this.#prompts.textOf(prompt);
  }

  [Symbol.dispose](): void {
    this.#decoder[Symbol.dispose]();
    this.#weights[Symbol.dispose]();
    this.#backend[Symbol.dispose]();
  }

  #callMark(prompt: Prompt): { readonly callMark?: string } {
    const hasTools = prompt.type === "messages" && prompt.tools !== undefined;
    return hasTools ? { callMark: this.#prompts.callFormat.open } : {};
  }

  #job(request: GenerateRequest, prompt: readonly number[], emit: (event: GenerateEvent) => void): Job {
    const { client, count } = request;
    if (count > this.#parallel)
      throw invalid(`n (${count}) is above the ${this.#parallel} texts at a time`, "n");
    if (prompt.length === 0) throw invalid("the prompt has no tokens", paramOf(request.prompt));
    this.#checkRoom(request.prompt, prompt.length);
    const choices = this.#choices(request, prompt, emit);
    let cachedTokens = 0;
    const usage = (): { promptTokens: number; cachedTokens: number; completionTokens: number } => ({
      promptTokens: prompt.length,
      cachedTokens,
      completionTokens: choices.reduce((sum, { drawn }) => sum + drawn, 0),
    });
    return {
      client,
      choices,
      started: (cached) => {
        cachedTokens = cached;
        this.#counts.promptTokens += prompt.length;
        this.#counts.cachedTokens += cached;
      },
      done: () => {
        this.#counts.completionTokens += usage().completionTokens;
        emit({ type: "done", usage: usage() });
      },
      failed: (error) => {
        report(error);
        emit({ type: "failed", problem: problemOf(error) });
      },
    };
  }

  #choices(
    request: GenerateRequest,
    prompt: readonly number[],
    emit: (event: GenerateEvent) => void,
  ): Choice[] {
    const { count, stop, topLogprobs } = request;
    const { vocabSize } = this.#files.config;
    const tokenizer = this.#tokenizer;
    if (topLogprobs !== undefined) checkTopLogprobs(topLogprobs);
    // Where nothing is said, no more than a context, for one that shifts has no end.
    const maxTokens = request.maxTokens ?? this.#decoder.contextTokens;
    const seed = request.seed ?? randomInt(2 ** 47);
    const report = tokenReports(tokenizer);
    const { ids: stopIds, strings: stopStrings } = this.#prompts.endings(request.prompt);
    const startConstraint = this.#constraints.of(request, stopIds);
    // What is held to a grammar ends where that does.
    const ignoresEnd = request.ignoresEnd === true && startConstraint === undefined;
    return Array.from({ length: count }, (_, index) => {
      const random = createRandom(seed + index);
      const sampling = {
        ...samplingOf(request.sampling),
        ...(ignoresEnd ? { bannedIds: stopIds } : {}),
        ...(startConstraint === undefined ? {} : { constraint: startConstraint() }),
      };
      return new Choice({
        index,
        prompt,
        maxTokens,
        stopIds,
        sampler: createSampler(sampling, vocabSize, () => random.next()),
        stops: createStopStrings([...stop, ...stopStrings]),
        text: createStreamDecoder(tokenizer, prompt),
        trimsStart: request.prompt.type === "messages",
        ...(topLogprobs === undefined ? {} : { logprobs: { top: topLogprobs, report } }),
        ...this.#shiftOf(prompt, request.keep),
        emit,
      });
    });
  }

  /** BOS is always kept, as attention rests on it. */
  #shiftOf(prompt: readonly number[], asked?: number): { readonly contextShift?: ContextShift } {
    if (this.#contextShift === undefined) return {};
    const least = prompt[0] === this.#tokenizer.bosId ? 1 : 0;
    const keep = asked === undefined ? Math.max(least, this.#contextShift.keep) : least + asked;
    return { contextShift: { keep: Math.min(prompt.length, keep) } };
  }

  /** @throws {RequestError} for a prompt that leaves no room for an answer. */
  #checkRoom(prompt: Prompt, tokens: number, about = ""): void {
    const most = Math.min(this.#decoder.contextTokens, this.#decoder.cells) - 1;
    if (tokens <= most) return;
    throw invalid(
      `the prompt has ${about}${tokens} tokens, and the context has room for ${most}`,
      paramOf(prompt),
      "context_length_exceeded",
    );
  }
}

// --- internal ---

function paramOf({ type }: Prompt): string {
  return type === "messages" ? "messages" : "prompt";
}

function samplingOf({ logitBias = [], ...settings }: SamplingSettings): SamplingOptions {
  return { ...settings, ...(logitBias.length === 0 ? {} : { logitBias: new Map(logitBias) }) };
}

/** What a client must not see goes to the log. */
function report(error: unknown): void {
  if (problemOf(error).status < 500) return;
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
}
