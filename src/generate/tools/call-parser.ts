/** Calls of tools in a text, whole or as it comes: what is text, which functions are called, with what arguments. */

import { hermesCalls, type CallFormat } from "./call-format.ts";

export interface ToolCall {
  readonly name: string;
  /** JSON, as the model wrote it. */
  readonly arguments: string;
}

export type ToolEvent =
  | { readonly type: "text"; readonly text: string }
  /** A call begins; they are counted from 0. */
  | { readonly type: "call"; readonly index: number; readonly name: string }
  /** A piece of the arguments of the call that began last. */
  | { readonly type: "arguments"; readonly index: number; readonly text: string };

/**
 * @param answer what the model wrote.
 * @returns the text before the calls, without the white space after it; what only looks like a call stays text. Calls
 *          whose arguments were cut off are left out.
 */
export function parseToolCalls(
  answer: string,
  format: CallFormat = hermesCalls,
): { readonly content: string; readonly calls: readonly ToolCall[] } {
  const parser = new ToolCallParser(format);
  let content = "";
  const calls: { name: string; arguments: string }[] = [];
  for (const event of [...parser.push(answer), ...parser.end()]) {
    switch (event.type) {
      case "text":
        content += event.text;
        break;
      case "call":
        calls.push({ name: event.name, arguments: "" });
        break;
      case "arguments":
        calls[event.index]!.arguments += event.text;
        break;
    }
  }
  return { content: content.trimEnd(), calls: calls.filter((call) => isJson(call.arguments)) };
}

/** Where calls may begin: after any text, or only at the beginning of an answer that is else a text held to a format. */
export type CallPlace = "anywhere" | "beginning";

/** Reads an answer piece by piece. What may be the beginning of a call is held back until that is certain. */
export class ToolCallParser {
  readonly #format: CallFormat;
  #state: "beginning" | "text" | "calls" | "arguments" | "no-calls";
  /** Not yet told. */
  #held = "";
  #index = -1;
  readonly #scanner = new JsonScanner();

  constructor(format: CallFormat = hermesCalls, place: CallPlace = "anywhere") {
    this.#format = format;
    this.#state = place === "anywhere" ? "text" : "beginning";
  }

  push(piece: string): ToolEvent[] {
    const events: ToolEvent[] = [];
    this.#held += piece;
    while (this.#advance(events));
    return events;
  }

  /** What was held back, when nothing more comes. */
  end(): ToolEvent[] {
    const { open } = this.#format;
    const rest = this.#held;
    this.#held = "";
    const text = this.#state === "calls" && this.#index < 0 ? open + rest : rest;
    return this.#state === "arguments" || text === "" || (this.#index >= 0 && isBetween(rest, this.#format))
      ? []
      : [{ type: "text", text }];
  }

  /** @returns whether more can be told of what is held. */
  #advance(events: ToolEvent[]): boolean {
    switch (this.#state) {
      case "beginning":
        return this.#readBeginning();
      case "text":
        return this.#readText(events);
      case "calls":
        return this.#readCall(events);
      case "arguments":
        return this.#readArguments(events);
      case "no-calls":
        if (this.#held !== "") events.push({ type: "text", text: this.#held });
        this.#held = "";
        return false;
    }
  }

  #readBeginning(): boolean {
    const { open } = this.#format;
    const text = this.#held.trimStart();
    if (text.length < open.length && open.startsWith(text)) return false;
    this.#state = text.startsWith(open) ? "text" : "no-calls";
    return true;
  }

  #readText(events: ToolEvent[]): boolean {
    const { open } = this.#format;
    const at = this.#held.indexOf(open);
    const end = at < 0 ? this.#held.length - heldLength(this.#held, open) : at;
    const text = at < 0 ? this.#held.slice(0, end) : this.#held.slice(0, end).trimEnd();
    if (text !== "") events.push({ type: "text", text });
    this.#held = this.#held.slice(at < 0 ? end : at + open.length);
    if (at >= 0) this.#state = "calls";
    return at >= 0;
  }

  /** Up to where the arguments begin. */
  #readCall(events: ToolEvent[]): boolean {
    const match = callHead.exec(this.#held);
    if (match !== null) {
      this.#index += 1;
      events.push({ type: "call", index: this.#index, name: JSON.parse(match[1]!) as string });
      this.#held = this.#held.slice(match[0].length);
      this.#state = "arguments";
      this.#scanner.reset();
      return true;
    }
    return this.#readOtherOrder(events);
  }

  /** A call whose keys stand otherwise, once it is whole; or no call at all. */
  #readOtherOrder(events: ToolEvent[]): boolean {
    const start = this.#held.indexOf("{");
    if (start < 0) return false;
    const scanner = new JsonScanner();
    const length = scanner.read(this.#held.slice(start));
    if (length < 0) return false;
    const call = callOf(this.#held.slice(start, start + length));
    if (call === undefined) {
      const text = (this.#index < 0 ? this.#format.open : "") + this.#held;
      events.push({ type: "text", text });
      this.#held = "";
      this.#state = "text";
      return false;
    }
    this.#index += 1;
    events.push({ type: "call", index: this.#index, name: call.name });
    events.push({ type: "arguments", index: this.#index, text: call.arguments });
    this.#held = this.#held.slice(start + length);
    return true;
  }

  #readArguments(events: ToolEvent[]): boolean {
    const length = this.#scanner.read(this.#held);
    const text = length < 0 ? this.#held : this.#held.slice(0, length);
    if (text !== "") events.push({ type: "arguments", index: this.#index, text });
    this.#held = this.#held.slice(text.length);
    if (length < 0) return false;
    this.#state = "calls";
    return true;
  }
}

// --- internal ---

/** What closes the call before, and the beginning of the next: only white space, marks and signs of JSON. */
const callHead =
  /^[^{"]*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)/s;

/** Finds the end of an object, piece by piece. */
class JsonScanner {
  #depth = 0;
  #isString = false;
  #isEscaped = false;

  reset(): void {
    this.#depth = 0;
    this.#isString = false;
    this.#isEscaped = false;
  }

  /** @returns where in the piece the object ends; -1 when it goes on. */
  read(piece: string): number {
    for (let i = 0; i < piece.length; i += 1) {
      const sign = piece[i];
      if (this.#isEscaped) this.#isEscaped = false;
      else if (this.#isString) {
        this.#isEscaped = sign === "\\";
        this.#isString = sign !== '"';
      } else if (sign === '"') this.#isString = true;
      else if (sign === "{" || sign === "[") this.#depth += 1;
      else if (sign === "}" || sign === "]") {
        this.#depth -= 1;
        if (this.#depth <= 0) return i + 1;
      }
    }
    return -1;
  }
}

function callOf(json: string): ToolCall | undefined {
  if (!isJson(json)) return undefined;
  const value = JSON.parse(json) as Readonly<Record<string, unknown>>;
  const { name } = value;
  const given = value["arguments"] ?? value["parameters"] ?? {};
  return typeof name === "string" ? { name, arguments: JSON.stringify(given) } : undefined;
}

/** How much of the end may be the beginning of the mark, white space before it included. */
function heldLength(text: string, mark: string): number {
  for (let length = Math.min(text.length, mark.length - 1); length > 0; length -= 1) {
    if (text.endsWith(mark.slice(0, length))) return text.length - text.slice(0, -length).trimEnd().length;
  }
  return text.length - text.trimEnd().length;
}

/** Whether nothing but the rest of a call is there. */
function isBetween(text: string, { open, close }: CallFormat): boolean {
  return (
    text
      .replaceAll(open, "")
      .replaceAll(close, "")
      .replaceAll(/[\s{}[\],]/g, "") === ""
  );
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
