/**
 * Training batches and validation windows from token shards.
 *
 * Documents are packed: the stream `BOS text EOS BOS text EOS ...` is cut into windows of seqLen inputs
 * with their seqLen targets, so no position is padding (how Meta packs and masks across documents is not
 * published). The stream is read as a circle and cut at a place drawn anew in each epoch: the number of
 * windows is the same in every epoch, and over epochs a token is seen at every distance from a window's start.
 */

import { ConfigError } from "../errors/errors.ts";
import { createRandom, type Random, restoreRandom } from "./random.ts";
import type { TokenShards } from "./shards.ts";

export interface Batch {
  /** [batch, seq] */
  readonly tokens: Int32Array;
  /** The next tokens. [batch, seq] */
  readonly targets: Int32Array;
}

/** Where a loader stands; plain data, for checkpoints. */
export interface LoaderState {
  readonly epoch: number;
  /** Sequences of this epoch already given out. */
  readonly position: number;
  /** State of the generator at the start of this epoch, from which its order is drawn again. */
  readonly order: readonly number[];
}

export interface LoaderOptions {
  readonly batchSize: number;
  readonly seqLen: number;
  readonly seed: number;
}

export interface Loader {
  /** The next batch; an epoch's last one is filled up from the following epoch. */
  next(): Batch;
  readonly state: LoaderState;
  readonly sequencesPerEpoch: number;
}

/** What the loader needs to know of the shards. */
export type TokenStream = Pick<TokenShards, "tokens" | "read">;

/**
 * In one epoch every token is a target exactly once, but for the `tokens mod seqLen` that fill no window.
 * From `state` on, the batches are those that the loader it was taken from would have given.
 *
 * @throws {ConfigError} if the corpus is shorter than one sequence and its last target, or the state is not of
 *         a loader with these shards and this seqLen.
 */
export function createLoader(shards: TokenStream, options: LoaderOptions, state?: LoaderState): Loader {
  const { batchSize, seqLen, seed } = options;
  checkPositive("batch_size", batchSize);
  checkPositive("seq_len", seqLen);
  checkLength(shards, seqLen + 1, seqLen);
  const sequencesPerEpoch = Math.floor(shards.tokens / seqLen);
  if (state !== undefined) checkState(state, sequencesPerEpoch);

  let epoch = state?.epoch ?? 0;
  let position = state?.position ?? 0;
  let random = state === undefined ? createRandom(seed) : restoreRandom(state.order);
  let order = random.state;
  let cuts = drawCuts(random, shards.tokens, seqLen);
  const row = new Int32Array(seqLen + 1);

  const nextStart = (): number => {
    if (position === sequencesPerEpoch) {
      epoch += 1;
      position = 0;
      order = random.state;
      cuts = drawCuts(random, shards.tokens, seqLen);
    }
    const start = (cuts.phase + cuts.windows[position]! * seqLen) % shards.tokens;
    position += 1;
    return start;
  };
  return {
    next() {
      const tokens = new Int32Array(batchSize * seqLen);
      const targets = new Int32Array(batchSize * seqLen);
      for (let i = 0; i < batchSize; i += 1) {
        readCircle(shards, nextStart(), row);
        tokens.set(row.subarray(0, seqLen), i * seqLen);
        targets.set(row.subarray(1), i * seqLen);
      }
      return { tokens, targets };
    },
    get state() {
      return { epoch, position, order };
    },
    sequencesPerEpoch,
  };
}

/** Part of a text to be predicted. */
export interface ValidationWindow {
  /** `[n]`, n <= seqLen */
  readonly tokens: Int32Array;
  /** The next tokens. `[n]` */
  readonly targets: Int32Array;
  /** Targets before this one are another window's: their tokens are context here. */
  readonly from: number;
}

/**
 * Cuts the whole stream in order into windows that overlap by half: each token but the first is predicted exactly
 * once, from at least seqLen / 2 tokens before it (or from all there are), as a reader of the whole text would.
 *
 * @yields windows of at most seqLen predictions.
 * @throws {ConfigError} if there are fewer than two tokens.
 */
export function* validationWindows(shards: TokenStream, seqLen: number): Generator<ValidationWindow> {
  checkPositive("seq_len", seqLen);
  checkLength(shards, 2, seqLen);
  const stride = Math.ceil(seqLen / 2);
  for (let start = 0, predicted = 0; predicted < shards.tokens - 1; start += stride) {
    const count = Math.min(seqLen, shards.tokens - 1 - start);
    const row = new Int32Array(count + 1);
    shards.read(start, count + 1, row);
    yield { tokens: row.slice(0, count), targets: row.slice(1), from: predicted - start };
    predicted = start + count;
  }
}

// --- internal ---

/** How one epoch cuts the circle: window `w` starts at phase + w · seqLen. */
interface Cuts {
  readonly phase: number;
  /** Window numbers in the order they are given out. */
  readonly windows: Uint32Array;
}

function drawCuts(random: Random, tokens: number, seqLen: number): Cuts {
  const phase = random.int(tokens);
  const windows = new Uint32Array(Math.floor(tokens / seqLen));
  for (let i = 0; i < windows.length; i += 1) {
    // "Inside-out" Fisher-Yates: shuffles while it fills.
    const j = random.int(i + 1);
    windows[i] = windows[j]!;
    windows[j] = i;
  }
  return { phase, windows };
}

function readCircle(shards: TokenStream, start: number, into: Int32Array): void {
  const beforeEnd = Math.min(into.length, shards.tokens - start);
  shards.read(start, beforeEnd, into);
  if (beforeEnd < into.length) shards.read(0, into.length - beforeEnd, into.subarray(beforeEnd));
}

function checkPositive(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw new ConfigError(`${name} (${value}) is not a whole number of at least 1`, {
    mend: `Set ${name} to 1 or more.`,
  });
}

function checkLength(shards: TokenStream, needed: number, seqLen: number): void {
  if (shards.tokens >= needed) return;
  throw new ConfigError(
    `the corpus has ${shards.tokens} tokens, but a sequence of ${seqLen} needs ${needed}`,
    {
      mend: "Add text to the corpus, or set seq_len lower.",
    },
  );
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function checkState(state: LoaderState, sequencesPerEpoch: number): void {
  if (isCount(state.epoch) && isCount(state.position) && state.position <= sequencesPerEpoch) return;
  throw new ConfigError(
    `cannot resume at sequence ${state.position} of epoch ${state.epoch}: an epoch of this corpus has ${sequencesPerEpoch} sequences`,
    { mend: "Resume with the corpus and the seq_len that the run was started with." },
  );
}
