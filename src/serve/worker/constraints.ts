/** What texts of a model are held to: grammars of JSON, of a schema, of GBNF or of calls of tools. */

import type { GrammarConstraint } from "../../generate/grammar/constraint.ts";
import type { Grammar } from "../../generate/grammar/grammar.ts";
import { grammarOf, TokenGrammars } from "../../generate/grammar/output-format.ts";
import { toolGrammar, type CallFormat } from "../../generate/tools.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { GenerateRequest, ToolUse } from "../engine.ts";
import type { Prompts } from "./prompts.ts";

export class Constraints {
  readonly #prompts: Prompts;
  readonly #grammars: TokenGrammars;

  /** @param vocabSize rows of the model's head. */
  constructor(tokenizer: Tokenizer, vocabSize: number, prompts: Prompts) {
    this.#prompts = prompts;
    this.#grammars = new TokenGrammars(tokenizer, vocabSize);
  }

  /**
   * Starts a constraint for each text of a request, where it is held to anything.
   *
   * @throws {ConfigError} for a grammar, a schema or tools that cannot be.
   */
  of({ format, prompt }: GenerateRequest, endIds: readonly number[]): (() => GrammarConstraint) | undefined {
    const tools = prompt.type === "messages" ? prompt.tools : undefined;
    if (format === undefined && tools === undefined) return undefined;
    const grammar = this.#grammars.of(JSON.stringify([format, tools]), () => {
      const content = format === undefined ? undefined : grammarOf(format);
      return tools === undefined ? content : grammarOfTools(tools, this.#prompts.callFormat, content);
    });
    // An answer in a chat format begins with a space that is the format's.
    const dropsLeadingSpace = prompt.type === "messages";
    return grammar === undefined ? undefined : () => grammar.start({ endIds, dropsLeadingSpace });
  }
}

// --- internal ---

function grammarOfTools(
  { definitions, choice, isParallel }: ToolUse,
  format: CallFormat,
  content: Grammar | undefined,
): Grammar | undefined {
  return toolGrammar(definitions, choice, { isParallel, format, content });
}
