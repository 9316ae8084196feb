/**
 * GBNF, the notation of grammars that llama.cpp's users know:
 *
 *     root   ::= answer ("," " " answer)*   # a comment
 *     answer ::= "yes" | "no" | [a-zA-Z_] .{0,8} | [^"\\\n]+ | \x41 \u00E9
 *
 * Names are letters, digits and hyphens. A rule ends at the end of its line, unless a parenthesis is open or the next
 * line begins with `|`. `.` is any character. Tokens by id or name (`<[42]>`) are not supported.
 */

import { ConfigError } from "../../errors/errors.ts";
import { nearestName } from "../../errors/nearest.ts";
import {
  characters,
  choice,
  complement,
  lastCode,
  repeat,
  rule,
  sequence,
  text,
  type CodeRange,
  type Expression,
  type Grammar,
} from "./grammar.ts";

/**
 * @param source the rules; that of the whole text is called `root`.
 * @throws {ConfigError} naming line and column, both from 1.
 */
export function parseGbnf(source: string): Grammar {
  if (source.length > longestSource) {
    throw new ConfigError(`a grammar of ${source.length} characters, of which ${longestSource} are read`, {
      mend: "Write it with fewer alternatives.",
    });
  }
  return new GbnfParser(source).parse();
}

// --- internal ---

/** A million characters take seconds to lay out. */
const longestSource = 2 ** 20;
/** The parser calls itself for each parenthesis. */
const deepestNesting = 200;
const largestCount = 1_000_000;

const name = /[a-zA-Z0-9_-]+/y;
const escapes =
  /\\(?:(?<simple>[nrt"\\[\]^-])|x(?<byte>[0-9a-fA-F]{2})|u(?<short>[0-9a-fA-F]{4})|U(?<long>[0-9a-fA-F]{8}))/y;

class GbnfParser {
  readonly #source: string;
  #at = 0;
  #nesting = 0;
  readonly #rules = new Map<string, Expression>();
  /** Where each rule is first referred to. */
  readonly #uses = new Map<string, number>();

  constructor(source: string) {
    this.#source = source;
  }

  parse(): Grammar {
    for (this.#skip(true); this.#at < this.#source.length; this.#skip(true)) this.#rule();
    if (!this.#rules.has("root")) {
      throw this.#error(
        "there is no rule root",
        "Call the rule of the whole text root.",
        this.#source.length,
      );
    }
    for (const [used, at] of this.#uses) {
      if (this.#rules.has(used)) continue;
      const nearest = nearestName(used, [...this.#rules.keys()]);
      throw this.#error(
        `the rule ${used} is not defined`,
        nearest === undefined ? `Add a rule ${used} ::= ...` : `Did you mean ${nearest}?`,
        at,
      );
    }
    return { rules: this.#rules, root: "root" };
  }

  #rule(): void {
    const start = this.#at;
    const defined = this.#name();
    if (defined === undefined)
      throw this.#error("expected the name of a rule", "A rule is: name ::= alternatives");
    this.#skip(false);
    if (!this.#take("::="))
      throw this.#error(`expected ::= after ${defined}`, "A rule is: name ::= alternatives");
    if (this.#rules.has(defined)) {
      throw this.#error(`the rule ${defined} is defined twice`, "Join the two with |.", start);
    }
    this.#skip(true);
    this.#rules.set(defined, this.#alternatives());
    const next = this.#source[this.#at];
    if (next === undefined || next === "\n" || next === "\r") return;
    throw next === ")"
      ? this.#error("this parenthesis was not opened", "Remove it, or write one ( before.")
      : this.#error(`unexpected ${JSON.stringify(next)}`, 'Put texts in double quotes: "yes".');
  }

  #alternatives(): Expression {
    const options = [this.#sequence()];
    while (this.#takeBar()) options.push(this.#sequence());
    return choice(...options);
  }

  /** A bar, also at the start of a later line. */
  #takeBar(): boolean {
    const before = this.#at;
    this.#skip(true);
    if (this.#take("|")) {
      this.#skip(true);
      return true;
    }
    this.#at = before;
    return false;
  }

  #sequence(): Expression {
    const items: Expression[] = [];
    for (let item = this.#item(); item !== undefined; item = this.#item()) {
      items.push(this.#repeated(item));
      this.#skip(this.#nesting > 0);
    }
    return sequence(...items);
  }

  #item(): Expression | undefined {
    const start = this.#at;
    const next = this.#source[start] ?? "";
    switch (next) {
      case '"':
        return this.#literal();
      case "[":
        return this.#class();
      case "(":
        return this.#group();
      case ".":
        this.#at += 1;
        return characters([0, lastCode]);
      case "<":
      case "!":
        throw this.#error(
          "tokens by id or name are not supported",
          "Write the text of the token in double quotes.",
        );
      case "*":
      case "+":
      case "?":
      case "{":
        throw this.#error(
          `${next} repeats nothing`,
          "Put it behind a text, a class, a rule or a parenthesis.",
        );
      default:
    }
    const used = this.#name();
    if (used === undefined) return undefined;
    if (!this.#uses.has(used)) this.#uses.set(used, start);
    return rule(used);
  }

  #group(): Expression {
    const start = this.#at;
    this.#at += 1;
    this.#nesting += 1;
    if (this.#nesting > deepestNesting) {
      throw this.#error(
        `more than ${deepestNesting} parentheses are open`,
        "Give the inner part a rule of its own.",
      );
    }
    this.#skip(true);
    const inner = this.#alternatives();
    this.#skip(true);
    if (!this.#take(")")) throw this.#error("this parenthesis is not closed", "Write a ) after it.", start);
    this.#nesting -= 1;
    return inner;
  }

  #repeated(item: Expression): Expression {
    // A space may stand before the sign, as llama.cpp has it.
    const before = this.#at;
    this.#skip(this.#nesting > 0);
    const sign = this.#source[this.#at];
    const bounds = { "*": [0], "+": [1], "?": [0, 1] }[sign ?? ""];
    if (bounds !== undefined) {
      this.#at += 1;
      return this.#repeated(repeat(item, bounds[0]!, bounds[1]));
    }
    if (sign === "{") return this.#repeated(this.#counted(item));
    this.#at = before;
    return item;
  }

  #counted(item: Expression): Expression {
    const start = this.#at;
    const [whole, least, comma, most] = this.#match(/\{\s*(\d*)\s*(?:(,)\s*(\d*)\s*)?\}/y) ?? [];
    if (whole === undefined || `${least}${most ?? ""}` === "") {
      throw this.#error("this count cannot be read", "Write {3}, {3,} or {3,5}.", start);
    }
    const min = Number(least);
    const max = comma === undefined ? min : most === "" ? Number.POSITIVE_INFINITY : Number(most);
    if (min > max) throw this.#error(`${min} is more than ${max}`, `Write {${max},${min}}.`, start);
    if (min > largestCount || (max > largestCount && Number.isFinite(max))) {
      throw this.#error(`a count above ${largestCount}`, "Leave the upper bound out: {3,}.", start);
    }
    return repeat(item, min, max);
  }

  #literal(): Expression {
    const start = this.#at;
    this.#at += 1;
    let literal = "";
    while (!this.#take('"')) literal += String.fromCodePoint(this.#character('"', start));
    return text(literal);
  }

  #class(): Expression {
    const start = this.#at;
    this.#at += 1;
    const isNegated = this.#take("^");
    const ranges: CodeRange[] = [];
    while (!this.#take("]")) {
      const first = this.#character("]", start);
      const isRange = this.#source[this.#at] === "-" && this.#source[this.#at + 1] !== "]";
      if (isRange) this.#at += 1;
      const last = isRange ? this.#character("]", start) : first;
      if (last < first) {
        throw this.#error(
          `the range ${shown(first)}-${shown(last)} is the wrong way round`,
          `Write ${shown(last)}-${shown(first)}.`,
          start,
        );
      }
      ranges.push([first, last]);
    }
    if (ranges.length === 0 && !isNegated) {
      throw this.#error("this class has no characters", "Write [^] for any character.", start);
    }
    return characters(...(isNegated ? complement(ranges) : ranges));
  }

  /** One character of a text or a class, escaped or not. */
  #character(closing: string, start: number): number {
    const code = this.#source.codePointAt(this.#at);
    if (code === undefined || code === 0x0a || code === 0x0d) {
      const what = closing === "]" ? "class" : "text";
      throw this.#error(
        `this ${what} is not closed`,
        `Write a ${closing} after it, and \\n for a line end.`,
        start,
      );
    }
    if (code >= 0xd800 && code <= 0xdfff) throw this.#error("half a character", "Save the file as UTF-8.");
    if (code !== 0x5c) {
      this.#at += code > 0xffff ? 2 : 1;
      return code;
    }
    return this.#escape();
  }

  #escape(): number {
    const start = this.#at;
    const groups = this.#match(escapes)?.groups ?? {};
    const { simple, byte, short, long } = groups;
    if (simple !== undefined) return (simpleEscapes[simple] ?? simple).codePointAt(0)!;
    const digits = byte ?? short ?? long;
    const mend = String.raw`There are \n \r \t \" \\ \[ \] \^ \- \xHH \uHHHH \UHHHHHHHH.`;
    if (digits === undefined) {
      throw this.#error(`the escape ${this.#source.slice(start, start + 2)} is not known`, mend, start);
    }
    const code = Number.parseInt(digits, 16);
    if (code <= lastCode && !(code >= 0xd800 && code <= 0xdfff)) return code;
    throw this.#error(
      `U+${digits} is not a character`,
      "Code points end at 10FFFF, D800 to DFFF left out.",
      start,
    );
  }

  /** White space and comments, with line ends or without. */
  #skip(overLines: boolean): void {
    this.#match(overLines ? /(?:[ \t\r\n]|#[^\r\n]*)*/y : /[ \t]*(?:#[^\r\n]*)?/y);
  }

  #name(): string | undefined {
    return this.#match(name)?.[0];
  }

  #take(token: string): boolean {
    if (!this.#source.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#source);
    if (match === null) return undefined;
    this.#at += match[0].length;
    return match;
  }

  #error(what: string, mend: string, at = this.#at): ConfigError {
    const before = this.#source.slice(0, at).split(/\r\n|\n|\r/);
    return new ConfigError(`grammar, line ${before.length}, column ${before.at(-1)!.length + 1}: ${what}`, {
      mend,
    });
  }
}

const simpleEscapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

function shown(code: number): string {
  return String.fromCodePoint(code);
}
