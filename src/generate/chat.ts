/**
 * A conversation: what was said, and how much of it the model has read. Each turn reads only what is new; when the
 * context is full, the oldest turns are dropped.
 */

import { llama2Format, type ChatFormat } from "../dialog/chat-format.ts";
import type { Message } from "../dialog/message.ts";
import { ConfigError } from "../errors/errors.ts";
import type { Decoder } from "../model/decoder.ts";
import { createStreamDecoder } from "../tokenizer/stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { generateTokens, type GenerateOptions, type StopReason } from "./generate.ts";
import { createStopStrings } from "./stop-strings.ts";

export type ChatEvent =
  /** Turns (a question and its answer) were dropped from the front to make room. */
  | { readonly type: "dropped"; readonly turns: number }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "done"; readonly reason: StopReason | "aborted"; readonly tokens: number };

export class ChatSession {
  readonly #decoder: Decoder;
  readonly #tokenizer: Tokenizer;
  readonly #format: ChatFormat;
  /** Tokens that the decoder has read. */
  #read: number[] = [];
  #system: string | undefined;
  #turns: Message[] = [];

  /** @param format Llama 2's when left out. */
  constructor(
    decoder: Decoder,
    tokenizer: Tokenizer,
    system?: string,
    format: ChatFormat = llama2Format(tokenizer),
  ) {
    this.#decoder = decoder;
    this.#tokenizer = tokenizer;
    this.#system = system;
    this.#format = format;
  }

  get messages(): readonly Message[] {
    return this.#system === undefined
      ? [...this.#turns]
      : [{ role: "system", content: this.#system }, ...this.#turns];
  }

  /** Sets or removes the system prompt; the conversation starts anew. */
  setSystem(system: string | undefined): void {
    this.#system = system;
    this.reset();
  }

  /** Forgets what was said. */
  reset(): void {
    this.#turns = [];
  }

  /**
   * Asks, and streams the answer. An aborted answer is kept as far as it came.
   *
   * @yields what happens, in order.
   * @throws {ConfigError} when the question alone does not fit into the context; nothing is remembered of it then.
   */
  async *ask(
    question: string,
    options: Omit<GenerateOptions, "stopIds" | "contextShift">,
    signal?: AbortSignal,
  ): AsyncGenerator<ChatEvent> {
    const asked: Message[] = [...this.#turns, { role: "user", content: question }];
    const { turns, tokens, dropped } = this.#fit(asked, options.maxTokens);
    if (dropped > 0) yield { type: "dropped", turns: dropped };
    this.#turns = turns;
    const stream = createStreamDecoder(this.#tokenizer, tokens);
    const stops = createStopStrings(this.#format.stopStrings);
    const answered: number[] = [];
    let answer = "";
    let rest = "";
    let reason: StopReason | "aborted" = "aborted";
    try {
      const unread = this.#unread(tokens);
      const history = tokens.slice(0, tokens.length - unread.length);
      const generated = generateTokens(
        this.#decoder,
        unread,
        { ...options, history, stopIds: this.#format.stopIds },
        signal,
      );
      for (let step = await generated.next(); ; step = await generated.next()) {
        if (step.done === true) {
          reason = step.value;
          break;
        }
        answered.push(step.value);
        // The space before the answer is the format's.
        const pushed = stops.push(stream.push(step.value));
        const text = answer === "" ? pushed.text.trimStart() : pushed.text;
        answer += text;
        if (text !== "") yield { type: "text", text };
        if (!pushed.stopped) continue;
        reason = "stop";
        break;
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error;
    } finally {
      // Also when the caller listens no further: what the decoder has read must be known.
      rest = stops.push(stream.end()).text + stops.end();
      answer += rest;
      this.#read = [...tokens, ...answered].slice(0, this.#decoder.length);
      const content = answer.trim();
      this.#turns = content === "" ? turns.slice(0, -1) : [...turns, { role: "assistant", content }];
    }
    if (rest !== "") yield { type: "text", text: rest };
    yield { type: "done", reason, tokens: answered.length };
  }

  /** The latest turns that leave room for an answer. */
  #fit(
    asked: readonly Message[],
    maxTokens: number,
  ): { turns: Message[]; tokens: Int32Array; dropped: number } {
    const system: Message[] = this.#system === undefined ? [] : [{ role: "system", content: this.#system }];
    // An answer of any length may be asked for, but a quarter of the context is enough room to keep.
    const room =
      this.#decoder.contextTokens - Math.min(maxTokens, Math.ceil(this.#decoder.contextTokens / 4));
    for (let from = 0; from < asked.length; from += 2) {
      const turns = asked.slice(from);
      const tokens = this.#format.encode([...system, ...turns]);
      if (tokens.length <= room) return { turns, tokens, dropped: from / 2 };
    }
    const alone = this.#format.encode([...system, ...asked.slice(-1)]).length;
    throw new ConfigError(`the question has ${alone} tokens, and the context has room for ${room}`, {
      mend: "Ask something shorter, or open the model with a longer --context.",
    });
  }

  /** Goes back to what the decoder has read in common with `tokens`, and returns the rest. */
  #unread(tokens: Int32Array): Int32Array {
    let common = 0;
    // At least one token is read, for its logits.
    while (
      common < tokens.length - 1 &&
      common < this.#decoder.length &&
      tokens[common] === this.#read[common]
    )
      common += 1;
    this.#decoder.truncate(common);
    return tokens.slice(common);
  }
}
