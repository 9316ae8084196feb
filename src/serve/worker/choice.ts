/** One text that a request asks for: its tokens, how the next is drawn, and what of it may be shown. */

import { shiftedOut, type ContextShift } from "../../generate/context-shift.ts";
import { logprobsOf, type TokenLogprobs } from "../../generate/logprobs.ts";
import type { Sampler } from "../../generate/sampling.ts";
import type { StopStrings } from "../../generate/stop-strings.ts";
import type { Decoder as TextDecoder } from "../../tokenizer/decode.ts";
import type { FinishReason, GenerateEvent, TokenReport } from "../engine.ts";

export interface ChoiceOptions {
  readonly index: number;
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly stopIds: readonly number[];
  readonly sampler: Sampler;
  readonly stops: StopStrings;
  readonly text: TextDecoder;
  /** Goes on when the context is full, where the text else ends. */
  readonly contextShift?: ContextShift;
  /** Whether the spaces before the text are the format's and not the text's. */
  readonly trimsStart: boolean;
  readonly logprobs?: { readonly top: number; readonly report: (logprobs: TokenLogprobs) => TokenReport };
  readonly emit: (event: GenerateEvent) => void;
}

export class Choice {
  readonly index: number;
  /** The prompt, and what was drawn, without what was forgotten to make room. */
  readonly tokens: number[];
  /** How many tokens were drawn, the one that ended the text included. */
  drawn = 0;
  isOver = false;
  readonly #options: ChoiceOptions;
  #isEmpty = true;

  constructor(options: ChoiceOptions) {
    this.index = options.index;
    this.tokens = [...options.prompt];
    this.#options = options;
    options.sampler.read(options.prompt);
  }

  /**
   * Draws the next token and tells what it says; none where none is wanted.
   *
   * @param logits `[vocab]`
   */
  take(logits: Float32Array): void {
    const { sampler, stopIds, maxTokens, stops, text, logprobs } = this.#options;
    if (maxTokens === 0) {
      this.finish("length");
      return;
    }
    const id = sampler.sample(logits);
    this.drawn += 1;
    if (stopIds.includes(id)) {
      this.finish("stop");
      return;
    }
    sampler.accept(id);
    this.tokens.push(id);
    const report = logprobs?.report(logprobsOf(logits, id, logprobs.top));
    const pushed = stops.push(text.push(id));
    this.#tell(pushed.text, report);
    if (pushed.stopped) this.finish("stop");
    else if (this.drawn >= maxTokens) this.finish("length");
  }

  /**
   * The context is full: the text ends, or forgets the older half of what it does not keep.
   *
   * @param read how many of its tokens the model has read.
   * @returns how many of those are as before.
   */
  makeRoom(read: number): number {
    const { contextShift } = this.#options;
    if (contextShift === undefined) {
      this.finish("length");
      return read;
    }
    this.tokens.splice(contextShift.keep, shiftedOut(read, contextShift));
    return contextShift.keep;
  }

  /** Ends the text, for a reason that is not in it. */
  finish(reason: FinishReason): void {
    if (this.isOver) return;
    this.isOver = true;
    const { stops, text, emit, index } = this.#options;
    const rest = stops.found === undefined ? stops.push(text.end()).text : "";
    this.#tell(rest + stops.end());
    const { found } = stops;
    emit({
      type: "finished",
      index,
      reason: found === undefined ? reason : "stop",
      ...(found === undefined ? {} : { stopString: found }),
    });
  }

  #tell(pushed: string, report?: TokenReport): void {
    const text = this.#isEmpty && this.#options.trimsStart ? pushed.trimStart() : pushed;
    if (text !== "") this.#isEmpty = false;
    if (text === "" && report === undefined) return;
    const { emit, index } = this.#options;
    emit({ type: "text", index, text, ...(report === undefined ? {} : { logprobs: [report] }) });
  }
}
