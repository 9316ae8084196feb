/** What a chat model writes, told apart: text, and calls of tools. */

import { randomUUID } from "node:crypto";
import { callFormatOf, ToolCallParser, type CallPlace } from "../../generate/tools.ts";
import type { GenerateEvent, TokenReport, Usage } from "../engine.ts";

export type ChatEvent =
  | {
      readonly type: "content";
      readonly index: number;
      readonly text: string;
      readonly logprobs?: readonly TokenReport[];
    }
  /** A call begins; they are counted from 0 in each text. */
  | {
      readonly type: "call";
      readonly index: number;
      readonly call: number;
      readonly id: string;
      readonly name: string;
    }
  /** A piece of the arguments of a call. */
  | { readonly type: "arguments"; readonly index: number; readonly call: number; readonly text: string }
  | { readonly type: "finished"; readonly index: number; readonly reason: "stop" | "length" | "tool_calls" }
  | { readonly type: "done"; readonly usage: Usage };

/**
 * @param calls where tools may be called, if there are any.
 * @yields what is certain of each text, in order.
 */
export async function* chatEvents(
  events: AsyncIterable<GenerateEvent>,
  calls: CallPlace | "nowhere",
): AsyncGenerator<ChatEvent, void> {
  const texts = new Map<number, CallReader>();
  const hasTools = calls !== "nowhere";
  let format = callFormatOf("");
  const textOf = (index: number): CallReader => {
    const place = hasTools ? calls : "anywhere";
    const text = texts.get(index) ?? new CallReader(index, new ToolCallParser(format, place));
    texts.set(index, text);
    return text;
  };
  for await (const event of events) {
    if (event.type === "accepted") format = callFormatOf(event.callMark ?? "");
    if (event.type === "done") yield event;
    if (event.type === "text" && !hasTools) yield { ...event, type: "content" };
    if (event.type === "text" && hasTools) yield* textOf(event.index).read(event.text, event.logprobs);
    if (event.type === "finished") {
      const { index, reason } = event;
      if (hasTools) yield* textOf(index).end();
      yield { type: "finished", index, reason: hasTools && textOf(index).hasCalls ? "tool_calls" : reason };
    }
  }
}

// --- internal ---

class CallReader {
  readonly #index: number;
  readonly #parser: ToolCallParser;
  hasCalls = false;

  constructor(index: number, parser: ToolCallParser) {
    this.#index = index;
    this.#parser = parser;
  }

  *read(text: string, logprobs?: readonly TokenReport[]): Generator<ChatEvent> {
    // Log-probabilities come with the tokens, also where the text is held back.
    if (logprobs !== undefined) yield { type: "content", index: this.#index, text: "", logprobs };
    yield* this.#told(this.#parser.push(text));
  }

  *end(): Generator<ChatEvent> {
    yield* this.#told(this.#parser.end());
  }

  *#told(events: ReturnType<ToolCallParser["push"]>): Generator<ChatEvent> {
    const index = this.#index;
    for (const event of events) {
      switch (event.type) {
        case "text":
          yield { type: "content", index, text: event.text };
          break;
        case "call":
          this.hasCalls = true;
          yield { type: "call", index, call: event.index, id: `call_${randomUUID()}`, name: event.name };
          break;
        case "arguments":
          yield { type: "arguments", index, call: event.index, text: event.text };
          break;
      }
    }
  }
}
