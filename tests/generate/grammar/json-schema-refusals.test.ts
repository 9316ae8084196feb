import { describe, expect, test } from "vitest";
import { grammarOfSchema } from "../../../src/generate/grammar/json-schema.ts";
import { compileGrammar } from "../../../src/generate/grammar/program.ts";
import { printed } from "../../dialog/printed.ts";

describe("what is refused, with its place and a mend", () => {
  const refused = (schema: unknown): string => printed(() => compileGrammar(grammarOfSchema(schema)));

  test("keywords that are not supported, misspelt or of the wrong kind", () => {
    const mistakes: unknown[] = [
      1,
      { type: "object", properties: { a: { type: "array", uniqueItems: true } } },
      { type: "object", patternProperties: { a: {} } },
      { not: { type: "string" } },
      { type: "object", requred: ["a"] },
      { type: "text" },
      { type: "strin" },
      { type: "number", multipleOf: 0.1 },
      { type: "string", minLength: -1 },
      { type: "string", minLength: 1, pattern: "a" },
      { type: "string", format: "phone" },
      { type: "integer", minimum: "1" },
      { type: "object", properties: [] },
      { type: "object", required: "a" },
      { enum: [] },
      { enum: ["a"], minLength: 2 },
      { anyOf: {} },
      { $ref: "https://example.com/schema" },
      { $ref: "#/$defs/nme", $defs: { name: {} } },
      { $ref: "#/$defs/%E9", $defs: {} },
      { type: "object", properties: { a: {}, b: {} }, maxProperties: 1 },
      { type: "object", properties: { a: {}, b: {} }, minProperties: 1 },
      { allOf: [{ type: "string", pattern: "a" }, { pattern: "b" }] },
    ];
    expect(mistakes.map(refused).join("\n")).toMatchInlineSnapshot(`
      "ConfigError: JSON schema, #: 1, which is no schema
        A schema is an object, true or false.
      ConfigError: JSON schema, #/properties/a/uniqueItems: true
        Leave it out, and check the answer for repetitions.
      ConfigError: JSON schema, #/patternProperties: a keyword that is not supported
        Leave it out, and check the answer for it; or say the same with other keywords.
      ConfigError: JSON schema, #/not: a keyword that is not supported
        Leave it out, and check the answer for it; or say the same with other keywords.
      ConfigError: JSON schema, #/requred: a keyword that is not supported
        Did you mean required?
      ConfigError: JSON schema, #/type: "text", which is no type
        There are null, boolean, string, integer, number, array, object.
      ConfigError: JSON schema, #/type: "strin", which is no type
        Did you mean string?
      ConfigError: JSON schema, #/multipleOf: 0.1
        Leave it out, and check the answer for it.
      ConfigError: JSON schema, #/minLength: -1
        Write a whole number from 0 up.
      ConfigError: JSON schema, #/minLength: minLength together with pattern
        Say both with one pattern, or leave one out and check the answer for it.
      ConfigError: JSON schema, #/format: the format "phone"
        There are date, time, date-time, duration, uuid, email, hostname, ipv4, uri; a pattern can say others.
      ConfigError: JSON schema, #/minimum: "1", which is no number
        Write a number.
      ConfigError: JSON schema, #/properties: no object of schemas
        Write { "name": schema, ... }.
      ConfigError: JSON schema, #/required: no list of names
        Write ["name", ...].
      ConfigError: JSON schema, #/enum: no list of values
        Write a list of at least one value.
      ConfigError: JSON schema, #/minLength: a keyword beside a list of values
        List only the values that fit it.
      ConfigError: JSON schema, #/anyOf: no list of schemas
        Write a list of at least one schema.
      ConfigError: JSON schema, #/$ref: "https://example.com/schema"
        Refer to a part of the same schema, such as "#/$defs/name".
      ConfigError: JSON schema, #/$ref: "#/$defs/nme", which is not there
        Did you mean #/$defs/name?
      ConfigError: JSON schema, #/$ref: "#/$defs/%E9", which is not there
        Add it to $defs.
      ConfigError: JSON schema, #/maxProperties: 1, and there can be more
        List only properties that may be there.
      ConfigError: JSON schema, #/minProperties: 1, and 0 are required
        Say which in required.
      ConfigError: JSON schema, #/allOf/1/pattern: "b", and #/pattern says "a"
        Say both with one keyword, or leave one out and check the answer for it."
    `);
  });

  test("patterns", () => {
    const patterns = [
      "(?=a)",
      "(?!a)",
      "(?<!a)b",
      String.raw`(a)\1`,
      String.raw`\bword`,
      String.raw`\p{L}`,
      "a^b",
      "a$b",
      "(^a)",
    ];
    const broken = ["(a", "a)", "[a", "[b-a]", "a{2,1}", "*a", "a**", String.raw`\u{110000}`, "a\\"];
    const schemas = [...patterns, ...broken].map((pattern) => ({ type: "string", pattern }));
    expect(schemas.map(refused).join("\n")).toMatchInlineSnapshot(`
      "ConfigError: JSON schema, #/pattern: the pattern "(?=a)" has a look-around at 1, which is not supported
        Say the same without it, or with format, minLength or an enum.
      ConfigError: JSON schema, #/pattern: the pattern "(?!a)" has a look-around at 1, which is not supported
        Say the same without it, or with format, minLength or an enum.
      ConfigError: JSON schema, #/pattern: the pattern "(?<!a)b" has a look-around at 1, which is not supported
        Say the same without it, or with format, minLength or an enum.
      ConfigError: JSON schema, #/pattern: the pattern "(a)\\\\1" has the escape \\1 at 4, which is not supported
        Write the characters that are meant, in a class.
      ConfigError: JSON schema, #/pattern: the pattern "\\\\bword" has the escape \\b at 1, which is not supported
        Write the characters that are meant, in a class.
      ConfigError: JSON schema, #/pattern: the pattern "\\\\p{L}" has the escape \\p at 1, which is not supported
        Write the characters that are meant, in a class.
      ConfigError: JSON schema, #/pattern: the pattern "a^b" has ^ after the beginning at 2, which is not supported
        Put ^ at the beginning of the pattern, or write \\^.
      ConfigError: JSON schema, #/pattern: the pattern "a$b" has $ before the end at 3, which is not supported
        Anchors stand at the ends of the pattern only.
      ConfigError: JSON schema, #/pattern: the pattern "(^a)" has ^ after the beginning at 2, which is not supported
        Put ^ at the beginning of the pattern, or write \\^.
      ConfigError: JSON schema, #/pattern: the pattern "(a" has a group that is not closed at 3, which is not supported
        Write a ) after it.
      ConfigError: JSON schema, #/pattern: the pattern "a)" has a ) that was not opened at 2, which is not supported
        Write it as \\).
      ConfigError: JSON schema, #/pattern: the pattern "[a" has a class that is not closed at 3, which is not supported
        Write a ] after it.
      ConfigError: JSON schema, #/pattern: the pattern "[b-a]" has a range that is none at 5, which is not supported
        Write the lower character first, or - as \\-.
      ConfigError: JSON schema, #/pattern: the pattern "a{2,1}" has the count {2,1} at 7, which is not supported
        The second number is at least the first, and 10000 at most.
      ConfigError: JSON schema, #/pattern: the pattern "*a" has * that repeats nothing at 1, which is not supported
        Write it as \\*.
      ConfigError: JSON schema, #/pattern: the pattern "a**" has two repetitions of one thing at 3, which is not supported
        Put it in a group.
      ConfigError: JSON schema, #/pattern: the pattern "\\\\u{110000}" has \\u{110000}, which is no character at 11, which is not supported
        Write characters above U+FFFF as \\u{10000}.
      ConfigError: JSON schema, #/pattern: the pattern "a\\\\" has the escape \\ at 2, which is not supported
        Write the characters that are meant, in a class."
    `);
  });

  test("alternatives of oneOf that cannot be told apart", () => {
    const both = [{ type: "integer" }, { type: "number" }];
    expect(refused({ oneOf: both })).toMatchInlineSnapshot(`
      "ConfigError: JSON schema, #/oneOf/1: an alternative of oneOf that a text could fit together with number 0
        Write anyOf, or tell them apart by a required property with a const of its own."
    `);
    const objects = [{ properties: { a: {} } }, { properties: { b: {} } }];
    expect(refused({ oneOf: objects })).toMatchInlineSnapshot(`
      "ConfigError: JSON schema, #/oneOf/1: an alternative of oneOf that a text could fit together with number 0
        Write anyOf, or tell them apart by a required property with a const of its own."
    `);
    expect(refused({ oneOf: [{ type: "string" }, { enum: ["a"] }] })).toMatchInlineSnapshot(`
      "ConfigError: JSON schema, #/oneOf/1: an alternative of oneOf that a text could fit together with number 0
        Write anyOf, or tell them apart by a required property with a const of its own."
    `);
  });

  test("schemas that nothing fits, or that never end", () => {
    expect(refused(false)).toMatchInlineSnapshot(`
      "ConfigError: no text fits the rule root
        Give every rule that refers to itself a way out, an alternative that does not."
    `);
    expect(refused({ type: "integer", minimum: 2, maximum: 1 })).toMatchInlineSnapshot(`
      "ConfigError: no text fits the rule root
        Give every rule that refers to itself a way out, an alternative that does not."
    `);
    expect(refused({ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }))
      .toMatchInlineSnapshot(`
      "ConfigError: no text fits the rule root
        Give every rule that refers to itself a way out, an alternative that does not."
    `);
    expect(refused({ $ref: "#" })).toMatchInlineSnapshot(`
      "ConfigError: no text fits the rule root
        Give every rule that refers to itself a way out, an alternative that does not."
    `);
    expect(refused({ anyOf: [{ $ref: "#" }, { type: "null" }] })).toMatchInlineSnapshot(`
      "ConfigError: the rule # begins with itself
        Write it as a repetition: # ::= item ("," item)* instead of # ::= # "," item | item."
    `);
    expect(refused({ allOf: [{ $ref: "#" }] })).toMatchInlineSnapshot(`
      "ConfigError: JSON schema, #: more than 100 schemas inside each other
        Put the inner ones into $defs."
    `);
  });

  test("schemas that are too large", () => {
    const nested = Array.from({ length: 200 }).reduce<object>(
      (inner) => ({ type: "array", items: inner }),
      {},
    );
    expect(refused(nested).slice(-120)).toMatchInlineSnapshot(`
      "tems/items/items/items/items/items/items/items: more than 100 schemas inside each other
        Put the inner ones into $defs."
    `);
    const wide = { anyOf: Array.from({ length: 30_000 }, () => ({ type: "null" })) };
    expect(refused(wide)).toMatchInlineSnapshot(`
      "ConfigError: JSON schema, #/anyOf/19999: more than 20000 schemas
        Put what is repeated into $defs, and refer to it."
    `);
  });
});
