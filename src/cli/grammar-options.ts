/** Options that hold a text to a grammar. */

import { ConfigError } from "../errors/errors.ts";
import { decodeUtf8 } from "../formats/bytes.ts";
import { openFile } from "../formats/file-source.ts";
import { readJsonFile } from "../formats/json.ts";
import { TokenGrammar } from "../generate/grammar/constraint.ts";
import { parseGbnf } from "../generate/grammar/gbnf.ts";
import type { Grammar } from "../generate/grammar/grammar.ts";
import { grammarOfSchema } from "../generate/grammar/json-schema.ts";
import { createTokenTrie } from "../generate/grammar/token-trie.ts";
import type { LoadedModel } from "../generate/loaded-model.ts";
import type { SamplingOptions } from "../generate/sampling.ts";
import type { Arguments, ArgumentValues } from "./command.ts";

export const grammarArguments = {
  grammar: {
    type: "string",
    valueHint: "FILE",
    description: "Hold the text to this grammar, in llama.cpp's GBNF",
  },
  "json-schema": {
    type: "string",
    valueHint: "FILE",
    description: "Hold the text to JSON of this schema",
  },
} as const satisfies Arguments;

/** @throws {ConfigError} for a grammar or a schema that cannot be read, and for both. */
export function grammarOf(args: ArgumentValues<typeof grammarArguments>): Grammar | undefined {
  const { grammar, "json-schema": schema } = args;
  if (grammar !== undefined && schema !== undefined) {
    throw new ConfigError("--grammar and --json-schema both say what the text is", {
      mend: "Give one of them.",
    });
  }
  if (schema !== undefined) return grammarOfSchema(readJsonFile(schema, mostBytes));
  if (grammar === undefined) return undefined;
  using source = openFile(grammar);
  if (source.size > mostBytes) {
    throw new ConfigError(`${grammar} has ${source.size} bytes, which is no grammar`, {
      mend: "Give a text file of rules, name ::= alternatives.",
    });
  }
  return parseGbnf(decodeUtf8(source.read(0, source.size), grammar, 0));
}

/** @param isWhole whether the text begins a document: the space before its first piece is then not of it. */
export function constraintOf(
  grammar: Grammar | undefined,
  model: LoadedModel,
  isWhole: boolean,
): Pick<SamplingOptions, "constraint"> {
  if (grammar === undefined) return {};
  const trie = createTokenTrie(model.tokenizer, model.files.config.vocabSize);
  const constraint = new TokenGrammar(grammar, trie).start({
    endIds: [model.tokenizer.eosId],
    dropsLeadingSpace: isWhole,
  });
  return { constraint };
}

// --- internal ---

/** A grammar is written by people; a schema may be generated, but not as long as this. */
const mostBytes = 2 ** 20;
