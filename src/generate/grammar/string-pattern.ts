/**
 * Regular expressions of JSON Schema's `pattern` (ECMA 262, with the flag u) as expressions over the characters of a
 * JSON string, where a character that must be escaped is.
 *
 * Read: characters, `.`, classes and their escapes (`\d \D \w \W \s \S`), `\n \r \t \f \v \0 \xHH \uHHHH \u{H}`,
 * escaped signs, groups (plain, `(?:`, named), `|`, `* + ? {m} {m,} {m,n}` (greedy or not: that makes no difference
 * here), `^` at the beginning and `$` at the end of the pattern or of an alternative at its top. Not read: look-around,
 * back-references, `\b`, `\p{...}`, anchors elsewhere. As in JSON Schema, a pattern without anchors may match anywhere.
 */

import { ConfigError } from "../../errors/errors.ts";
import {
  characters,
  choice,
  complement,
  lastCode,
  repeat,
  sequence,
  text,
  type CodeRange,
  type Expression,
} from "./grammar.ts";
import { escapedCodes } from "./json-text.ts";

/**
 * @param where what the pattern is called in errors.
 * @returns what stands between the quotes.
 * @throws {ConfigError} for what is not read, naming the place in the pattern, from 1.
 */
export function patternCharacters(pattern: string, where: string): Expression {
  return new PatternParser(pattern, where).parse();
}

// --- internal ---

const deepestNesting = 100;
const largestCount = 10_000;

const digit: CodeRange[] = [[0x30, 0x39]];
const word: CodeRange[] = [...digit, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
const space: CodeRange[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const lineEnds: CodeRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const sets: Readonly<Record<string, readonly CodeRange[]>> = {
  d: digit,
  D: complement(digit),
  w: word,
  W: complement(word),
  s: space,
  S: complement(space),
};
const controls: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, f: 0x0c, v: 0x0b, 0: 0 };

const shortEscapes: Readonly<Record<number, string>> = {
  0x08: "\\b",
  0x09: "\\t",
  0x0a: "\\n",
  0x0c: "\\f",
  0x0d: "\\r",
  0x22: '\\"',
  0x5c: "\\\\",
};

const anything = repeat(inString([[0, lastCode]]), 0);

class PatternParser {
  readonly #pattern: string;
  readonly #where: string;
  #at = 0;
  #nesting = 0;

  constructor(pattern: string, where: string) {
    this.#pattern = pattern;
    this.#where = where;
  }

  parse(): Expression {
    const options = [this.#anchored()];
    while (this.#take("|")) options.push(this.#anchored());
    if (this.#at < this.#pattern.length) throw this.#refuse("a ) that was not opened", "Write it as \\).");
    return choice(...options);
  }

  /** An alternative at the top, which alone may be anchored. */
  #anchored(): Expression {
    const before = this.#take("^") ? text("") : anything;
    const inner = this.#sequence();
    const after = this.#take("$") ? text("") : anything;
    if (this.#at < this.#pattern.length && this.#next() !== "|" && this.#next() !== ")") {
      throw this.#refuse("$ before the end", "Anchors stand at the ends of the pattern only.");
    }
    return sequence(before, inner, after);
  }

  #sequence(): Expression {
    const items: Expression[] = [];
    for (let item = this.#item(); item !== undefined; item = this.#item()) items.push(this.#repeated(item));
    return sequence(...items);
  }

  #item(): Expression | undefined {
    const next = this.#next();
    switch (next) {
      case undefined:
      case "|":
      case ")":
        return undefined;
      case "$":
        if (this.#nesting === 0) return undefined;
        throw this.#refuse("an anchor inside a group", "Put ^ and $ at the ends of the pattern.");
      case "^":
        throw this.#refuse("^ after the beginning", "Put ^ at the beginning of the pattern, or write \\^.");
      case "*":
      case "+":
      case "?":
      case "{":
        throw this.#refuse(`${next} that repeats nothing`, `Write it as \\${next}.`);
      case "(":
        return this.#group();
      case "[":
        return inString(this.#class());
      case ".":
        this.#at += 1;
        return inString(complement(lineEnds));
      default:
        return inString(this.#element());
    }
  }

  #group(): Expression {
    const opening = this.#match(/\((?:\?:|\?<[A-Za-z_$][\w$]*>|(?!\?))/y);
    if (opening === undefined) {
      throw this.#refuse("a look-around", "Say the same without it, or with format, minLength or an enum.");
    }
    this.#nesting += 1;
    if (this.#nesting > deepestNesting)
      throw this.#refuse(`more than ${deepestNesting} open groups`, "Nest less.");
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    if (!this.#take(")")) throw this.#refuse("a group that is not closed", "Write a ) after it.");
    this.#nesting -= 1;
    return choice(...options);
  }

  #repeated(item: Expression): Expression {
    const match = this.#match(/(?:([*+?])|\{(\d{1,7})(,?)(\d{0,7})\})\??/y);
    if (match === undefined) return item;
    const [, sign, least, comma, most] = match;
    if (/^[*+?{]/.test(this.#next() ?? ""))
      throw this.#refuse("two repetitions of one thing", "Put it in a group.");
    if (sign !== undefined) return repeat(item, sign === "+" ? 1 : 0, sign === "?" ? 1 : undefined);
    const min = Number(least);
    const max = comma === "" ? min : most === "" ? Number.POSITIVE_INFINITY : Number(most);
    if (min > max || min > largestCount || (Number.isFinite(max) && max > largestCount)) {
      throw this.#refuse(
        `the count ${match[0]}`,
        `The second number is at least the first, and ${largestCount} at most.`,
      );
    }
    return repeat(item, min, max);
  }

  #class(): readonly CodeRange[] {
    this.#at += 1;
    const isNegated = this.#take("^");
    const ranges: CodeRange[] = [];
    while (!this.#take("]")) {
      if (this.#next() === undefined) throw this.#refuse("a class that is not closed", "Write a ] after it.");
      const first = this.#element();
      const isRange = this.#next() === "-" && this.#pattern[this.#at + 1] !== "]";
      if (!isRange) {
        ranges.push(...first);
        continue;
      }
      this.#at += 1;
      const last = this.#element();
      const [from, to] = [first[0]![0], last[0]![1]];
      if (!isSingle(first) || !isSingle(last) || from > to) {
        throw this.#refuse("a range that is none", "Write the lower character first, or - as \\-.");
      }
      ranges.push([from, to]);
    }
    return isNegated ? complement(ranges) : ranges;
  }

  /** One character, or the set of an escape. */
  #element(): readonly CodeRange[] {
    const code = this.#pattern.codePointAt(this.#at);
    if (code === undefined) throw this.#refuse("an end that comes too early", "Close what is open.");
    if (code !== 0x5c) {
      if (code >= 0xd800 && code <= 0xdfff) throw this.#refuse("half a character", "Write the whole pair.");
      this.#at += code > 0xffff ? 2 : 1;
      return [[code, code]];
    }
    const sign = this.#pattern[this.#at + 1] ?? "";
    const set = sets[sign];
    if (set !== undefined) {
      this.#at += 2;
      return set;
    }
    const single = this.#escaped(sign);
    return [[single, single]];
  }

  #escaped(sign: string): number {
    const match = this.#match(/\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\})/y);
    if (match !== undefined) {
      const code = Number.parseInt(match[1] ?? match[2] ?? match[3]!, 16);
      if (code <= lastCode && !(code >= 0xd800 && code <= 0xdfff)) return code;
      throw this.#refuse(
        `${match[0]}, which is no character`,
        "Write characters above U+FFFF as \\u{10000}.",
      );
    }
    const control = controls[sign];
    if (control === undefined && (/[a-zA-Z0-9]/.test(sign) || sign === "")) {
      throw this.#refuse(`the escape \\${sign}`, "Write the characters that are meant, in a class.");
    }
    const code = control ?? this.#pattern.codePointAt(this.#at + 1)!;
    this.#at += code > 0xffff ? 3 : 2;
    return code;
  }

  #next(): string | undefined {
    return this.#pattern[this.#at];
  }

  #take(sign: string): boolean {
    if (this.#next() !== sign) return false;
    this.#at += 1;
    return true;
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#pattern);
    if (match === null) return undefined;
    this.#at += match[0].length;
    return match;
  }

  #refuse(what: string, mend: string): ConfigError {
    return new ConfigError(
      `${this.#where}: the pattern ${JSON.stringify(this.#pattern)} has ${what} at ${this.#at + 1}, which is not supported`,
      { mend },
    );
  }
}

function isSingle(ranges: readonly CodeRange[]): boolean {
  return ranges.length === 1 && ranges[0]![0] === ranges[0]![1];
}

/** One of these characters as it stands in a JSON string. */
function inString(ranges: readonly CodeRange[]): Expression {
  const options: Expression[] = [];
  for (const [first, last] of escapedCodes) {
    for (let code = first; code <= last; code += 1) {
      if (!ranges.some(([from, to]) => from <= code && code <= to)) continue;
      options.push(text(shortEscapes[code] ?? `\\u${code.toString(16).padStart(4, "0")}`));
    }
  }
  const kept = complement([...complement(ranges), ...escapedCodes]);
  return choice(...(kept.length > 0 ? [characters(...kept)] : []), ...options);
}
