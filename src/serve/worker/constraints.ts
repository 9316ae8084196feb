/** What texts of a model are held to: grammars of JSON, of a schema, of GBNF or of calls of tools, compiled once each. */

import { TokenGrammar, type GrammarConstraint } from "../../generate/grammar/constraint.ts";
import { parseGbnf } from "../../generate/grammar/gbnf.ts";
import type { Grammar } from "../../generate/grammar/grammar.ts";
import { grammarOfJsonObject, grammarOfSchema } from "../../generate/grammar/json-schema.ts";
import { createTokenTrie, type TokenTrie } from "../../generate/grammar/token-trie.ts";
import { toolGrammar, type CallFormat } from "../../generate/tools.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { GenerateRequest, OutputFormat, ToolUse } from "../engine.ts";
import type { Prompts } from "./prompts.ts";

export class Constraints {
  readonly #tokenizer: Tokenizer;
  readonly #vocabSize: number;
  readonly #prompts: Prompts;
  #trie: TokenTrie | undefined;
  /** The one used last is the last. Undefined where any text will do. */
  readonly #grammars = new Map<string, TokenGrammar | undefined>();

  /** @param vocabSize rows of the model's head. */
  constructor(tokenizer: Tokenizer, vocabSize: number, prompts: Prompts) {
    this.#tokenizer = tokenizer;
    this.#prompts = prompts;
    this.#vocabSize = vocabSize;
  }

  /**
   * Starts a constraint for each text of a request, where it is held to anything.
   *
   * @throws {ConfigError} for a grammar, a schema or tools that cannot be.
   */
  of({ format, prompt }: GenerateRequest, endIds: readonly number[]): (() => GrammarConstraint) | undefined {
    const tools = prompt.type === "messages" ? prompt.tools : undefined;
    if (format === undefined && tools === undefined) return undefined;
    const grammar = this.#grammar(JSON.stringify([format, tools]), () => {
      const content = format === undefined ? undefined : grammarOf(format);
      return tools === undefined ? content : grammarOfTools(tools, this.#prompts.callFormat, content);
    });
    // An answer in a chat format begins with a space that is the format's.
    const dropsLeadingSpace = prompt.type === "messages";
    return grammar === undefined ? undefined : () => grammar.start({ endIds, dropsLeadingSpace });
  }

  #grammar(key: string, create: () => Grammar | undefined): TokenGrammar | undefined {
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

/** Clients use few at a time, and each has tables. */
const keptGrammars = 16;

function grammarOf(format: OutputFormat): Grammar {
  switch (format.type) {
    case "json":
      return grammarOfJsonObject();
    case "json-schema":
      return grammarOfSchema(format.schema);
    case "gbnf":
      return parseGbnf(format.grammar);
  }
}

function grammarOfTools(
  { definitions, choice, isParallel }: ToolUse,
  format: CallFormat,
  content: Grammar | undefined,
): Grammar | undefined {
  return toolGrammar(definitions, choice, { isParallel, format, content });
}
