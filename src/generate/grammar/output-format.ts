/** What a text may be held to, and the grammars of it, each compiled once for the texts of a model. */

import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { TokenGrammar } from "./constraint.ts";
import { parseGbnf } from "./gbnf.ts";
import type { Grammar } from "./grammar.ts";
import { grammarOfJsonObject, grammarOfSchema } from "./json-schema.ts";
import { createTokenTrie, type TokenTrie } from "./token-trie.ts";

export type OutputFormat =
  /** Any JSON object. */
  | { readonly type: "json" }
  /** JSON of a JSON Schema. */
  | { readonly type: "json-schema"; readonly schema: unknown }
  /** A grammar in llama.cpp's GBNF. */
  | { readonly type: "gbnf"; readonly grammar: string };

/** @throws {ConfigError} for a schema or a grammar that cannot be. */
export function grammarOf(format: OutputFormat): Grammar {
  switch (format.type) {
    case "json":
      return grammarOfJsonObject();
    case "json-schema":
      return grammarOfSchema(format.schema);
    case "gbnf":
      return parseGbnf(format.grammar);
  }
}

/** Grammars over a model's vocabulary: those that were used last are kept, with what was worked out for them. */
export class TokenGrammars {
  readonly #tokenizer: Tokenizer;
  readonly #vocabSize: number;
  #trie: TokenTrie | undefined;
  /** The one used last is the last. Undefined where any text will do. */
  readonly #grammars = new Map<string, TokenGrammar | undefined>();

  /** @param vocabSize rows of the model's head. */
  constructor(tokenizer: Tokenizer, vocabSize: number) {
    this.#tokenizer = tokenizer;
    this.#vocabSize = vocabSize;
  }

  /** @param key names the grammar; `create` is asked for it where it is not kept. */
  of(key: string, create: () => Grammar | undefined): TokenGrammar | undefined {
    let grammar = this.#grammars.get(key);
    if (!this.#grammars.has(key)) {
      const source = create();
      this.#trie ??= createTokenTrie(this.#tokenizer, this.#vocabSize);
      grammar = source === undefined ? undefined : new TokenGrammar(source, this.#trie);
    }
    this.#grammars.delete(key);
    this.#grammars.set(key, grammar);
    for (const oldest of this.#grammars.keys()) {
      if (this.#grammars.size <= keptGrammars) break;
      this.#grammars.delete(oldest);
    }
    return grammar;
  }
}

// --- internal ---

/** Few are used at a time, and each has tables. */
const keptGrammars = 16;
