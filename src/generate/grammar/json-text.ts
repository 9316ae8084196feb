/**
 * The parts of JSON (RFC 8259) as expressions. White space is allowed where people and models put it, between tokens,
 * but not without end: one space, or a line end and an indentation. Numbers end too: 24 digits before and after the
 * point, exponents that a double can have.
 */

import {
  characters,
  choice,
  complement,
  optional,
  repeat,
  rule,
  sequence,
  text,
  type CodeRange,
  type Expression,
} from "./grammar.ts";

/** Digits before and after the point of a number, at most. */
export const mostDigits = 24;

/** Digits of a whole number without bounds: a double has them all exactly. */
export const mostIntegerDigits = 15;

const [space, tab] = [0x20, 0x09];
/** Between tokens: none, one space, or a line end and what the next line is indented by. */
export const whiteSpace: Expression = optional(
  choice(text(" "), sequence(text("\n"), repeat(characters([space, space], [tab, tab]), 0, 20))),
);

/** A text between tokens of JSON, with the white space that may stand around it. */
export function spaced(token: string): Expression {
  return sequence(whiteSpace, text(token), whiteSpace);
}

export const digit: CodeRange = [0x30, 0x39];
export const digits = (min: number, max: number): Expression => repeat(characters(digit), min, max);

export const hexDigit: Expression = characters(digit, [0x41, 0x46], [0x61, 0x66]);

/** What must be escaped inside a string: the quote, the backslash and the controls. */
export const escapedCodes: readonly CodeRange[] = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];

/** `\u0041`, and above U+FFFF two of them: never half a pair. */
const unicodeEscape: Expression = choice(
  sequence(
    text("\\u"),
    characters(digit, [0x41, 0x43], [0x61, 0x63], [0x45, 0x46], [0x65, 0x66]),
    repeat(hexDigit, 3, 3),
  ),
  sequence(text("\\u"), oneOf("dD"), characters([0x30, 0x37]), repeat(hexDigit, 2, 2)),
  sequence(
    sequence(text("\\u"), oneOf("dD"), oneOf("89abAB"), repeat(hexDigit, 2, 2)),
    sequence(text("\\u"), oneOf("dD"), oneOf("cdefCDEF"), repeat(hexDigit, 2, 2)),
  ),
);

/** One character of a string, as itself or escaped. */
export const stringCharacter: Expression = choice(
  characters(...complement(escapedCodes)),
  sequence(text("\\"), oneOf('"\\/bfnrt')),
  unicodeEscape,
);

/** A string of so many characters. */
export function string(min = 0, max = Number.POSITIVE_INFINITY): Expression {
  return sequence(text('"'), repeat(stringCharacter, min, max), text('"'));
}

const wholeNumber: Expression = choice(
  text("0"),
  sequence(characters([0x31, 0x39]), digits(0, mostDigits - 1)),
);
const fraction: Expression = sequence(text("."), digits(1, mostDigits));

const leadingDigit: Expression = characters([0x31, 0x39]);
const exponent = (digitsOfIt: Expression): Expression =>
  sequence(oneOf("eE"), optional(text("+")), digitsOfIt);

/** What comes after 1. in the largest double, times 10 to the power of 308. */
const largest = Array.from("7976931348623157");

/** From 1 to the largest: at some digit it is less, or it ends. */
const toLargest: Expression = sequence(
  text("1"),
  optional(
    sequence(
      text("."),
      choice(
        ...largest.flatMap((own, i) => {
          const before = text(largest.slice(0, i).join(""));
          const less = characters([digit[0], digit[0] + Number(own) - 1]);
          return [sequence(before, text(own)), sequence(before, less, digits(0, mostDigits))];
        }),
      ),
    ),
  ),
);

/** Exponents of three digits only after one digit, for a double ends at 1.8e308. */
const number: Expression = sequence(
  optional(text("-")),
  choice(
    sequence(
      wholeNumber,
      optional(fraction),
      optional(sequence(oneOf("eE"), optional(oneOf("+-")), digits(1, 2))),
    ),
    sequence(leadingDigit, optional(fraction), oneOf("eE"), text("-"), oneOf("123"), digits(2, 2)),
    sequence(
      leadingDigit,
      optional(fraction),
      exponent(choice(sequence(oneOf("12"), digits(2, 2)), sequence(text("30"), characters([0x30, 0x37])))),
    ),
    sequence(toLargest, exponent(text("308"))),
  ),
);

export const integer: Expression = choice(
  text("0"),
  sequence(optional(text("-")), characters([0x31, 0x39]), digits(0, mostIntegerDigits - 1)),
);

/** `open item, item, ... close`, of so many items. */
export function list(
  [open, close]: readonly [string, string],
  item: Expression,
  min = 0,
  max = Number.POSITIVE_INFINITY,
): Expression {
  if (max === 0) return sequence(text(open), whiteSpace, text(close));
  const more = sequence(item, repeat(sequence(spaced(","), item), Math.max(0, min - 1), max - 1));
  return sequence(text(open), whiteSpace, min === 0 ? optional(more) : more, whiteSpace, text(close));
}

export function pair(key: Expression, value: Expression): Expression {
  return sequence(key, spaced(":"), value);
}

/** One value of the data. */
export function literal(value: unknown): Expression {
  if (Array.isArray(value)) return row("[", value.map(literal), "]");
  if (typeof value !== "object" || value === null) return text(JSON.stringify(value));
  const pairs = Object.entries(value).map(([key, item]) => pair(text(JSON.stringify(key)), literal(item)));
  return row("{", pairs, "}");
}

/** These items, all of them, in this order. */
export function row(open: string, items: readonly Expression[], close: string): Expression {
  const parts = items.flatMap((item, i) => (i === 0 ? [item] : [spaced(","), item]));
  return sequence(text(open), whiteSpace, ...parts, whiteSpace, text(close));
}

/** The rules of any JSON value, under names that no schema's rule has. */
export const jsonRules: ReadonlyMap<string, Expression> = new Map([
  ["string", string()],
  ["number", number],
  ["array", list(["[", "]"], rule("value"))],
  ["object", list(["{", "}"], pair(rule("string"), rule("value")))],
  [
    "value",
    choice(...["object", "array", "string", "number"].map(rule), ...["true", "false", "null"].map(text)),
  ],
]);

export function oneOf(set: string): Expression {
  return characters(
    ...Array.from(set, (character): CodeRange => [character.codePointAt(0)!, character.codePointAt(0)!]),
  );
}
