/**
 * One pass of the model over tokens whose keys and values go into the cells of a cache: its graph, which is built
 * once for a shape and run with other tokens, positions, cells and masks each time.
 */

import type { Backend, Lane } from "../tensor/backend.ts";
import { cachedAttention, type AttentionWindow } from "../tensor/flash-attention.ts";
import { Graph } from "../tensor/graph.ts";
import { createTargets, crossEntropy, type Targets } from "../tensor/loss.ts";
import { matmul } from "../tensor/matmul.ts";
import { reshape, setRows, slice } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { cacheStep, type KvCache } from "./kv-cache.ts";
import { finalStates, type AttentionInputs } from "./llama.ts";
import type { LlamaWeights } from "./weights.ts";

export interface PassShape {
  /** Which cells the tokens attend to: so many tokens to these, the next to those. */
  readonly windows: readonly PassWindow[];
  /** How many tokens' logits are wanted, or the summed loss of all tokens. */
  readonly wants: number | "loss";
  /** Longest context of the sequences, for dynamic RoPE; the model's own when left out. */
  readonly contextTokens?: number;
}

export interface PassWindow {
  readonly tokens: number;
  /** The first cell. */
  readonly start: number;
  /** How many cells. */
  readonly length: number;
}

export interface CachedPass {
  readonly graph: Graph;
  /** i32 `[n]` */
  readonly tokens: Tensor;
  /** i32 `[n]` */
  readonly positions: Tensor;
  /** Where each token's key and value go. i64 `[n]` */
  readonly cells: Tensor;
  /** f16, 0 or -inf: `[tokens, length]` of each window, one after another. */
  readonly mask: Tensor;
  /** Whose logits are wanted, unless it is all or none. i32 `[wants]` */
  readonly wanted: Tensor | undefined;
  readonly targets: Targets | undefined;
  /** `[wants, vocab]`, or the loss `[1]`; undefined when nothing is wanted. */
  readonly result: Tensor | undefined;
}

/** Whole steps of so many cells that hold cells `first` to `last`, so that one graph serves many lengths. */
export function windowOver(tokens: number, first: number, last: number, step = cacheStep): PassWindow {
  const start = Math.floor(first / step) * step;
  return { tokens, start, length: Math.ceil((last + 1 - start) / step) * step };
}

/** What passes are built over. */
export interface PassSource {
  readonly backend: Backend;
  readonly weights: LlamaWeights;
  readonly cache: KvCache;
  /** The part of the backend's threads that they run on. */
  readonly lane?: Lane | undefined;
}

/** The graphs of a decoder: those of the shapes used last are kept, as many as their memory allows. */
export class PassStore implements Disposable {
  readonly #source: PassSource;
  /** The one used last is the last. */
  readonly #passes = new Map<string, CachedPass>();

  constructor(source: PassSource) {
    this.#source = source;
  }

  /** Memory of the graphs' intermediate values. */
  get bytes(): number {
    return [...this.#passes.values()].reduce((bytes, { graph }) => bytes + graph.computeBytes, 0);
  }

  /** The pass of a shape. It is the store's, and lives until another is asked for. */
  pass(shape: PassShape): CachedPass {
    const key = keyOf(shape);
    const pass = this.#passes.get(key) ?? this.#build(shape);
    this.#passes.delete(key);
    this.#passes.set(key, pass);
    return pass;
  }

  [Symbol.dispose](): void {
    for (const { graph } of this.#passes.values()) graph[Symbol.dispose]();
    this.#passes.clear();
  }

  #build(shape: PassShape): CachedPass {
    // The oldest go before the new one takes its memory.
    let bytes = this.bytes;
    for (const [key, { graph }] of this.#passes) {
      if (this.#passes.size < keptPasses && bytes < keptBytes) break;
      bytes -= graph.computeBytes;
      graph[Symbol.dispose]();
      this.#passes.delete(key);
    }
    return buildPass(this.#source, shape);
  }
}

// --- internal ---

/** A batch whose sequences leave one by one has a shape for each count of them. */
const keptPasses = 32;
const keptBytes = 64 * 2 ** 20;

function keyOf({ windows, wants }: PassShape): string {
  const parts = windows.map(({ tokens, start, length }) => `${tokens}@${start}+${length}`);
  return `${parts.join(" ")} ${wants}`;
}

function buildPass({ backend, weights, cache, lane }: PassSource, shape: PassShape): CachedPass {
  const { config } = weights;
  const { windows, wants, contextTokens = config.maxSeqLen } = shape;
  const count = windows.reduce((sum, { tokens }) => sum + tokens, 0);
  const capacity = 64 + 4 * windows.length + (48 + 16 * windows.length) * config.nLayers;
  const graph = new Graph("decoder", backend, { capacity, ...(lane === undefined ? {} : { lane }) });
  graph.isRecording = false;
  try {
    const tokens = graph.input([count], { dtype: "i32", limit: config.vocabSize });
    const positions = graph.input([count], { dtype: "i32" });
    const cells = graph.input([count], { dtype: "i64", limit: cache.cells });
    const mask = graph.input([windows.reduce((sum, w) => sum + w.tokens * w.length, 0)], { dtype: "f16" });
    const hasAll = wants === "loss" || wants === count;
    // When none is wanted the last layer still needs a row.
    const wanted = hasAll
      ? undefined
      : wants === 0
        ? graph.constant(Int32Array.of(count - 1), [1], { dtype: "i32", limit: count })
        : graph.input([wants], { dtype: "i32", limit: count });
    const states = finalStates(graph, weights, {
      batch: 1,
      seq: count,
      tokens,
      positions,
      attend: attention(graph, cache, {
        cells,
        count,
        dim: config.nHeads * config.headDim,
        windows: masked(graph, mask, windows),
      }),
      contextTokens,
      ...(wanted === undefined ? {} : { wanted }),
    });
    const targets = wants === "loss" ? createTargets(graph, count, config.vocabSize) : undefined;
    const result =
      targets !== undefined
        ? crossEntropy(graph, { x: states, head: weights.head, targets })
        : wants === 0
          ? undefined
          : matmul(graph, states, weights.head);
    graph.output(result ?? states);
    graph.allocate();
    return {
      graph,
      tokens,
      positions,
      cells,
      mask,
      wanted: wants === 0 ? undefined : wanted,
      targets,
      result,
    };
  } catch (error) {
    graph[Symbol.dispose]();
    throw error;
  }
}

interface AttentionPlaces {
  readonly cells: Tensor;
  readonly count: number;
  readonly dim: number;
  readonly windows: readonly AttentionWindow[];
}

/** Writes keys and values into their cells, and attends to the windows. */
function attention(
  g: Graph,
  cache: KvCache,
  { cells, count, dim, windows }: AttentionPlaces,
): (inputs: AttentionInputs) => Tensor {
  const mixed = windows.length > 1 ? g.input([count, dim]) : undefined;
  return ({ q, k, v, layer }) => {
    const [keys, values] = [cache.keys[layer]!, cache.values[layer]!];
    const flat = [count, keys.shape[1]!];
    // The writes must run before the attention that reads the cells.
    g.effect(setRows(g, keys, reshape(g, k, flat), cells));
    g.effect(setRows(g, values, reshape(g, v, flat), cells));
    return cachedAttention(g, { q, keys, values, windows, mixed });
  };
}

/** Each window with its part of the mask. */
function masked(g: Graph, mask: Tensor, windows: readonly PassWindow[]): AttentionWindow[] {
  let from = 0;
  return windows.map(({ tokens, start, length }) => {
    const part = slice(g, mask, from, tokens * length);
    from += tokens * length;
    return { start, mask: reshape(g, part, [tokens, length]) };
  });
}
