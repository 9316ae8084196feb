import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileGrammar } from "../../../src/generate/grammar/program.ts";
import { parseGbnf } from "../../../src/generate/grammar/gbnf.ts";
import { printed } from "../../dialog/printed.ts";
import { fits } from "./reading.ts";

describe("the notation", () => {
  test.each<[name: string, grammar: string, good: string[], bad: string[]]>([
    ["texts", 'root ::= "a\\n\\"b\\\\" "é"', ['a\n"b\\é'], ["", "a", 'a\n"b\\e']],
    ["code points", String.raw`root ::= "\x41\u00E9\U0001F600"`, ["Aé😀"], ["A"]],
    ["classes", "root ::= [a-cé漢-] [^a-z]", ["aA", "é9", "漢😀", "-\n"], ["dA", "aa", "a"]],
    [
      "escapes in classes",
      String.raw`root ::= [\]\[\^\-\\] [^\n"]`,
      ["]x", "[x", "^x", "-x", "\\x"],
      ["]\n", "ax"],
    ],
    ["any character", "root ::= . .", ["ab", "漢😀", "\n\n"], ["a", "abc"]],
    ["alternatives", 'root ::= "a" | "b" "c" |', ["a", "bc", ""], ["b", "ac"]],
    ["groups over lines", 'root ::= (\n "a" # one\n | "b" )\n', ["a", "b"], ["ab", "#"]],
    ["a bar on the next line", 'root ::= "a"\n  | "b"', ["a", "b"], ["ab"]],
    ["repetitions", 'root ::= "a"* "b"+ "c"?', ["b", "aabb", "bc"], ["", "a", "bcc"]],
    [
      "counts",
      'root ::= "a"{2} "b"{1,3} "c"{2,} "d"{,2}',
      ["aabcc", "aabbbccccdd"],
      ["abcc", "aabbbbcc", "aabc", "aabccddd"],
    ],
    [
      "long counts",
      "root ::= [a-b]{20,30}",
      ["a".repeat(20), "b".repeat(30)],
      ["a".repeat(19), "a".repeat(31)],
    ],
    [
      "counts of counts",
      'root ::= (("a"{3,9} ","){2,40}){3}',
      ["aaa,aaaa,".repeat(3)],
      ["aaa,aaa,aaa,aaa,aaa,", "aa,".repeat(6)],
    ],
    ["rules", 'root ::= list\nlist-1 ::= "x"\nlist ::= list-1 ("," list-1)*', ["x", "x,x"], ["x,", ",x"]],
    ["rules that nest", 'root ::= "(" root? ")"', ["()", "((()))"], ["(", "(()"]],
    ["line ends of Windows", 'root ::= a\r\na ::= "x"\r\n', ["x"], [""]],
  ])("%s", (_, grammar, good, bad) => {
    for (const text of good) expect([text, fits(grammar, text)]).toEqual([text, true]);
    for (const text of bad) expect([text, fits(grammar, text)]).toEqual([text, false]);
  });

  test("what has no way out is left out, so that every beginning can be completed", () => {
    expect(fits('root ::= "a" endless | "b"\nendless ::= "x" endless', "b")).toBe(true);
    expect(fits('root ::= "a" endless | "b"\nendless ::= "x" endless', "a")).toBe(false);
  });

  test("a repetition of what can be empty ends", () => {
    const grammar = 'root ::= (("a"? "b"?)* | "c"?){3,5000}';
    for (const text of ["", "abba", "cac"]) expect(fits(grammar, text)).toBe(true);
    expect(fits(grammar, "d")).toBe(false);
  });

  test("agrees with regular expressions on whatever both can say", () => {
    const letter = fc.constantFrom("a", "b", "é");
    const { expression } = fc.letrec<{ expression: [gbnf: string, regex: string] }>((tie) => ({
      expression: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        letter.map((one): [string, string] => [`"${one}"`, one]),
        fc.constant<[string, string]>(["[a-b]", "[a-b]"]),
        fc.constant<[string, string]>(["[^a]", "[^a]"]),
        fc
          .array(tie("expression"), { minLength: 1, maxLength: 3 })
          .map((parts): [string, string] => [
            parts.map(([g]) => g).join(" "),
            parts.map(([, r]) => r).join(""),
          ]),
        fc
          .array(tie("expression"), { minLength: 1, maxLength: 3 })
          .map((parts): [string, string] => [
            `(${parts.map(([g]) => g).join(" | ")})`,
            `(?:${parts.map(([, r]) => r).join("|")})`,
          ]),
        fc
          .tuple(
            tie("expression"),
            fc.constantFrom("*", "+", "?", "{2}", "{1,3}", "{2,}", "{0,20}", "{3,30}"),
          )
          .map(([[g, r], sign]): [string, string] => [`(${g})${sign}`, `(?:${r})${sign}`]),
      ),
    }));
    const text = fc.string({ unit: letter, maxLength: 8 });
    fc.assert(
      fc.property(expression, fc.array(text, { minLength: 4, maxLength: 4 }), ([gbnf, regex], texts) => {
        const whole = new RegExp(`^(?:${regex})$`, "u");
        for (const one of texts) expect(fits(`root ::= ${gbnf}`, one)).toBe(whole.test(one));
      }),
      { numRuns: 300 },
    );
  });
});

describe("what is refused", () => {
  const refused = (grammar: string): string => printed(() => compileGrammar(parseGbnf(grammar)));

  test("says line and column", () => {
    const mistakes = [
      'start ::= "a"',
      'root = "a"',
      '"a"',
      'root ::= "a\n"',
      "root ::= [a",
      "root ::= []",
      "root ::= [z-a]",
      'root ::= ("a"\nb ::= "b"',
      'root ::= "a")',
      "root ::= *",
      'root ::= "a"{3,2}',
      'root ::= "a"{x}',
      'root ::= "a"{9999999}',
      'root ::= item\nitems ::= "a"',
      'root ::= "a"\nroot ::= "b"',
      String.raw`root ::= "\q"`,
      String.raw`root ::= "\uD800"`,
      "root ::= <think>",
      'root ::= "a" & "b"',
    ];
    expect(mistakes.map(refused).join("\n")).toMatchInlineSnapshot(`
      "ConfigError: grammar, line 1, column 14: there is no rule root
        Call the rule of the whole text root.
      ConfigError: grammar, line 1, column 6: expected ::= after root
        A rule is: name ::= alternatives
      ConfigError: grammar, line 1, column 1: expected the name of a rule
        A rule is: name ::= alternatives
      ConfigError: grammar, line 1, column 10: this text is not closed
        Write a " after it, and \\n for a line end.
      ConfigError: grammar, line 1, column 10: this class is not closed
        Write a ] after it, and \\n for a line end.
      ConfigError: grammar, line 1, column 10: this class has no characters
        Write [^] for any character.
      ConfigError: grammar, line 1, column 10: the range z-a is the wrong way round
        Write a-z.
      ConfigError: grammar, line 1, column 10: this parenthesis is not closed
        Write a ) after it.
      ConfigError: grammar, line 1, column 13: this parenthesis was not opened
        Remove it, or write one ( before.
      ConfigError: grammar, line 1, column 10: * repeats nothing
        Put it behind a text, a class, a rule or a parenthesis.
      ConfigError: grammar, line 1, column 13: 3 is more than 2
        Write {2,3}.
      ConfigError: grammar, line 1, column 13: this count cannot be read
        Write {3}, {3,} or {3,5}.
      ConfigError: grammar, line 1, column 13: a count above 1000000
        Leave the upper bound out: {3,}.
      ConfigError: grammar, line 1, column 10: the rule item is not defined
        Did you mean items?
      ConfigError: grammar, line 2, column 1: the rule root is defined twice
        Join the two with |.
      ConfigError: grammar, line 1, column 11: the escape \\q is not known
        There are \\n \\r \\t \\" \\\\ \\[ \\] \\^ \\- \\xHH \\uHHHH \\UHHHHHHHH.
      ConfigError: grammar, line 1, column 11: U+D800 is not a character
        Code points end at 10FFFF, D800 to DFFF left out.
      ConfigError: grammar, line 1, column 10: tokens by id or name are not supported
        Write the text of the token in double quotes.
      ConfigError: grammar, line 1, column 14: unexpected "&"
        Put texts in double quotes: "yes"."
    `);
  });

  test("what begins with itself, named with the way there", () => {
    expect(refused('root ::= root "a" | "a"')).toMatchInlineSnapshot(`
      "ConfigError: the rule root begins with itself
        Write it as a repetition: root ::= item ("," item)* instead of root ::= root "," item | item."
    `);
    expect(refused('root ::= a\na ::= b? c\nb ::= "x"\nc ::= ("y"? a) | "z"')).toMatchInlineSnapshot(`
      "ConfigError: the rule a begins with itself (a -> c -> a)
        Write it as a repetition: a ::= item ("," item)* instead of a ::= a "," item | item."
    `);
  });

  test("what no text fits", () => {
    expect(refused('root ::= "a" root')).toMatchInlineSnapshot(`
      "ConfigError: no text fits the rule root
        Give every rule that refers to itself a way out, an alternative that does not."
    `);
  });

  test("what is too large", () => {
    expect(refused("(".repeat(300))).toMatchInlineSnapshot(`
      "ConfigError: grammar, line 1, column 1: expected the name of a rule
        A rule is: name ::= alternatives"
    `);
    expect(refused(`root ::= ${"(".repeat(300)}`)).toMatchInlineSnapshot(`
      "ConfigError: grammar, line 1, column 211: more than 200 parentheses are open
        Give the inner part a rule of its own."
    `);
    expect(refused(`root ::= "${"a".repeat(2 ** 20)}"`)).toMatchInlineSnapshot(`
      "ConfigError: a grammar of 1048587 characters, of which 1048576 are read
        Write it with fewer alternatives."
    `);
    expect(refused(`root ::= "${"a".repeat(300_000)}"`)).toMatchInlineSnapshot(`
      "ConfigError: the grammar has more than 200000 positions
        Write long lists of texts shorter, or as a class of characters."
    `);
  });
});
