/**
 * What changes single logits before a token is drawn: biases and bans, the tokens that a constraint allows, and
 * penalties on tokens that were used before.
 */

import { ConfigError } from "../../errors/errors.ts";
import { samplingDefaults, type SamplingOptions, type TokenConstraint } from "./options.ts";

export class Adjustments {
  readonly #repeat: { readonly penalty: number; readonly lastN: number } | undefined;
  readonly #presence: number;
  readonly #frequency: number;
  readonly #biases: ReadonlyMap<number, number>;
  readonly #constraint: TokenConstraint | undefined;
  /** Written over at each token; undefined when nothing is ever changed. `[vocab]` */
  readonly #scores: Float32Array | undefined;
  /** All tokens, for the window to forget the oldest; empty when it forgets none. */
  readonly #text: number[] = [];
  /** How often each token stands in the window. */
  readonly #window = new Map<number, number>();
  /** How often each token was generated. */
  readonly #generated = new Map<number, number>();

  constructor(options: SamplingOptions, vocabSize: number) {
    const { repeatPenalty, repeatLastN, presencePenalty, frequencyPenalty } = {
      ...samplingDefaults,
      ...options,
    };
    const hasRepeat = repeatPenalty !== 1 && repeatLastN !== 0;
    this.#repeat = hasRepeat ? { penalty: repeatPenalty, lastN: repeatLastN } : undefined;
    this.#presence = presencePenalty;
    this.#frequency = frequencyPenalty;
    const biases = new Map(options.logitBias);
    for (const id of options.bannedIds ?? []) biases.set(id, Number.NEGATIVE_INFINITY);
    this.#biases = biases;
    this.#constraint = options.constraint;
    const isNeeded = hasRepeat || this.#counts || biases.size > 0 || options.constraint !== undefined;
    this.#scores = isNeeded ? new Float32Array(vocabSize) : undefined;
  }

  /** A token of the prompt: the repetition penalty alone looks back on it. */
  read(id: number): void {
    if (this.#repeat === undefined) return;
    const { lastN } = this.#repeat;
    this.#window.set(id, (this.#window.get(id) ?? 0) + 1);
    if (lastN < 0) return;
    this.#text.push(id);
    if (this.#text.length <= lastN) return;
    const oldest = this.#text[this.#text.length - 1 - lastN]!;
    const left = this.#window.get(oldest)! - 1;
    if (left === 0) this.#window.delete(oldest);
    else this.#window.set(oldest, left);
  }

  /** A token that was generated. */
  accept(id: number): void {
    this.read(id);
    if (this.#counts) this.#generated.set(id, (this.#generated.get(id) ?? 0) + 1);
    this.#constraint?.accept(id);
  }

  /**
   * The logits with everything applied: the logits themselves when there is nothing to apply, else an array that
   * the next call writes over. `[vocab]`
   */
  apply(logits: Float32Array): Float32Array {
    const scores = this.#scores;
    if (scores === undefined) return logits;
    scores.set(logits);
    for (const [id, bias] of this.#biases) scores[id]! += bias;
    const allowed = this.#constraint?.allowed();
    if (allowed !== undefined) forbid(scores, allowed);
    if (this.#repeat !== undefined) penaliseRepeats(scores, this.#window, this.#repeat.penalty);
    for (const [id, count] of this.#generated) scores[id]! -= this.#presence + count * this.#frequency;
    return scores;
  }

  /** Whether it matters how often a token was generated. */
  get #counts(): boolean {
    return this.#presence !== 0 || this.#frequency !== 0;
  }
}

// --- internal ---

/**
 * Keskar et al. 2019 (CTRL), §4.1, divides the logit of a token that was used by θ; a negative one is multiplied
 * instead, as llama.cpp and Hugging Face do, for dividing it would make the token more probable.
 */
function penaliseRepeats(scores: Float32Array, used: ReadonlyMap<number, number>, penalty: number): void {
  for (const id of used.keys()) {
    const score = scores[id]!;
    scores[id] = score > 0 ? score / penalty : score * penalty;
  }
}

const all = 0xffffffff;

/** -Infinity for the tokens whose bit is not set, a word of 32 at a time. */
function forbid(scores: Float32Array, allowed: Uint32Array): void {
  if (allowed.length !== Math.ceil(scores.length / 32)) {
    throw new ConfigError(
      `a mask of ${allowed.length} words does not fit a vocabulary of ${scores.length} tokens`,
      { mend: `It has one bit for each token: ${Math.ceil(scores.length / 32)} words.` },
    );
  }
  for (let word = 0; word < allowed.length; word += 1) {
    const bits = allowed[word]!;
    if (bits === all) continue;
    const from = 32 * word;
    if (bits === 0) {
      scores.fill(Number.NEGATIVE_INFINITY, from, from + 32);
      continue;
    }
    const end = Math.min(scores.length, from + 32);
    for (let i = from; i < end; i += 1) {
      if (((bits >>> (i - from)) & 1) === 0) scores[i] = Number.NEGATIVE_INFINITY;
    }
  }
}
