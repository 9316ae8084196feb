/**
 * `npx tsx bench/fuzz-grammar.ts [gbnf] [schema] [template] [--count n] [--seed n]`: inputs that are random, or real
 * ones with random damage, through the parsers of grammars, JSON schemas and chat templates, and through what they
 * build. Each may be refused by an error with a mend; anything else thrown, a hang or growing memory is a mistake.
 */

import { parseArgs } from "node:util";
import { createRandom, type Random } from "../src/corpus/random.ts";
import { parseTemplate } from "../src/dialog/template.ts";
import { CriaError } from "../src/errors/errors.ts";
import { Automaton, deadState } from "../src/generate/grammar/automaton.ts";
import { parseGbnf } from "../src/generate/grammar/gbnf.ts";
import type { Grammar } from "../src/generate/grammar/grammar.ts";
import { grammarOfSchema } from "../src/generate/grammar/json-schema.ts";
import { compileGrammar } from "../src/generate/grammar/program.ts";

const grammars = [
  'root ::= "a" | [^b-z\\n] b* # c\nb ::= ("x" | "\\u00e9"){2,5} . root?',
  'root ::= "{" pair ("," pair)* "}"\npair ::= "\\"" [a-z]{1,3} "\\":" value\nvalue ::= root | [0-9]+ | "true"',
  'root ::= (a | b)+\na ::= "a" a? "b"\nb ::= "b"{0,100} | "ab" root{0,3}',
];
const schemas: readonly unknown[] = [
  {
    type: "object",
    properties: { a: { type: "string", pattern: "^[a-c]+(x|y)?\\d{2}$" }, b: { $ref: "#/$defs/c" } },
    required: ["a"],
    additionalProperties: { type: "number", minimum: -1.5, maximum: 20 },
    $defs: { c: { type: "array", items: { $ref: "#" }, minItems: 1, maxItems: 4 } },
  },
  {
    anyOf: [{ enum: [1, "a", null] }, { type: ["integer", "boolean"], minimum: 3 }],
    allOf: [{ minimum: 0 }],
  },
  {
    oneOf: [
      { properties: { k: { const: 1 } }, required: ["k"] },
      { type: "string", format: "date", minLength: 1 },
    ],
  },
  { prefixItems: [true, { type: "string", minLength: 2, maxLength: 1000 }], items: false, minItems: 1 },
];
const templates = [
  "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|user|>' + m.content | trim }}{% else %}{{ m.content[1:] }}{% endif %}{% endfor %}",
  "{% set ns = namespace(n=0) %}{% for m in messages if m.content %}{% set ns.n = ns.n + 1 %}{{ loop.index0 ~ m | tojson(indent=2) }}{% endfor %}{{ range(ns.n) | join(',') }}",
  "{%- macro f(x, y=2) -%}{{ x * y }}{%- endmacro -%}{{ f(3) }}{{ raise_exception('no') if messages | length > 9 else bos_token }}",
];
const signs = `"'[](){}|*+?.^$-\\,:=<>%#~!_ \n\t0123456789abcxyzdu\u00e9\ud83d\udc11`;

const messages = [
  { role: "user", content: " Hi </s> " },
  { role: "assistant", content: "Hello" },
];

const targets: Readonly<Record<string, (random: Random) => void>> = {
  gbnf: (random) => runGrammar(parseGbnf(damaged(pick(grammars, random), random)), random),
  schema: (random) => runGrammar(grammarOfSchema(damagedSchema(random)), random),
  template(random) {
    const template = parseTemplate(damaged(pick(templates, random), random));
    template.render({ messages, bos_token: "<s>", eos_token: "</s>", add_generation_prompt: true });
  },
};

const { values, positionals } = parseArgs({
  options: { count: { type: "string", default: "100000" }, seed: { type: "string", default: "1" } },
  allowPositionals: true,
});
for (const name of positionals.length > 0 ? positionals : Object.keys(targets)) fuzz(name, targets[name]!);

// --- internal ---

function fuzz(name: string, target: (random: Random) => void): void {
  const count = Number(values.count);
  const report = {
    name,
    inputs: count,
    accepted: 0,
    refused: 0,
    mistakes: 0,
    slowestMs: 0,
    heapMb: [] as number[],
  };
  const began = performance.now();
  for (let i = 0; i < count; i += 1) {
    const random = createRandom(Number(values.seed) * 1_000_003 + i);
    const start = performance.now();
    try {
      target(random);
      report.accepted += 1;
    } catch (error) {
      if (error instanceof CriaError) report.refused += 1;
      else report.mistakes += 1;
      if (!(error instanceof CriaError) && report.mistakes <= 5) console.error(`${name}, input ${i}:`, error);
    }
    const ms = performance.now() - start;
    if (ms > report.slowestMs) {
      report.slowestMs = ms;
      if (ms > 1000) console.error(`${name}, input ${i}: ${ms.toFixed(0)} ms`);
    }
    if (i % Math.ceil(count / 8) === 0)
      report.heapMb.push(Math.round(process.memoryUsage().heapUsed / 2 ** 20));
  }
  console.log(JSON.stringify({ ...report, seconds: Math.round((performance.now() - began) / 1000) }));
}

/** Lays it out, and reads bytes of which each is allowed, for a while. */
function runGrammar(grammar: Grammar, random: Random): void {
  const automaton = new Automaton(compileGrammar(grammar));
  let state = automaton.start();
  for (let i = 0; i < 16; i += 1) {
    automaton.resetEffort();
    automaton.cut(automaton.clamp(state, 16), 2);
    const next = Array.from({ length: 8 }, () =>
      automaton.step(state, automaton.program.classes[random.int(128)]!),
    );
    const alive = next.filter((candidate) => candidate !== deadState);
    if (alive.length === 0) return;
    state = pick(alive, random);
  }
}

function pick<T>(list: readonly T[], random: Random): T {
  return list[random.int(list.length)]!;
}

/** Some characters removed, doubled, moved or replaced. */
function damaged(text: string, random: Random): string {
  let out = text;
  for (let edits = random.int(3); edits >= 0; edits -= 1) {
    const at = random.int(out.length + 1);
    const length = random.int(8);
    const piece = out.slice(at, at + length);
    const place = random.int(out.length + 1);
    const kinds = [
      () => out.slice(0, at) + out.slice(at + length),
      () => out.slice(0, at) + signs[random.int(signs.length)]! + out.slice(at),
      () => out.slice(0, place) + piece + out.slice(place),
      () => out.slice(0, at) + piece.repeat(random.int(40)) + out.slice(at),
      () => out.slice(0, at) + signs[random.int(signs.length)]! + out.slice(at + 1),
    ];
    out = pick(kinds, random)();
  }
  return out;
}

/** Damaged as text where that is still JSON; else with parts exchanged. */
function damagedSchema(random: Random): unknown {
  try {
    return JSON.parse(damaged(JSON.stringify(pick(schemas, random)), random)) as unknown;
  } catch {
    return exchanged(pick(schemas, random), random);
  }
}

function exchanged(value: unknown, random: Random): unknown {
  if (random.int(12) === 0)
    return pick([...schemas, null, 0, -1, 1e300, "", "#", [], {}, true, false, "string", "(a"], random);
  if (Array.isArray(value)) return value.map((item) => exchanged(item, random));
  if (typeof value !== "object" || value === null) return value;
  const keys =
    "type enum const properties required items anyOf allOf oneOf $ref pattern format minimum maxLength".split(
      " ",
    );
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      random.int(10) === 0 ? pick(keys, random) : key,
      exchanged(item, random),
    ]),
  );
}
