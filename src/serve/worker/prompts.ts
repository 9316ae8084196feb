/** What a model reads of a request: tokens, and what ends the answer to them. */

import type { ChatFormat } from "../../dialog/chat-format.ts";
import type { TemplateMessage } from "../../dialog/template-message.ts";
import { chatFormatOf } from "../../generate/loaded-model.ts";
import { callFormatOf, hermesCalls, withToolsInText, type CallFormat } from "../../generate/tools.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { ChatPrompt, Prompt } from "../engine.ts";
import { invalid } from "../problem.ts";

/** What ends a text. */
export interface Endings {
  readonly ids: readonly number[];
  readonly strings: readonly string[];
}

export class Prompts {
  readonly #path: string;
  readonly #tokenizer: Tokenizer;
  #chat: ChatFormat | undefined;
  /** In characters. */
  #longestPiece: number | undefined;

  /** @param path of the model, which may bring a chat template. */
  constructor(path: string, tokenizer: Tokenizer) {
    this.#path = path;
    this.#tokenizer = tokenizer;
  }

  /** The marks around calls of tools. */
  get callFormat(): CallFormat {
    return this.#format.knowsTools ? callFormatOf(this.#format.source) : hermesCalls;
  }

  endings({ type }: Prompt): Endings {
    const { bosId, eosId } = this.#tokenizer;
    const ids = [eosId, bosId].filter((id) => id >= 0);
    if (type !== "messages") return { ids, strings: [] };
    const { stopIds, stopStrings } = this.#format;
    return { ids: [...new Set([...ids, ...stopIds])], strings: stopStrings };
  }

  /** @throws {ConfigError} or {RequestError} for a prompt that the model cannot read. */
  tokensOf(prompt: Prompt): number[] {
    switch (prompt.type) {
      case "messages":
        return this.#tokensOfChat(prompt);
      case "text":
        return this.withBos(prompt.text);
      case "tokens":
        this.checkIds(prompt.tokens, "prompt");
        return [...prompt.tokens];
    }
  }

  /**
   * A prompt has at least so many tokens. Told without encoding it, which takes seconds for a hostile text: no token is
   * longer than the longest piece, and only white space may be lost on the way.
   */
  leastTokensOf(prompt: Prompt): number {
    if (prompt.type === "tokens") return 0;
    const texts = prompt.type === "text" ? [prompt.text] : prompt.messages.map(({ content }) => content);
    const characters = texts.reduce((sum, text) => sum + text.replaceAll(/\s+/g, "").length, 0);
    this.#longestPiece ??= this.#tokenizer.model.pieces.reduce(
      (most, { piece }) => Math.max(most, piece.length),
      1,
    );
    return Math.ceil(characters / this.#longestPiece);
  }

  /** What the model reads of a conversation, special tokens as their texts. */
  textOf(prompt: ChatPrompt): string {
    const { messages, tools } = this.#said(prompt);
    return this.#format.render(messages, { tools });
  }

  withBos(text: string): number[] {
    const { bosId } = this.#tokenizer;
    const ids = this.#tokenizer.encode(text);
    return bosId < 0 ? [...ids] : [bosId, ...ids];
  }

  /** @throws {RequestError} for an id that is not in the vocabulary. */
  checkIds(ids: readonly number[], param: string): void {
    const { vocabSize } = this.#tokenizer;
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (wrong !== undefined) throw invalid(`token ${wrong} is not one of ${vocabSize} tokens`, param);
  }

  #tokensOfChat(prompt: ChatPrompt): number[] {
    const { messages, tools } = this.#said(prompt);
    return [...this.#format.encode(messages, { tools })];
  }

  /** The conversation as the format takes it: one that does not know tools has them said in messages. */
  #said({ messages, tools }: ChatPrompt): { messages: readonly TemplateMessage[]; tools: readonly object[] } {
    const offered = tools === undefined || tools.choice === "none" ? [] : tools.definitions;
    if (this.#format.knowsTools) return { messages, tools: offered };
    return { messages: withToolsInText(messages, offered), tools: [] };
  }

  /** Read when it is asked for: a model whose template is broken still goes on with a text. */
  get #format(): ChatFormat {
    return (this.#chat ??= chatFormatOf(this.#path, this.#tokenizer));
  }
}
