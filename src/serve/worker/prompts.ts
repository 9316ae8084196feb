/** What a model reads of a request: tokens, and what ends the answer to them. */

import { encodePrompt } from "../../dialog/llama2-chat.ts";
import type { Dialog } from "../../dialog/message.ts";
import { withToolsInText } from "../../generate/tools.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { ChatPrompt, Prompt } from "../engine.ts";
import { invalid } from "../problem.ts";

export class Prompts {
  readonly #tokenizer: Tokenizer;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** The tokens that end an answer. */
  get stopIds(): readonly number[] {
    const { bosId, eosId } = this.#tokenizer;
    return [eosId, bosId].filter((id) => id >= 0);
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

  /** The text of a conversation's tokens, special ones as their names: what the model reads, and nothing else. */
  textOf(prompt: ChatPrompt): string {
    const { bosId, eosId, model } = this.#tokenizer;
    let text = "";
    let run: number[] = [];
    for (const id of [...this.#tokensOfChat(prompt), -1]) {
      if (id !== bosId && id !== eosId && id !== -1) {
        run.push(id);
        continue;
      }
      text += this.#tokenizer.decode(run) + (model.pieces[id]?.piece ?? "");
      run = [];
    }
    return text;
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

  #tokensOfChat({ messages, tools }: ChatPrompt): number[] {
    const offered = tools === undefined || tools.choice === "none" ? [] : tools.definitions;
    // Llama 2's format knows nothing of tools.
    return [...encodePrompt(withToolsInText(messages, offered) as Dialog, this.#tokenizer)];
  }
}
