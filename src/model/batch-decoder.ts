/**
 * A model that reads many sequences at once: the tokens of all of them go through one forward pass, and each attends
 * to the cells of its own sequence. A cell may belong to several sequences, so what they have in common is computed
 * and stored once.
 *
 * What a sequence's logits are does not depend on its company, bit for bit on one thread: the kernels compute a row in
 * one way whatever the others are, two rows at least are computed, and a sequence's cells ascend, with long prompts at
 * the beginning of a tile, as long as there are such cells. When they run out, or the chunks of a long step are others,
 * the sums are taken in another order, and differ by rounding.
 *
 * Sequences begin apart from each other, so that the cells of each lie together while it grows. The tokens of short
 * steps share a window of the cache where their cells are near, and differ by their masks, which the kernel passes over
 * at a tenth of a cell's cost: where they are far, that would be most of the work. Each long step has a window of its
 * own, which the kernel reads in tiles.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Backend, Lane } from "../tensor/backend.ts";
import { joined, maskOf, tileTokens, windowStep, type FilledWindow, type Row } from "./batch-windows.ts";
import { PassStore, windowOver, type CachedPass } from "./cached-pass.ts";
import { CellPool } from "./cell-pool.ts";
import { cacheTypeFor, createKvCache, type CacheType, type KvCache } from "./kv-cache.ts";
import { banUnused, type LlamaWeights } from "./weights.ts";

export interface BatchDecoderOptions {
  /** Tokens that all sequences together can hold; rounded up to whole steps of the cache. */
  readonly cells: number;
  /** Longest sequence, in tokens; the model's own limit when left out. */
  readonly contextTokens?: number;
  /** Tokens that go through the model at once. */
  readonly chunkTokens?: number;
  /** The part of the backend's threads that it computes on; all when left out. */
  readonly lane?: Lane;
  /** Of keys and values; f32 when left out and the weights are f32, else f16. */
  readonly cacheType?: CacheType;
}

/** Tokens that a sequence reads next. */
export interface SequenceStep {
  readonly sequence: number;
  readonly tokens: ArrayLike<number>;
  /** After which of them the logits are wanted. */
  readonly wants: "none" | "last" | "all";
}

export class BatchDecoder implements Disposable {
  readonly weights: LlamaWeights;
  readonly contextTokens: number;
  /** Tokens that go through the model at once. */
  readonly chunkTokens: number;
  readonly #cache: KvCache;
  readonly #passes: PassStore;
  readonly #pool: CellPool;
  /** The cell of each token, by sequence. */
  readonly #sequences = new Map<number, number[]>();
  /** Of the steps before: memory that is taken anew at every step costs more than to read the logits into it. */
  readonly #logits = new LogitRows();
  #opened = 0;
  #isStepping = false;

  /** The caller disposes it, before the weights. */
  constructor(backend: Backend, weights: LlamaWeights, options: BatchDecoderOptions) {
    const { cells, contextTokens = weights.config.maxSeqLen, chunkTokens = 512 } = options;
    const sizes = { cells, contextTokens, chunkTokens };
    for (const [name, size] of Object.entries(sizes)) {
      if (!Number.isSafeInteger(size) || size < 1)
        throw new ConfigError(`${name} (${size}) is not a whole number from 1 up`);
    }
    this.weights = weights;
    this.contextTokens = contextTokens;
    this.chunkTokens = chunkTokens;
    this.#cache = createKvCache(backend, weights.config, {
      tokens: cells,
      dtype: options.cacheType ?? cacheTypeFor(weights),
    });
    this.#passes = new PassStore({ backend, weights, cache: this.#cache, lane: options.lane });
    this.#pool = new CellPool(this.#cache.cells);
  }

  /** How many tokens all sequences together can hold; one that several share counts once. */
  get cells(): number {
    return this.#pool.cells;
  }

  get freeCells(): number {
    return this.#pool.free;
  }

  /** Memory of cached keys and values, in bytes. */
  get cacheBytes(): number {
    return this.#cache.bytes;
  }

  /** Memory of the cache and the graphs, in bytes. */
  get bytes(): number {
    return this.#cache.bytes + this.#passes.bytes;
  }

  /** A new sequence, empty. */
  open(): number {
    this.#opened += 1;
    this.#sequences.set(this.#opened, []);
    return this.#opened;
  }

  /** A new sequence that has read the first `length` tokens of another, in the same cells. */
  fork(sequence: number, length = this.length(sequence)): number {
    this.#refuseStepping("fork");
    const cells = this.#cellsOf(sequence);
    checkLength(sequence, length, cells.length);
    const fork = this.open();
    const shared = cells.slice(0, length);
    for (const cell of shared) this.#pool.share(cell);
    this.#sequences.set(fork, shared);
    return fork;
  }

  /** How many tokens a sequence has read. */
  length(sequence: number): number {
    return this.#cellsOf(sequence).length;
  }

  /** Forgets a sequence's tokens after the first `length`. */
  truncate(sequence: number, length: number): void {
    this.#refuseStepping("truncate");
    checkLength(sequence, length, this.#cellsOf(sequence).length);
    this.#shorten(sequence, length);
  }

  /** Ends a sequence. */
  close(sequence: number): void {
    this.#refuseStepping("close");
    this.#cellsOf(sequence);
    this.#shorten(sequence, 0);
    this.#sequences.delete(sequence);
  }

  /**
   * Each sequence reads its tokens, all in one pass unless they are more than `chunkTokens`.
   *
   * @returns of each step the logits that it wants: none, `[vocab]` of the last token, or `[n, vocab]`. Who keeps them
   *   beyond the next step keeps a copy.
   * @throws {ConfigError} for steps that cannot be, or when their tokens do not fit. After this or any other error,
   *   or when the signal is aborted between two passes, every sequence is as it was before.
   */
  async step(steps: readonly SequenceStep[], signal?: AbortSignal): Promise<Float32Array[]> {
    this.#refuseStepping("step");
    this.#checkSteps(steps);
    const before = steps.map(({ sequence }) => this.length(sequence));
    this.#isStepping = true;
    try {
      const logits: Float32Array[] = steps.map(() => new Float32Array(0));
      this.#logits.release();
      for (const parts of chunked(steps, this.chunkTokens)) await this.#run(parts, logits, signal);
      return logits;
    } catch (error) {
      for (const [i, { sequence }] of steps.entries()) this.#shorten(sequence, before[i]!);
      throw error;
    } finally {
      this.#isStepping = false;
    }
  }

  [Symbol.dispose](): void {
    this.#passes[Symbol.dispose]();
    this.#cache[Symbol.dispose]();
  }

  async #run(parts: readonly Part[], logits: Float32Array[], signal?: AbortSignal): Promise<void> {
    // Those that go on take their cells before those that begin.
    const filled = parts.toSorted((a, b) => a.count - b.count).map((part) => this.#fill(part));
    const windows = joined(filled, this.weights.config.nHeads);
    const rows = windows.flatMap(({ rows }) => rows);
    const wanted = rows.flatMap(({ target }, i) => (target === undefined ? [] : [i]));
    // Of one row, products take another kernel than of many, and would round otherwise: so it is computed twice.
    if (rows.length === 1) windows[0] = twice(windows[0]!);
    const computed = computedRows(wanted, rows.length);
    const pass = this.#passes.pass({ windows: windows.map(({ shape }) => shape), wants: computed.length });
    write(pass, windows, computed);
    await pass.graph.compute(signal);
    if (wanted.length === 0) return;
    const { vocabSize } = this.weights.config;
    const result = this.#logits.take(computed.length * vocabSize);
    pass.result!.readF32Into(result);
    banUnused(result, this.weights);
    for (const i of wanted) {
      const row = computed.indexOf(i) * vocabSize;
      const { step, at, of } = rows[i]!.target!;
      // One row is not copied: at every step of many answers that would be most of what is done beside the pass.
      if (of === 1) {
        logits[step] = result.subarray(row, row + vocabSize);
        continue;
      }
      if (logits[step]!.length === 0) logits[step] = new Float32Array(of * vocabSize);
      logits[step]!.set(result.subarray(row, row + vocabSize), at * vocabSize);
    }
  }

  /** Gives cells to the tokens of a part, and looks for the window that holds all cells of its sequence. */
  #fill({ step, index, from, count, isLast, of }: Part): FilledWindow {
    const rows: Row[] = [];
    const cells = this.#cellsOf(step.sequence);
    let cell = cells.at(-1) ?? this.#pool.place(step.tokens.length, tileTokens) - 1;
    for (let i = from; i < from + count; i += 1) {
      cell = this.#pool.take(cell);
      cells.push(cell);
      const isWanted = step.wants === "all" || (step.wants === "last" && isLast && i === from + count - 1);
      const target = isWanted
        ? { step: index, at: step.wants === "all" ? i : 0, of: rowsOf(step) }
        : undefined;
      rows.push({ token: step.tokens[i]!, cells, position: cells.length - 1, target });
    }
    let [first, last] = [Number.POSITIVE_INFINITY, 0];
    for (const cell of cells) {
      if (cell < first) first = cell;
      if (cell > last) last = cell;
    }
    return { rows, shape: windowOver(rows.length, first, last, windowStep(of)) };
  }

  #cellsOf(sequence: number): number[] {
    const cells = this.#sequences.get(sequence);
    if (cells !== undefined) return cells;
    throw new ConfigError(`there is no open sequence ${sequence}`, {
      mend: "`open` or `fork` makes one, and it lives until `close`.",
    });
  }

  #shorten(sequence: number, length: number): void {
    const cells = this.#cellsOf(sequence);
    for (let i = length; i < cells.length; i += 1) this.#pool.release(cells[i]!);
    cells.length = length;
  }

  #refuseStepping(what: string): void {
    if (!this.#isStepping) return;
    throw new ConfigError(`${what} while a step is under way`, { mend: "Await the step first." });
  }

  #checkSteps(steps: readonly SequenceStep[]): void {
    const seen = new Set<number>();
    let count = 0;
    for (const { sequence, tokens } of steps) {
      const length = this.length(sequence) + tokens.length;
      if (seen.has(sequence)) throw new ConfigError(`sequence ${sequence} is twice in one step`);
      seen.add(sequence);
      if (tokens.length === 0) throw new ConfigError(`sequence ${sequence} has no tokens to read`);
      if (length > this.contextTokens) {
        throw new ConfigError(`${length} tokens do not fit into the context of ${this.contextTokens}`, {
          mend: "Shorten the prompt, or ask for fewer tokens.",
        });
      }
      checkTokens(tokens, this.weights.config.vocabSize);
      count += tokens.length;
    }
    if (count <= this.freeCells) return;
    throw new ConfigError(`${count} tokens do not fit into ${this.freeCells} free cells of ${this.cells}`, {
      mend: "Close sequences, or make the decoder with more cells.",
    });
  }
}

// --- internal ---

/** Memory of logits, which serves every step again. */
class LogitRows {
  #memory = new Float32Array(0);
  #used = 0;

  /** What was taken is free again. */
  release(): void {
    this.#used = 0;
  }

  /** Of any content. */
  take(count: number): Float32Array {
    if (count > keptLogits) return new Float32Array(count);
    if (this.#used + count > this.#memory.length) {
      // Those that were taken keep the memory that they lie in.
      this.#memory = new Float32Array(count);
      this.#used = 0;
    }
    this.#used += count;
    return this.#memory.subarray(this.#used - count, this.#used);
  }
}

/** 32 MiB: 256 texts with a vocabulary of 32,000. */
const keptLogits = 2 ** 23;

/** Tokens of a step that go through one pass. */
interface Part {
  readonly step: SequenceStep;
  /** The step's place. */
  readonly index: number;
  readonly from: number;
  readonly count: number;
  readonly isLast: boolean;
  /** How many steps there are. */
  readonly of: number;
}

function rowsOf({ wants, tokens }: SequenceStep): number {
  return wants === "all" ? tokens.length : wants === "last" ? 1 : 0;
}

function checkTokens(tokens: ArrayLike<number>, vocabSize: number): void {
  for (let i = 0; i < tokens.length; i += 1) {
    const id = tokens[i]!;
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize)
      throw new ConfigError(`token ${id} is not one of ${vocabSize} tokens`);
  }
}

function checkLength(sequence: number, length: number, most: number): void {
  if (Number.isInteger(length) && length >= 0 && length <= most) return;
  throw new ConfigError(`sequence ${sequence} has ${most} tokens, and cannot go back to ${length}`);
}

/** Two at least; of two rows, both, for a pass that computes as many rows as it has computes them in their order. */
function computedRows(wanted: readonly number[], count: number): readonly number[] {
  if (wanted.length !== 1) return wanted;
  return count <= 2 ? [0, 1] : [wanted[0]!, wanted[0]!];
}

/** The steps in passes of at most `chunkTokens` tokens. */
function chunked(steps: readonly SequenceStep[], chunkTokens: number): Part[][] {
  const passes: Part[][] = [];
  let room = 0;
  for (const [index, step] of steps.entries()) {
    for (let from = 0; from < step.tokens.length;) {
      if (room === 0) {
        passes.push([]);
        room = chunkTokens;
      }
      const count = Math.min(room, step.tokens.length - from);
      const isLast = from + count === step.tokens.length;
      passes.at(-1)!.push({ step, index, from, count, isLast, of: steps.length });
      from += count;
      room -= count;
    }
  }
  return passes;
}

function twice({ shape, rows }: FilledWindow): FilledWindow {
  return { shape: { ...shape, tokens: 2 }, rows: [rows[0]!, rows[0]!] };
}

function write(pass: CachedPass, windows: readonly FilledWindow[], wanted: readonly number[]): void {
  const rows = windows.flatMap(({ rows }) => rows);
  pass.tokens.write(Int32Array.from(rows, ({ token }) => token));
  pass.positions.write(Int32Array.from(rows, ({ position }) => position));
  pass.cells.write(BigInt64Array.from(rows, ({ cells, position }) => BigInt(cells[position]!)));
  pass.mask.write(maskOf(windows));
  pass.wanted?.write(Int32Array.from(wanted));
}
