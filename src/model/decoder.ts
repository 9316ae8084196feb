/**
 * A model that reads tokens one after another and remembers them: prefill in chunks, then a token at a time, each
 * through a graph that is built once for every `cacheStep` tokens of context and used again.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Backend } from "../tensor/backend.ts";
import { cachedAttention } from "../tensor/flash-attention.ts";
import { Graph } from "../tensor/graph.ts";
import { createTargets, crossEntropy, writeTargets, type Targets } from "../tensor/loss.ts";
import { matmul } from "../tensor/matmul.ts";
import { reshape, setRows } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { minusInfinity } from "./attention.ts";
import { cacheStep, createKvCache, type CacheType, type KvCache } from "./kv-cache.ts";
import { finalStates, type AttentionInputs } from "./llama.ts";
import type { LlamaWeights } from "./weights.ts";

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
  readonly #backend: Backend;
  readonly #chunkTokens: number;
  readonly #cache: KvCache;
  readonly #passes = new Map<string, DecoderPass>();
  #length = 0;

  /** The caller disposes it, before the weights. */
  constructor(backend: Backend, weights: LlamaWeights, options: DecoderOptions = {}) {
    const { contextTokens = weights.config.maxSeqLen, chunkTokens = 512 } = options;
    if (!Number.isInteger(contextTokens) || contextTokens < 1) {
      throw new ConfigError(`a context of ${contextTokens} tokens is no positive integer`);
    }
    this.weights = weights;
    this.contextTokens = contextTokens;
    this.#backend = backend;
    this.#chunkTokens = Math.min(chunkTokens, contextTokens);
    this.#cache = createKvCache(backend, weights.config, {
      tokens: contextTokens,
      dtype: options.cacheType ?? cacheTypeFor(weights),
    });
  }

  /** How many tokens it has read. */
  get length(): number {
    return this.#length;
  }

  /** Memory of the cache and the graphs, in bytes. */
  get bytes(): number {
    return [...this.#passes.values()].reduce(
      (bytes, pass) => bytes + pass.graph.computeBytes,
      this.#cache.bytes,
    );
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
      const pass = await this.#run(chunk, isLast ? "last" : "none", undefined, signal);
      if (isLast) logits = pass.result!.readF32();
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
      const pass = await this.#run(chunk, "all", undefined, signal);
      logits.set(pass.result!.readF32(), from * vocabSize);
    }
    return logits;
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
      const pass = await this.#run(tokens.slice(from, to), "score", targets.slice(from, to), signal);
      nats += pass.result!.readF32()[0]!;
    }
    return nats;
  }

  [Symbol.dispose](): void {
    for (const pass of this.#passes.values()) pass.graph[Symbol.dispose]();
    this.#passes.clear();
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
    kind: PassKind,
    targets: Int32Array | undefined,
    signal?: AbortSignal,
  ): Promise<DecoderPass> {
    const count = tokens.length;
    const length = Math.ceil((this.#length + count) / cacheStep) * cacheStep;
    const pass = this.#pass(count, length, kind);
    pass.tokens.write(tokens);
    pass.positions.write(tokens.map((_, i) => this.#length + i));
    pass.cells.write(BigInt64Array.from(tokens, (_, i) => BigInt(this.#length + i)));
    pass.mask.write(causalRows(this.#length, count, length));
    if (targets !== undefined) writeTargets(pass.targets!, targets, new Float32Array(count).fill(1));
    await pass.graph.compute(signal);
    this.#length += count;
    return pass;
  }

  #pass(count: number, length: number, kind: PassKind): DecoderPass {
    const key = `${count} ${length} ${kind}`;
    const known = this.#passes.get(key);
    if (known !== undefined) return known;
    // Graphs of other sizes are used again too seldom to keep their memory.
    for (const [other, pass] of this.#passes) {
      if (other === key || (count === 1) !== other.startsWith("1 ")) continue;
      pass.graph[Symbol.dispose]();
      this.#passes.delete(other);
    }
    const pass = buildPass(this.#backend, this.weights, this.#cache, { count, length, kind });
    this.#passes.set(key, pass);
    return pass;
  }
}

// --- internal ---

function cacheTypeFor({ layers }: LlamaWeights): CacheType {
  return layers[0]?.wk.dtype === "f32" ? "f32" : "f16";
}

/** Which results a pass has: none, the last token's logits or all tokens', or the summed loss of all. */
type PassKind = "none" | "last" | "all" | "score";

interface DecoderPass {
  readonly graph: Graph;
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly cells: Tensor;
  readonly mask: Tensor;
  readonly targets: Targets | undefined;
  readonly result: Tensor | undefined;
}

interface PassSize {
  /** Tokens read at once. */
  readonly count: number;
  /** Cells attended to. */
  readonly length: number;
  readonly kind: PassKind;
}

function buildPass(
  backend: Backend,
  weights: LlamaWeights,
  cache: KvCache,
  { count, length, kind }: PassSize,
): DecoderPass {
  const { config } = weights;
  const graph = new Graph("decoder", backend, { capacity: 64 + 48 * config.nLayers });
  graph.isRecording = false;
  try {
    const tokens = graph.input([count], { dtype: "i32", limit: config.vocabSize });
    const positions = graph.input([count], { dtype: "i32" });
    const cells = graph.input([count], { dtype: "i64", limit: cache.cells });
    const mask = graph.input([count, length], { dtype: "f16" });
    const attend = ({ q, k, v, layer }: AttentionInputs): Tensor => {
      const [keys, values] = [cache.keys[layer]!, cache.values[layer]!];
      const flat = [count, config.nKvHeads * config.headDim];
      // The writes must run before the attention that reads the cells.
      graph.effect(setRows(graph, keys, reshape(graph, k, flat), cells));
      graph.effect(setRows(graph, values, reshape(graph, v, flat), cells));
      return cachedAttention(graph, { q, keys, values, mask });
    };
    const last = graph.constant(Int32Array.of(count - 1), [1], { dtype: "i32", limit: count });
    const wantsAll = kind === "score" || kind === "all" || count === 1;
    const wanted = wantsAll ? {} : { wanted: last };
    const states = finalStates(graph, weights, {
      batch: 1,
      seq: count,
      tokens,
      positions,
      attend,
      ...wanted,
    });
    const targets = kind === "score" ? createTargets(graph, count, config.vocabSize) : undefined;
    const result =
      targets === undefined
        ? kind === "none"
          ? undefined
          : matmul(graph, states, weights.head)
        : crossEntropy(graph, { x: states, head: weights.head, targets });
    graph.output(result ?? states);
    graph.allocate();
    return { graph, tokens, positions, cells, mask, targets, result };
  } catch (error) {
    graph[Symbol.dispose]();
    throw error;
  }
}

/** Each of `count` queries at `start`... sees the cells up to its own. f16 bits. `[count, length]` */
function causalRows(start: number, count: number, length: number): Uint16Array {
  const bits = new Uint16Array(count * length);
  for (let query = 0; query < count; query += 1) {
    bits.fill(minusInfinity, query * length + start + query + 1, (query + 1) * length);
  }
  return bits;
}
