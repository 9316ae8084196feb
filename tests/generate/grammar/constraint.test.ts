import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../../src/corpus/random.ts";
import { Automaton } from "../../../src/generate/grammar/automaton.ts";
import { TokenGrammar } from "../../../src/generate/grammar/constraint.ts";
import { parseGbnf } from "../../../src/generate/grammar/gbnf.ts";
import { compileGrammar } from "../../../src/generate/grammar/program.ts";
import { createTokenTrie } from "../../../src/generate/grammar/token-trie.ts";
import { printed } from "../../dialog/printed.ts";
import { eosId, fits, has, idsIn, readBytes, start, tokenizer, trie, writeText } from "./reading.ts";

const idOf = (piece: string): number =>
  tokenizer.model.pieces.findIndex((candidate) => candidate.piece === piece);
const piecesIn = (mask: Uint32Array): string[] => idsIn(mask).map((id) => tokenizer.model.pieces[id]!.piece);

describe("tokens", () => {
  test("those whose text goes on are allowed, whole or in part, as bytes too", () => {
    const constraint = start(parseGbnf('root ::= "aab" "c"'));
    expect(piecesIn(constraint.allowed())).toEqual(["<0x61>", "a", "aab"]);
    constraint.accept(idOf("a"));
    constraint.accept(idOf("a"));
    expect(piecesIn(constraint.allowed())).toEqual(["<0x62>", "b"]);
  });

  test("a character may come as bytes, and cannot be left half", () => {
    const constraint = start(parseGbnf('root ::= [漢é] "a"?'));
    expect(piecesIn(constraint.allowed())).toEqual(["<0xC3>", "<0xE6>", "é", "漢"]);
    constraint.accept(idOf("<0xE6>"));
    expect(piecesIn(constraint.allowed())).toEqual(["<0xBC>"]);
    expect(constraint.isComplete).toBe(false);
    constraint.accept(idOf("<0xBC>"));
    constraint.accept(idOf("<0xA2>"));
    expect(piecesIn(constraint.allowed())).toEqual(["</s>", "<0x61>", "a"]);
  });

  test("the end is allowed exactly where the grammar can end, and nothing after it", () => {
    const constraint = start(parseGbnf('root ::= "ab"?'));
    expect(has(constraint.allowed(), eosId)).toBe(true);
    constraint.accept(idOf("a"));
    expect(has(constraint.allowed(), eosId)).toBe(false);
    constraint.accept(idOf("b"));
    expect(idsIn(constraint.allowed())).toEqual([eosId]);
    constraint.accept(eosId);
    expect(idsIn(constraint.allowed())).toEqual([eosId]);
  });

  test("ends are those that are asked for, also where they could be spelled", () => {
    const grammar = new TokenGrammar(parseGbnf('root ::= "a"+ "b"'), trie);
    const constraint = grammar.start({ endIds: [eosId, idOf("aab")] });
    expect(has(constraint.allowed(), idOf("aab"))).toBe(false);
    readBytes(constraint, "ab");
    expect(idsIn(constraint.allowed())).toEqual([eosId, idOf("aab")]);
  });

  test("control and unknown tokens are never text", () => {
    const constraint = start(parseGbnf("root ::= .*"));
    expect(idsIn(constraint.allowed())).not.toContain(0);
    expect(idsIn(constraint.allowed())).not.toContain(1);
  });

  test("a space is a space, unless one before the text is dropped", () => {
    const grammar = parseGbnf('root ::= "{" " a"? | " x"');
    expect(piecesIn(start(grammar).allowed())).toEqual(["<0x20>", "<0x7B>", "▁", "{"]);
    const dropping = start(grammar, true);
    expect(piecesIn(dropping.allowed())).toEqual(["<0x20>", "<0x7B>", "▁", "{", "▁{"]);
    const dropped = dropping.fork();
    dropped.accept(idOf("▁"));
    expect(piecesIn(dropped.allowed())).toEqual(["<0x20>", "<0x7B>", "▁", "{"]);
    dropping.accept(idOf("▁{"));
    expect(piecesIn(dropping.allowed())).toEqual(["</s>", "<0x20>", "▁", "▁a"]);
  });

  test("rows of the model past the tokenizer's pieces are never allowed", () => {
    const padded = createTokenTrie(tokenizer, tokenizer.vocabSize + 70);
    const constraint = new TokenGrammar(parseGbnf("root ::= .*"), padded).start({ endIds: [eosId] });
    const mask = constraint.allowed();
    expect(mask).toHaveLength(Math.ceil((tokenizer.vocabSize + 70) / 32));
    for (let id = tokenizer.vocabSize; id < 32 * mask.length; id += 1) expect(has(mask, id)).toBe(false);
  });

  test("a fork goes its own way", () => {
    const constraint = start(parseGbnf('root ::= "a" ("b" | "12")'));
    constraint.accept(idOf("a"));
    const fork = constraint.fork();
    fork.accept(idOf("b"));
    expect(fork.isComplete).toBe(true);
    expect(constraint.isComplete).toBe(false);
    constraint.accept(idOf("12"));
    expect(constraint.isComplete).toBe(true);
  });

  test("a token that is not allowed, and an end that is not there, are refused", () => {
    const constraint = start(parseGbnf('root ::= "a"'));
    expect(printed(() => constraint.accept(idOf("b")))).toMatchInlineSnapshot(`
      "ConfigError: token 262 does not go on with a text of the grammar
        Draw only tokens that the constraint allows."
    `);
    expect(printed(() => constraint.accept(eosId))).toMatchInlineSnapshot(`
      "ConfigError: token 2 does not go on with a text of the grammar
        Draw only tokens that the constraint allows."
    `);
    expect(printed(() => new TokenGrammar(parseGbnf('root ::= "a"'), trie).start({ endIds: [-1] })))
      .toMatchInlineSnapshot(`
      "ConfigError: token -1 is to end the text, and the model has 293 tokens
        Give the ids of the tokenizer's EOS, or of the end of a turn."
    `);
    expect(printed(() => createTokenTrie(tokenizer, 10))).toMatchInlineSnapshot(`
      "ConfigError: the tokenizer has 293 pieces, the model 10 rows
        Use the tokenizer that belongs to the model."
    `);
  });
});

describe("masks", () => {
  /** Whether a token's bytes can all be read, one at a time. */
  const isReadable = (constraint: ReturnType<typeof start>, id: number): boolean => {
    const fork = constraint.fork();
    return Array.from(tokenizer.pieceBytes(id)).every((byte) => {
      if (!has(fork.allowed(), 3 + byte)) return false;
      fork.accept(3 + byte);
      return true;
    });
  };

  test.each([
    'root ::= "a"{3,40} | ("a" | "aa" | "aaab"){2,7}',
    'root ::= "(" (root | [ab12]+)* ")" | "[" item{0,3} "]"\nitem ::= "a" item? "b"',
    'root ::= value\nvalue ::= "{" pair ("," pair)* "}" | "\\"" [^"]{0,5} "\\"" | [0-9]+\npair ::= "\\"" [ab]* "\\"" ":" " "? value',
    'root ::= a? b? c?\na ::= "a" a? | "12"\nb ::= "b" a b | "a"\nc ::= [^a]{2,}',
  ])("have the tokens whose bytes fit one by one, and no others: %s", (source) => {
    const grammar = parseGbnf(source);
    for (let seed = 0; seed < 6; seed += 1) {
      const random = createRandom(seed);
      const constraint = start(grammar);
      for (let i = 0; i < 25 && !idsIn(constraint.allowed()).every((id) => id === eosId); i += 1) {
        const allowed = idsIn(constraint.allowed()).filter((id) => id !== eosId);
        const texts = idsIn(new Uint32Array(trie.vocabSize).fill(0xffffffff)).slice(3);
        expect(allowed).toEqual(texts.filter((id) => isReadable(constraint, id)));
        constraint.accept(allowed[random.int(allowed.length)]!);
      }
    }
  });

  test("what is written under a grammar is of it", () => {
    const source = 'root ::= ("a" root "b" | "[" [0-9]{1,3} "]")\n';
    const random = createRandom(3);
    for (let i = 0; i < 50; i += 1) {
      const text = writeText(start(parseGbnf(source)), random);
      if (text !== undefined) expect(fits(source, text)).toBe(true);
    }
  });
});

describe("hostile grammars", () => {
  test("ambiguity does not multiply: two ways at each of three hundred characters", () => {
    const constraint = start(parseGbnf('root ::= "a" root "b" | "a" root "c" | "x"'));
    expect(readBytes(constraint, `${"a".repeat(300)}x${"bc".repeat(150)}`)).toBe(true);
    expect(constraint.isComplete).toBe(true);
  });

  test("nor does a chain of rules that are called twice each", () => {
    const rules = Array.from({ length: 60 }, (_, i) => `r${i} ::= r${i + 1} "b" | r${i + 1} "c"`);
    const source = `root ::= r0\n${rules.join("\n")}\nr60 ::= "a"`;
    expect(fits(source, `a${"b".repeat(60)}`)).toBe(true);
    expect(fits(source, `a${"b".repeat(59)}`)).toBe(false);
  });

  test("counts take no room", () => {
    const constraint = start(parseGbnf('root ::= (("a"{0,1000000}){0,1000000} "b"){1000000}'));
    expect(readBytes(constraint, "aaabab")).toBe(true);
    expect(constraint.isComplete).toBe(false);
  });

  test("what nests deeper than the limit may not begin, and what is open can still be closed", () => {
    const constraint = start(parseGbnf('root ::= "(" root ")" | "x"'));
    let depth = 0;
    while (depth < 5000 && has(constraint.allowed(), 3 + 0x28)) {
      constraint.accept(3 + 0x28);
      depth += 1;
    }
    expect(depth).toBeGreaterThan(500);
    expect(depth).toBeLessThan(5000);
    expect(readBytes(constraint, `x${")".repeat(depth)}`)).toBe(true);
    expect(constraint.isComplete).toBe(true);
  });

  test("a text of many states gets fresh tables, and goes on where it was", () => {
    const grammar = new TokenGrammar(parseGbnf("root ::= [ab]{0,1000000} [12]"), trie);
    const constraint = grammar.start({ endIds: [eosId] });
    const other = grammar.start({ endIds: [eosId] });
    for (let i = 0; i < 25_000; i += 1) constraint.accept(3 + 0x61);
    expect(piecesIn(constraint.allowed())).toEqual(piecesIn(other.allowed()));
    expect(grammar.renewed().automaton.stateCount).toBeLessThan(20_000);
    expect(readBytes(constraint, "ab1")).toBe(true);
    expect(readBytes(other, "ab1")).toBe(true);
  });

  test("work beyond all measure is refused", () => {
    const words = Array.from({ length: 60 }, (_, i) => `"${"a".repeat(i + 1)}"`).join(" | ");
    const automaton = new Automaton(compileGrammar(parseGbnf(`root ::= (${words}){0,100000} "x"`)));
    const read = (): void => {
      let state = automaton.start();
      for (let i = 0; i < 100_000; i += 1) state = automaton.step(state, automaton.program.classes[0x61]!);
    };
    expect(printed(read)).toMatchInlineSnapshot(`
      "ConfigError: the grammar is too ambiguous: one token takes more than a second to check
        Write it so that one character tells which alternative a text is of."
    `);
  });
});

test("any text fits a grammar of any text, token by token", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const constraint = start(parseGbnf("root ::= .*"), true);
      for (const id of tokenizer.encode(text)) {
        expect(has(constraint.allowed(), id)).toBe(true);
        constraint.accept(id);
      }
      expect(constraint.isComplete).toBe(true);
    }),
  );
});
