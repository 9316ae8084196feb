/**
 * A conversation: what was said, and how much of it the model has read. Each turn reads only what is new; when the
 * context is full, be it amid an answer, the oldest turns are dropped.
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
  /** No turn was left to drop, and the model no longer sees the older half of the answer that it is writing. */
  | { readonly type: "shortened" }
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
    const { turns, prompt, dropped } = this.#begin(question, options.maxTokens);
    if (dropped > 0) yield { type: "dropped", turns: dropped };
    this.#turns = turns;
    const writing: Writing = { prompt, answer: [], unwritten: options.maxTokens, happened: [] };
    const stream = createStreamDecoder(this.#tokenizer, prompt);
    const stops = createStopStrings(this.#format.stopStrings);
    let answer = "";
    let rest = "";
    let reason: StopReason | "aborted" = "aborted";
    try {
      const generated = this.#generate(writing, options, signal);
      for (let step = await generated.next(); ; step = await generated.next()) {
        yield* writing.happened.splice(0);
        if (step.done === true) {
          reason = step.value;
          break;
        }
        writing.answer.push(step.value);
        writing.unwritten -= 1;
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
      this.#read = [...writing.prompt, ...writing.answer].slice(0, this.#decoder.length);
      this.#remember(answer.trim());
    }
    if (rest !== "") yield { type: "text", text: rest };
    yield { type: "done", reason, tokens: options.maxTokens - writing.unwritten };
  }

  #generate(
    writing: Writing,
    options: Omit<GenerateOptions, "stopIds" | "contextShift">,
    signal?: AbortSignal,
  ): AsyncGenerator<number, StopReason> {
    const { prompt } = writing;
    const unread = this.#unread(prompt);
    const history = prompt.slice(0, prompt.length - unread.length);
    const { stopIds } = this.#format;
    const contextShift = (): number[] => this.#makeRoom(writing);
    return generateTokens(this.#decoder, unread, { ...options, history, stopIds, contextShift }, signal);
  }

  /** The question after the latest turns that leave room for an answer. */
  #begin(question: string, maxTokens: number): Latest {
    const asked: Message[] = [...this.#turns, { role: "user", content: question }];
    const room = this.#roomBeside(0, maxTokens);
    const latest = this.#latest(asked, room);
    if (latest !== undefined) return latest;
    const alone = this.#encode(asked.slice(-1)).length;
    throw new ConfigError(`the question has ${alone} tokens, and the context has room for ${room}`, {
      mend: "Ask something shorter, or open the model with a longer --context.",
    });
  }

  /** The context is full amid an answer: the oldest turns go, and where that is too little, half of the answer too. */
  #makeRoom(writing: Writing): number[] {
    const { answer, unwritten, happened } = writing;
    const fitting = this.#latest(this.#turns, this.#roomBeside(answer.length, unwritten));
    const turns = fitting?.turns ?? this.#turns.slice(-1);
    const dropped = (this.#turns.length - turns.length) / 2;
    if (dropped > 0) happened.push({ type: "dropped", turns: dropped });
    if (fitting === undefined) {
      happened.push({ type: "shortened" });
      writing.answer = answer.slice(answer.length >> 1);
    }
    this.#turns = turns;
    writing.prompt = fitting?.prompt ?? this.#encode(turns);
    return [...writing.prompt, ...writing.answer];
  }

  #remember(answer: string): void {
    const turns = this.#turns;
    this.#turns = answer === "" ? turns.slice(0, -1) : [...turns, { role: "assistant", content: answer }];
  }

  /** Tokens that the turns may have. An answer of any length may be asked for, but a quarter of the context is enough to keep. */
  #roomBeside(answered: number, unwritten: number): number {
    const { contextTokens } = this.#decoder;
    return contextTokens - answered - Math.min(unwritten, Math.ceil(contextTokens / 4));
  }

  /** The latest turns that have so many tokens at most; undefined when the last message alone has more. */
  #latest(turns: readonly Message[], most: number): Latest | undefined {
    for (let from = 0; from < turns.length; from += 2) {
      const latest = turns.slice(from);
      const prompt = this.#encode(latest);
      if (prompt.length <= most) return { turns: latest, prompt, dropped: from / 2 };
    }
    return undefined;
  }

  #encode(turns: readonly Message[]): Int32Array {
    const system: Message[] = this.#system === undefined ? [] : [{ role: "system", content: this.#system }];
    return this.#format.encode([...system, ...turns]);
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

// --- internal ---

interface Latest {
  readonly turns: Message[];
  readonly prompt: Int32Array;
  /** How many turns came before them. */
  readonly dropped: number;
}

/** An answer that is being written. */
interface Writing {
  /** What the model has read before the answer. */
  prompt: Int32Array;
  /** As far as the model sees it. */
  answer: number[];
  unwritten: number;
  /** Not yet told. */
  readonly happened: ChatEvent[];
}
