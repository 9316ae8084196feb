/** Reading texts with a grammar, byte by byte or token by token, for tests. */

import { expect } from "vitest";
import type { Random } from "../../../src/corpus/random.ts";
import { TokenGrammar, type GrammarConstraint } from "../../../src/generate/grammar/constraint.ts";
import type { Grammar } from "../../../src/generate/grammar/grammar.ts";
import { parseGbnf } from "../../../src/generate/grammar/gbnf.ts";
import { createTokenTrie } from "../../../src/generate/grammar/token-trie.ts";
import type { Tokenizer } from "../../../src/tokenizer/tokenizer.ts";
import { tinyTokenizer } from "../../dialog/tiny-tokenizer.ts";

/** Ids 3 to 258 are bytes, then pieces that JSON has and pieces that cross its parts. */
export const tokenizer: Tokenizer = tinyTokenizer(
  '▁ ▁a a b 0 1 12 123 true null false " ": ",▁" { {" } "} ▁{ [ ] ], , : ,▁ é ▁é 漢 - . abc aab aaab \n'.split(
    " ",
  ),
);
export const trie = createTokenTrie(tokenizer);
export const eosId = 2;

export function has(mask: Uint32Array, id: number): boolean {
  return ((mask[id >>> 5]! >>> (id & 31)) & 1) === 1;
}

export function idsIn(mask: Uint32Array): number[] {
  return Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => has(mask, id));
}

export function start(grammar: Grammar, dropsLeadingSpace = false): GrammarConstraint {
  return new TokenGrammar(grammar, trie).start({ endIds: [eosId], dropsLeadingSpace });
}

/** Reads bytes as byte tokens. @returns whether all were allowed. */
export function readBytes(constraint: GrammarConstraint, text: string): boolean {
  for (const byte of Buffer.from(text)) {
    if (!has(constraint.allowed(), 3 + byte)) return false;
    constraint.accept(3 + byte);
  }
  return true;
}

/** Whether the whole text is of the grammar. */
export function fits(grammar: Grammar | string, text: string): boolean {
  const constraint = start(typeof grammar === "string" ? parseGbnf(grammar) : grammar);
  if (!readBytes(constraint, text)) return false;
  expect(has(constraint.allowed(), eosId)).toBe(constraint.isComplete);
  return constraint.isComplete;
}

/** A text as a model would write it that draws each allowed token with the same probability; undefined when it gets long. */
export function writeText(constraint: GrammarConstraint, random: Random, most = 400): string | undefined {
  const bytes: Uint8Array[] = [];
  for (let i = 0; i < most; i += 1) {
    const ids = idsIn(constraint.allowed());
    expect(ids.length).toBeGreaterThan(0);
    const mayEnd = ids.includes(eosId);
    const id = mayEnd && random.next() < 0.3 ? eosId : ids[random.int(ids.length)]!;
    constraint.accept(id);
    if (id === eosId) return Buffer.concat(bytes).toString();
    bytes.push(tokenizer.pieceBytes(id));
  }
  return undefined;
}
