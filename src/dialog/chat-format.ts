/**
 * Conversations as a model reads them, by its own chat template or in Llama 2's format.
 *
 * A template writes text, in which special tokens stand as their texts; a user may write the same texts. So that only
 * the template's become special tokens:
 *
 * 1. before it runs, what others wrote gets a mark, a private-use character that stands nowhere else, into every
 *    special token's text that it spells, and at its ends where the template's own text could complete one;
 * 2. the template runs, and what it wrote is cut at the texts of special tokens. Those with a mark inside are none;
 * 3. the marks are removed, and what lies between is encoded as text, which never makes a special token.
 *
 * Signs of turns that are no tokens of the vocabulary, such as `[INST]` for Llama 2 or `<|user|>` for TinyLlama, are
 * the same text whoever writes them: messages that have them are refused, as Meta's reference does.
 */

import { ConfigError } from "../errors/errors.ts";
import { createTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { chatTemplate, encodePrompt } from "./llama2-chat.ts";
import type { Dialog } from "./message.ts";
import { parseTemplate, type TemplateProgram } from "./template.ts";
import type { TemplateMessage, TemplateToolCall } from "./template-message.ts";

export interface ChatFormat {
  /** The Jinja template. */
  readonly source: string;
  /** Whether it knows of tools itself; if not, they are said in plain messages. */
  readonly knowsTools: boolean;
  /** The tokens that end an answer. */
  readonly stopIds: readonly number[];
  /** Texts that end an answer, where the model's signs of turns are no tokens. */
  readonly stopStrings: readonly string[];
  /**
   * The tokens that the model answers, BOS included. An answer may begin with a space that is not of its text.
   *
   * @throws {ConfigError} for a conversation that the format cannot say.
   */
  encode(messages: readonly TemplateMessage[], options?: FormatOptions): Int32Array;
  /** The same as text, special tokens as their texts. */
  render(messages: readonly TemplateMessage[], options?: FormatOptions): string;
}

export interface FormatOptions {
  /** OpenAI's tool definitions, for a template that knows them. */
  readonly tools?: readonly object[];
  /** Whether the model is to answer: yes when left out. */
  readonly isAsking?: boolean;
}

export interface TemplateSource {
  /** Jinja. */
  readonly template: string;
  /** Whether BOS comes first when the template does not write it: yes when left out. */
  readonly addsBos?: boolean;
  /** Whether text after a special token gets a space in front, as text at the beginning does: yes when left out. */
  readonly isLegacy?: boolean;
}

/** Llama 2's own format, by its exact encoder. */
export function llama2Format(tokenizer: Tokenizer): ChatFormat {
  const program = parseTemplate(chatTemplate);
  return {
    source: chatTemplate,
    knowsTools: false,
    stopIds: [tokenizer.eosId],
    stopStrings: [],
    encode: (messages) => encodePrompt(asDialog(messages), tokenizer),
    render: (messages) => program.render({ messages, ...specialTexts(tokenizer) }),
  };
}

/**
 * The format of a model's template; one that writes what Llama 2's does is Llama 2's.
 *
 * @throws {ConfigError} for what is not a template.
 */
export function chatFormat(source: TemplateSource, tokenizer: Tokenizer): ChatFormat {
  const program = parseTemplate(source.template);
  if (writesLlama2(program)) return llama2Format(tokenizer);
  return new TemplateFormat(program, source, tokenizer);
}

// --- internal ---

/** Shapes that signs of turns have; what a template writes otherwise cannot be told from text. */
const signs = /<\|[^|<>\s]{1,40}\|>|\[\/?[A-Z_]{2,30}\]|<<\/?[A-Z]{2,10}>>/g;
/** Tokens after which a turn is over, by the names that models give them. */
const endsOfTurn = ["<|im_end|>", "<|eot_id|>", "<|end|>", "<|eom_id|>", "<|end_of_turn|>", "<end_of_turn>"];

class TemplateFormat implements ChatFormat {
  readonly source: string;
  readonly knowsTools: boolean;
  readonly stopIds: readonly number[];
  readonly stopStrings: readonly string[];
  readonly #program: TemplateProgram;
  readonly #settings: TemplateSource;
  readonly #tokenizer: Tokenizer;
  /** Text of each special token -> id, the longest first. */
  readonly #special: ReadonlyMap<string, number>;
  /** Signs of turns that are no tokens. */
  readonly #plainSigns: readonly string[];
  #encoders: { readonly first: Tokenizer; readonly later: Tokenizer } | undefined;

  constructor(program: TemplateProgram, settings: TemplateSource, tokenizer: Tokenizer) {
    this.source = settings.template;
    this.#program = program;
    this.#settings = settings;
    this.#tokenizer = tokenizer;
    this.#special = specialTokens(tokenizer);
    const written = [...new Set(settings.template.match(signs) ?? [])];
    this.#plainSigns = written.filter((sign) => !this.#special.has(sign));
    this.knowsTools = /\btools\b/.test(settings.template);
    const ends = endsOfTurn.filter((end) => settings.template.includes(end));
    const endIds = ends.map((end) => this.#special.get(end)).filter((id) => id !== undefined);
    this.stopIds = [...new Set([tokenizer.eosId, ...endIds].filter((id) => id >= 0))];
    const turns = this.#plainSigns.filter((sign) => sign.startsWith("<|") || sign === "[INST]");
    this.stopStrings = [...new Set([...ends.filter((end) => !this.#special.has(end)), ...turns])];
  }

  render(messages: readonly TemplateMessage[], options: FormatOptions = {}): string {
    const { text, mark } = this.#marked(messages, options);
    return text.replaceAll(mark, "");
  }

  encode(messages: readonly TemplateMessage[], options: FormatOptions = {}): Int32Array {
    const { text, mark } = this.#marked(messages, options);
    const { first, later } = (this.#encoders ??= this.#createEncoders());
    const ids: number[] = [];
    for (const [i, piece] of text.split(splitter([...this.#special.keys()])).entries()) {
      if (i % 2 === 1) ids.push(this.#special.get(piece)!);
      else {
        const plain = piece.replaceAll(mark, "");
        if (plain !== "") ids.push(...(i === 0 ? first : later).encode(plain));
      }
    }
    const { bosId } = this.#tokenizer;
    const needsBos = bosId >= 0 && ids[0] !== bosId && this.#settings.addsBos !== false;
    return Int32Array.from(needsBos ? [bosId, ...ids] : ids);
  }

  /** What the template writes, with marks in what others wrote. */
  #marked(
    messages: readonly TemplateMessage[],
    { tools = [], isAsking = true }: FormatOptions,
  ): { readonly text: string; readonly mark: string } {
    this.#checkMessages(messages);
    const given = JSON.stringify([messages, tools]) + this.source;
    const mark = unusedCharacter(given);
    const texts = [...this.#special.keys()];
    const protect = (text: string): string => withMarks(text, texts, mark);
    const variables = {
      messages: messages.map((message) => templateMessage(message, protect)),
      ...(tools.length === 0 ? {} : { tools: mapTexts(tools, protect) }),
      add_generation_prompt: isAsking,
      ...specialTexts(this.#tokenizer),
    };
    return { text: this.#program.render(variables), mark };
  }

  #checkMessages(messages: readonly TemplateMessage[]): void {
    for (const [i, { role, content }] of messages.entries()) {
      const sign = this.#plainSigns.find((candidate) => content.includes(candidate));
      if (sign === undefined) continue;
      throw new ConfigError(`message ${i + 1} (${role}) contains ${sign}, a sign of the chat format`, {
        mend: "Remove it from the text; the format adds its signs itself.",
      });
    }
  }

  /** Text makes no special token, also where those are user-defined pieces, which encoding would cut out. */
  #createEncoders(): { readonly first: Tokenizer; readonly later: Tokenizer } {
    const { model } = this.#tokenizer;
    const isSpecial = (piece: string): boolean => this.#special.has(piece);
    const hasUserDefined = model.pieces.some(
      ({ piece, type }) => type === "user_defined" && isSpecial(piece),
    );
    const pieces = model.pieces.map((one) =>
      one.type === "user_defined" && isSpecial(one.piece) ? { ...one, type: "unused" as const } : one,
    );
    const first = hasUserDefined ? createTokenizer({ ...model, pieces }) : this.#tokenizer;
    if (this.#settings.isLegacy !== false || !model.normalizer.addDummyPrefix) return { first, later: first };
    const normalizer = { ...model.normalizer, addDummyPrefix: false };
    return { first, later: createTokenizer({ ...model, pieces, normalizer }) };
  }
}

function specialTexts(tokenizer: Tokenizer): Readonly<Record<string, string>> {
  const textOf = (id: number): string => tokenizer.model.pieces[id]?.piece ?? "";
  const { bosId, eosId, unkId, padId } = tokenizer;
  return {
    bos_token: textOf(bosId),
    eos_token: textOf(eosId),
    unk_token: textOf(unkId),
    pad_token: textOf(padId),
  };
}

/** Control pieces, and user-defined ones but those that are spaces alone, which are a way of writing text. */
function specialTokens({ model }: Tokenizer): ReadonlyMap<string, number> {
  const found = model.pieces.flatMap(({ piece, type }, id): [string, number][] => {
    const isSpecial = type === "control" || (type === "user_defined" && /[^\s\u2581]/.test(piece));
    return isSpecial ? [[piece, id]] : [];
  });
  return new Map(found.sort(([a], [b]) => b.length - a.length));
}

function splitter(texts: readonly string[]): RegExp {
  if (texts.length === 0) return /(?!)/;
  return new RegExp(
    `(${texts.map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)).join("|")})`,
    "u",
  );
}

/** A private-use character that the text does not have. */
function unusedCharacter(text: string): string {
  for (let code = 0xe000; code <= 0xf8ff; code += 1) {
    const character = String.fromCharCode(code);
    if (!text.includes(character)) return character;
  }
  throw new ConfigError("the conversation uses every private-use character of Unicode", {
    mend: "Remove them: they have no meaning of their own.",
  });
}

/** Breaks the texts that it spells, and those that what comes before or after could complete. */
function withMarks(text: string, special: readonly string[], mark: string): string {
  const isHit = special.some((token) => text.includes(token));
  let marked = text;
  if (isHit) {
    for (const token of special) marked = marked.replaceAll(token, `${token[0]}${mark}${token.slice(1)}`);
    // Where tokens overlap or lie in each other, one pass may leave one whole.
    if (special.some((token) => marked.includes(token))) marked = Array.from(text).join(mark);
  }
  // Templates trim, so the ends are those without white space.
  const start = marked.length - marked.trimStart().length;
  const end = marked.trimEnd().length;
  const inner = marked.slice(start, end);
  if (inner === "") return marked;
  const before = special.some((token) => couldEnd(token, inner)) ? mark : "";
  const after = special.some((token) => couldBegin(token, inner)) ? mark : "";
  return marked.slice(0, start) + before + inner + after + marked.slice(end);
}

/** Whether the text begins with what the token ends with, or is a part of it. */
function couldEnd(token: string, text: string): boolean {
  for (let i = 1; i < token.length; i += 1) if (text.startsWith(token.slice(i))) return true;
  return text.length < token.length && token.includes(text);
}

function couldBegin(token: string, text: string): boolean {
  for (let i = 1; i < token.length; i += 1) if (text.endsWith(token.slice(0, i))) return true;
  return text.length < token.length && token.includes(text);
}

/** As templates expect it: arguments are objects, not JSON. */
function templateMessage(message: TemplateMessage, protect: (text: string) => string): object {
  const { role, tool_calls: calls, ...rest } = message;
  const own = { role, ...(mapTexts(rest, protect) as object) };
  return calls === undefined ? own : { ...own, tool_calls: calls.map((call) => templateCall(call, protect)) };
}

function templateCall(call: TemplateToolCall, protect: (text: string) => string): unknown {
  const { name, arguments: given } = call.function;
  return mapTexts({ ...call, type: "function", function: { name, arguments: parsed(given) } }, protect);
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return json;
  }
}

function mapTexts(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === "string") return map(value);
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, map));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  // Names that a template may ask for stay as they are, and cannot spell anything.
  const nameOf = (key: string): string => (/^[\w$-]*$/.test(key) ? key : map(key));
  return Object.fromEntries(entries.map(([key, item]) => [nameOf(key), mapTexts(item, map)]));
}

/** Whether it writes what Llama 2's template does, for conversations that tell formats apart. */
function writesLlama2(program: TemplateProgram): boolean {
  const llama2 = parseTemplate(chatTemplate);
  const [system, user, answer] = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Who are you?" },
    { role: "assistant", content: "Cria." },
  ] as const;
  const probes = [[user], [system, user], [user, answer, user], [system, user, answer, user]];
  return probes.every((messages) => {
    const variables = { messages, bos_token: "<s>", eos_token: "</s>", add_generation_prompt: true };
    try {
      return program.render(variables) === llama2.render(variables);
    } catch {
      return false;
    }
  });
}

function asDialog(messages: readonly TemplateMessage[]): Dialog {
  return messages.map(({ role, content }, i) => {
    if (role !== "tool") return { role, content };
    throw new ConfigError(`message ${i + 1} is from a tool, which Llama 2's format does not know`, {
      mend: "Say what it returned in a message of the user.",
    });
  });
}
