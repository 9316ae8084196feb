/**
 * What it costs to hold a text to a grammar with Llama 2's vocabulary: CPU time of `allowed()` and `accept()` for each
 * token, over texts that fit, token by token. First with tables that are empty, then with those of the texts before.
 */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TokenGrammar, type GrammarConstraint } from "../src/generate/grammar/constraint.ts";
import { parseGbnf } from "../src/generate/grammar/gbnf.ts";
import type { Grammar } from "../src/generate/grammar/grammar.ts";
import { grammarOfSchema } from "../src/generate/grammar/json-schema.ts";
import { createTokenTrie, type TokenTrie } from "../src/generate/grammar/token-trie.ts";
import { toolGrammar } from "../src/generate/tools.ts";
import { openTokenizer } from "../src/tokenizer/open.ts";
import type { Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { median, rounded, type BenchResult } from "./result.ts";

const vocabulary = fileURLToPath(new URL("../../shared/data/tokenizer/tokenizer.model", import.meta.url));

const person = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 60 },
    age: { type: "integer", minimum: 0, maximum: 150 },
    email: { type: "string", format: "email" },
    born: { type: "string", format: "date" },
    tags: { type: "array", items: { type: "string" }, maxItems: 8 },
    address: {
      type: "object",
      properties: {
        street: { type: "string" },
        city: { type: "string" },
        zip: { type: "string", pattern: "^\\d{5}$" },
      },
      required: ["street", "city"],
    },
  },
  required: ["name", "age", "tags"],
};
const somebody = {
  name: "Ada Byron, countess of Lovelace",
  age: 36,
  email: "ada.byron@analytical.example.org",
  born: "1815-12-10",
  tags: ["mathematics", "the analytical engine", "notes on Menabrea"],
  address: { street: "12 St James's Square", city: "London", zip: "10115" },
};
const tree = {
  $ref: "#/$defs/node",
  $defs: {
    node: {
      type: "object",
      properties: { value: { type: "number" }, children: { type: "array", items: { $ref: "#/$defs/node" } } },
      required: ["value", "children"],
    },
  },
};
const leaf = { value: 3.25, children: [] };
const branch = { value: -1e-3, children: [leaf, { value: 12, children: [leaf, leaf] }] };
const log = {
  type: "array",
  items: {
    oneOf: ["created", "moved", "closed"].map((kind) => ({
      type: "object",
      properties: {
        kind: { const: kind },
        at: { type: "string", format: "date-time" },
        note: { type: "string", maxLength: 400 },
      },
      required: ["kind", "at", "note"],
    })),
  },
};
const events = ["created", "moved", "closed"].map((kind) => ({
  kind,
  at: "2026-11-26T12:30:00.125Z",
  note: "The people of the United States, in order to form a more perfect union, met again. ".repeat(4),
}));
const tools = [
  { type: "function", function: { name: "find_person", parameters: person } },
  { type: "function", function: { name: "read_tree", parameters: tree } },
] as const;
const call = `I look that up.\n<tool_call>\n{"name": "find_person", "arguments": ${JSON.stringify(somebody)}}\n</tool_call>`;
const arithmetic =
  'root ::= sum "\\n"\nsum ::= term (" "? [-+] " "? term)*\nterm ::= factor ([*/] factor)*\nfactor ::= [0-9]+ | "(" sum ")"';

const cases: Readonly<Record<string, readonly [() => Grammar, string]>> = {
  "a person": [() => grammarOfSchema(person), JSON.stringify(somebody)],
  "a person, over lines": [() => grammarOfSchema(person), JSON.stringify(somebody, null, 2)],
  "a recursive tree": [
    () => grammarOfSchema(tree),
    JSON.stringify({ value: 1, children: [branch, branch, branch] }),
  ],
  "events, bounded texts": [() => grammarOfSchema(log), JSON.stringify(events)],
  "any JSON": [() => grammarOfSchema({ type: "object" }), JSON.stringify({ somebody, events, branch })],
  "a tool, auto": [() => toolGrammar(tools, "auto")!, call],
  "arithmetic, GBNF": [() => parseGbnf(arithmetic), "(12 + 3)*(45-6/7)*((8))+9\n"],
};

export async function benchGrammar(): Promise<BenchResult> {
  if (!existsSync(vocabulary)) return { rows: [["skipped", "no ../shared/data here"]], json: {} };
  const tokenizer = openTokenizer(vocabulary);
  const start = performance.now();
  const trie = createTokenTrie(tokenizer);
  const trieMs = performance.now() - start;
  const columns = ["tokens", "compile", "cold mean", "cold max", "warm mean", "warm max"];
  const rows: [string, string][] = [
    ["tree of the vocabulary", `${trieMs.toFixed(0)} ms`],
    ["ms", columns.map((name) => name.padStart(10)).join("")],
  ];
  const json: Record<string, object> = {};
  // The code is compiled by use: the first case would pay for all.
  for (const [grammar, text] of Object.values(cases))
    measure(new TokenGrammar(grammar(), trie), text, tokenizer);
  for (const [name, [grammar, text]] of Object.entries(cases)) {
    const result = measureCase(grammar, text, { tokenizer, trie });
    const { tokens, ...times } = result;
    rows.push([
      name,
      [String(tokens), ...Object.values(times).map((ms) => ms.toFixed(3))]
        .map((cell) => cell.padStart(10))
        .join(""),
    ]);
    json[name] = {
      tokens,
      ...Object.fromEntries(Object.entries(times).map(([key, ms]) => [key, rounded(ms)])),
    };
  }
  return { rows, json: { vocabSize: tokenizer.vocabSize, trieMs: rounded(trieMs), cases: json } };
}

// --- internal ---

const rounds = 5;

function measureCase(
  grammar: () => Grammar,
  text: string,
  { tokenizer, trie }: { readonly tokenizer: Tokenizer; readonly trie: TokenTrie },
) {
  const compiling: number[] = [];
  const cold: number[][] = [];
  const warm: number[][] = [];
  for (let i = 0; i < rounds; i += 1) {
    const start = process.cpuUsage();
    const compiled = new TokenGrammar(grammar(), trie);
    compiling.push(msSince(start));
    cold.push(measure(compiled, text, tokenizer));
    warm.push(measure(compiled, text, tokenizer));
  }
  const mean = (times: readonly number[]): number => times.reduce((sum, ms) => sum + ms, 0) / times.length;
  return {
    tokens: cold[0]!.length,
    compileMs: median(compiling),
    coldMeanMs: median(cold.map(mean)),
    coldMaxMs: median(cold.map((times) => Math.max(...times))),
    warmMeanMs: median(warm.map(mean)),
    warmMaxMs: median(warm.map((times) => Math.max(...times))),
  };
}

/** @returns CPU time of each token. */
function measure(grammar: TokenGrammar, text: string, tokenizer: Tokenizer): number[] {
  const constraint: GrammarConstraint = grammar.start({ endIds: [tokenizer.eosId], dropsLeadingSpace: true });
  const times = Array.from(tokenizer.encode(text), (id) => {
    const start = process.cpuUsage();
    const mask = constraint.allowed();
    if (((mask[id >>> 5]! >>> (id & 31)) & 1) === 0) throw new Error(`token ${id} of ${text} is not allowed`);
    constraint.accept(id);
    return msSince(start);
  });
  if (!constraint.isComplete) throw new Error(`the grammar does not end with ${text}`);
  return times;
}

function msSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}
