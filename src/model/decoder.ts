/**
 * A model that reads tokens one after another and remembers them: prefill in chunks, then a token at a time, each
 * through a graph that is built once for every `cacheStep` tokens of context and used again.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Backend } from "../tensor/backend.ts";
import { writeTargets } from "../tensor/loss.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { minusInfinity } from "./attention.ts";
import { PassStore, windowOver, type CachedPass, type PassShape } from "./cached-pass.ts";
import { cacheTypeFor, createKvCache, type CacheType, type KvCache } from "./kv-cache.ts";
import { banUnused, type LlamaWeights } from "./weights.ts";

export interface DecoderOptions {
  /** Longest context, in tokens; the model's own limit when left out. */
  readonly contextTokens?: number;
  /** Tokens that are prefilled at once. */
  readonly chunkTokens?: number;
  /** Of keys and values; f32 when left out and the weights are f32, else f16. */
  readonly cacheType?: CacheType;
}

export class Decoder implements Disposable {
  readonly weights: LlamaWeights;
  readonly contextTokens: number;
  readonly #chunkTokens: number;
  readonly #cache: KvCache;
  readonly #passes: PassStore;
  #length = 0;

  /** The caller disposes it, before the weights. */
  constructor(backend: Backend, weights: LlamaWeights, options: DecoderOptions = {}) {
    const { contextTokens = weights.config.maxSeqLen, chunkTokens = 512 } = options;
    if (!Number.isInteger(contextTokens) || contextTokens < 1) {
      throw new ConfigError(`a context of ${contextTokens} tokens is no positive integer`);
    }
    this.weights = weights;
    this.contextTokens = contextTokens;
    this.#chunkTokens = Math.min(chunkTokens, contextTokens);
    this.#cache = createKvCache(backend, weights.config, {
      tokens: contextTokens,
      dtype: options.cacheType ?? cacheTypeFor(weights),
    });
    this.#passes = new PassStore({ backend, weights, cache: this.#cache });
  }

  /** How many tokens it has read. */
  get length(): number {
    return this.#length;
  }

  /** Memory of the cache and the graphs, in bytes. */
  get bytes(): number {
    return this.#cache.bytes + this.#passes.bytes;
  }

  /** Forgets the tokens after the first `length`. */
  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw new ConfigError(`cannot go back to ${length} of ${this.#length} tokens`);
    }
    this.#length = length;
  }

  /**
   * Reads tokens.
   *
   * @returns the logits after the last of them. `[vocab]`
   * @throws {ConfigError} when they do not fit into the context, or are none.
   */
  async read(tokens: ArrayLike<number>, signal?: AbortSignal): Promise<Float32Array> {
    this.#checkRoom(tokens);
    let logits: Float32Array | undefined;
    for (let from = 0; from < tokens.length; from += this.#chunkTokens) {
      const chunk = Int32Array.from(
        { length: Math.min(this.#chunkTokens, tokens.length - from) },
        (_, i) => tokens[from + i]!,
      );
      const isLast = from + chunk.length === tokens.length;
      const pass = await this.#run(chunk, isLast ? 1 : 0, undefined, signal);
      if (isLast) logits = banUnused(pass.result!.readF32(), this.weights);
    }
    return logits!;
  }

  /**
   * Reads tokens.
   *
   * @returns the logits after each of them. `[n, vocab]`
   * @throws {ConfigError} when they do not fit into the context, or are none.
   */
  async readAll(tokens: ArrayLike<number>, signal?: AbortSignal): Promise<Float32Array> {
    this.#checkRoom(tokens);
    const { vocabSize } = this.weights.config;
    const logits = new Float32Array(tokens.length * vocabSize);
    for (let from = 0; from < tokens.length; from += this.#chunkTokens) {
      const chunk = Int32Array.from(
        { length: Math.min(this.#chunkTokens, tokens.length - from) },
        (_, i) => tokens[from + i]!,
      );
      const pass = await this.#run(chunk, chunk.length, undefined, signal);
      logits.set(pass.result!.readF32(), from * vocabSize);
    }
    return banUnused(logits, this.weights);
  }

  /**
   * Reads tokens and says how well each next one was predicted.
   *
   * @param tokens  `[n]`
   * @param targets the token after each. `[n]`
   * @returns Σ -log p(targetᵢ | tokens up to i), in nats.
   */
  async score(tokens: Int32Array, targets: Int32Array, signal?: AbortSignal): Promise<number> {
    this.#checkRoom(tokens);
    if (targets.length !== tokens.length)
      throw new ConfigError(`${tokens.length} tokens have ${targets.length} targets`);
    let nats = 0;
    for (let from = 0; from < tokens.length; from += this.#chunkTokens) {
      const to = Math.min(tokens.length, from + this.#chunkTokens);
      const pass = await this.#run(tokens.slice(from, to), "loss", targets.slice(from, to), signal);
      nats += pass.result!.readF32()[0]!;
    }
    return nats;
  }

  /** The cached keys and values, by name, of which the first `length` rows are of tokens that were read. */
  get cached(): ReadonlyMap<string, Tensor> {
    const { keys, values } = this.#cache;
    return new Map([
      ...keys.map((tensor, i): [string, Tensor] => [`keys.${i}`, tensor]),
      ...values.map((tensor, i): [string, Tensor] => [`values.${i}`, tensor]),
    ]);
  }

  /**
   * Goes on from what a decoder of the same model had read.
   *
   * @param rowsOf the first `length` rows of each cached tensor.
   */
  restore(length: number, rowsOf: (name: string) => Uint8Array): void {
    if (!Number.isInteger(length) || length < 0 || length > this.contextTokens) {
      throw new ConfigError(`${length} tokens do not fit into the context of ${this.contextTokens}`, {
        mend: "Open the model with a longer --context.",
      });
    }
    // What is read now and what comes are never mixed: without a length nothing of either is seen.
    this.#length = 0;
    for (const [name, tensor] of this.cached) {
      const rows = rowsOf(name);
      const bytes = length * (tensor.bytes / tensor.shape[0]!);
      if (rows.byteLength !== bytes)
        throw new ConfigError(`${name} of ${length} tokens is ${bytes} bytes, not ${rows.byteLength}`);
      tensor.writeBytes(rows);
    }
    this.#length = length;
  }

  [Symbol.dispose](): void {
    this.#passes[Symbol.dispose]();
    this.#cache[Symbol.dispose]();
  }

  #checkRoom(tokens: ArrayLike<number>): void {
    if (tokens.length === 0) throw new ConfigError("there are no tokens to read");
    if (this.#length + tokens.length <= this.contextTokens) return;
    throw new ConfigError(
      `${this.#length + tokens.length} tokens do not fit into the context of ${this.contextTokens}`,
      { mend: "Shorten the prompt, or ask for fewer tokens." },
    );
  }

  async #run(
    tokens: Int32Array,
    wants: PassShape["wants"],
    targets: Int32Array | undefined,
    signal?: AbortSignal,
  ): Promise<CachedPass> {
    const count = tokens.length;
    const window = windowOver(count, 0, this.#length + count - 1);
    const pass = this.#passes.pass({ contextTokens: this.contextTokens, windows: [window], wants });
    pass.tokens.write(tokens);
    pass.positions.write(tokens.map((_, i) => this.#length + i));
    pass.cells.write(BigInt64Array.from(tokens, (_, i) => BigInt(this.#length + i)));
    pass.mask.write(causalRows(this.#length, count, window.length));
    pass.wanted?.write(Int32Array.of(count - 1));
    if (targets !== undefined) writeTargets(pass.targets!, targets, new Float32Array(count).fill(1));
    await pass.graph.compute(signal);
    this.#length += count;
    return pass;
  }
}

// --- internal ---

/** Each of `count` queries at `start`... sees the cells up to its own. f16 bits. `[count, length]` */
function causalRows(start: number, count: number, length: number): Uint16Array {
  const bits = new Uint16Array(count * length);
  for (let query = 0; query < count; query += 1) {
    bits.fill(minusInfinity, query * length + start + query + 1, (query + 1) * length);
  }
  return bits;
}
