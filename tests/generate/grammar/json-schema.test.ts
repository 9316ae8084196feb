import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromJSONSchema } from "zod";
import { createRandom } from "../../../src/corpus/random.ts";
import { grammarOfJsonObject, grammarOfSchema } from "../../../src/generate/grammar/json-schema.ts";
import { fits, start, writeText } from "./reading.ts";

/** Schemas, and values of them in the order of their properties. */
const cases: Readonly<Record<string, { schema: object | boolean; good: unknown[]; bad: unknown[] }>> = {
  anything: {
    schema: true,
    good: [null, [1, -2.5, 1e21, 5e-324], { a: { b: ['"', "é\n\u0001"] } }, "x"],
    bad: [],
  },
  types: { schema: { type: ["string", "null"] }, good: ["", "a", null], bad: [1, [], true] },
  constants: {
    schema: { enum: ["a", 1, null] },
    good: ["a", 1, null],
    bad: ["b", 2, [1]],
  },
  "constants of a type": { schema: { type: "string", enum: ["a", 1] }, good: ["a"], bad: [1] },
  properties: {
    schema: {
      type: "object",
      properties: { a: { type: "integer" }, b: { type: "boolean" }, c: { type: "null" } },
      required: ["b"],
    },
    good: [{ b: true }, { a: 1, b: false }, { a: -1, b: true, c: null }, { b: true, c: null }],
    bad: [{}, { a: 1 }, { b: true, d: 1 }, { b: 1 }],
  },
  "optional properties": {
    schema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } },
    good: [{}, { a: 1 }, { b: 1 }, { a: 1, b: 2 }],
    bad: [{ c: 1 }],
  },
  "other properties": {
    schema: {
      type: "object",
      properties: { a: { type: "integer" }, ab: { type: "integer" } },
      required: ["a"],
      additionalProperties: { type: "boolean" },
    },
    good: [{ a: 1 }, { a: 1, ab: 2 }, { a: 1, abc: true }, { a: 1, "": true, "\n": false, "ä\\": true }],
    bad: [{ a: 1, x: 1 }, { a: 1, ab: true }, { a: true }],
  },
  "a map": {
    schema: { type: "object", additionalProperties: { type: "number" }, minProperties: 1, maxProperties: 2 },
    good: [{ a: 1 }, { a: 1, b: 2 }],
    bad: [{}, { a: 1, b: 2, c: 3 }, { a: "1" }],
  },
  "names of a map": {
    schema: {
      type: "object",
      propertyNames: { enum: ["x", "y"] },
      additionalProperties: { type: "integer" },
    },
    good: [{}, { x: 1, y: 2 }],
    bad: [{ z: 1 }],
  },
  "a required property that is not described": {
    schema: { type: "object", properties: {}, required: ["a"] },
    good: [{ a: [1] }],
    bad: [{}],
  },
  arrays: {
    schema: { type: "array", items: { type: "integer" }, minItems: 1, maxItems: 3 },
    good: [[1], [1, 2, 3]],
    bad: [[], [1, 2, 3, 4], ["1"]],
  },
  tuples: {
    schema: {
      prefixItems: [{ type: "integer" }, { type: "string" }],
      items: { type: "null" },
      type: "array",
    },
    good: [
      [1, "a"],
      [1, "a", null, null],
    ],
    bad: [[1], ["a", 1], [1, "a", 2]],
  },
  "tuples that may be short": {
    schema: {
      type: "array",
      prefixItems: [{ type: "integer" }, { type: "string" }],
      minItems: 1,
      items: false,
    },
    good: [[1], [1, "a"]],
    bad: [[], [1, "a", 2]],
  },
  lengths: {
    schema: { type: "string", minLength: 2, maxLength: 4 },
    good: ["ab", "漢字é😀", '""\n\\'],
    bad: ["a", "abcde"],
  },
  patterns: {
    schema: { type: "string", pattern: String.raw`^(?:a|[b-d]{2})+\d*[ !#-+\\\n]?$|^"\\\n$` },
    good: ["a", "abb", "ccdd12", "a1+", "a\\", "a\n", '"\\\n'],
    bad: ["", "b", "1", 'a"', "a_"],
  },
  "patterns without anchors": {
    schema: { type: "string", pattern: "b+" },
    good: ["b", "abba"],
    bad: ["", "a"],
  },
  "whole numbers in a range": {
    schema: { type: "integer", minimum: -12, exclusiveMaximum: 305 },
    good: [-12, -10, -9, -1, 0, 9, 10, 99, 100, 304],
    bad: [-13, -100, 305, 1000, 1.5],
  },
  "whole numbers from": {
    schema: { type: "integer", minimum: 95 },
    good: [95, 99, 100, 12345],
    bad: [0, 94, -95],
  },
  "whole numbers to": { schema: { type: "integer", maximum: -5 }, good: [-5, -10, -123], bad: [-4, 0, 5] },
  "numbers in a range": {
    schema: { type: "number", minimum: -0.25, exclusiveMaximum: 12.5 },
    good: [-0.25, -0.2, -0.01, 0, 0.5, 9.99, 12, 12.4999],
    bad: [-0.26, -1, 12.5, 12.51, 13, 100],
  },
  "numbers between close bounds": {
    schema: { type: "number", exclusiveMinimum: 0.5, maximum: 0.75 },
    good: [0.51, 0.501, 0.6, 0.7, 0.75],
    bad: [0.5, 0.49, 0.751, 0.8, 1, 0],
  },
  "positive numbers": {
    schema: { type: "number", exclusiveMinimum: 0 },
    good: [0.001, 1, 123.5],
    bad: [0, -1],
  },
  dates: {
    schema: { type: "string", format: "date" },
    good: ["2026-11-26", "2024-02-29", "2000-02-29"],
    bad: ["2026-13-01", "2025-02-29", "1900-02-29", "2026-04-31", "2026-1-1"],
  },
  "dates with times": {
    schema: { type: "string", format: "date-time" },
    good: ["2026-11-26T12:00:00Z", "2026-11-26T23:59:59.125+01:00"],
    bad: ["2026-11-26", "2026-11-26T24:00:00Z", "2026-11-26T12:00:00"],
  },
  identifiers: {
    schema: { type: "string", format: "uuid" },
    good: ["f81d4fae-7dec-41d0-a765-00a0c91e6bf6"],
    bad: ["f81d4fae-7dec-41d0-a765", "g81d4fae-7dec-41d0-a765-00a0c91e6bf6"],
  },
  addresses: {
    schema: { type: "string", format: "email" },
    good: ["a.b+c@example.com"],
    bad: ["a", "a@b", "@example.com", "a..b@example.com"],
  },
  alternatives: {
    schema: { anyOf: [{ type: "integer" }, { type: "array", items: { type: "integer" } }] },
    good: [1, [], [1]],
    bad: ["1", [[1]]],
  },
  "alternatives with something in common": {
    schema: {
      type: "object",
      properties: { a: { type: "integer" }, b: { type: "integer" } },
      anyOf: [{ required: ["a"] }, { required: ["b"] }],
    },
    good: [{ a: 1 }, { b: 1 }, { a: 1, b: 2 }],
    bad: [{}],
  },
  "alternatives that exclude each other": {
    schema: {
      oneOf: [
        {
          type: "object",
          properties: { kind: { const: "a" }, x: { type: "integer" } },
          required: ["kind", "x"],
        },
        {
          type: "object",
          properties: { kind: { const: "b" }, y: { type: "string" } },
          required: ["kind", "y"],
        },
        { type: "null" },
      ],
    },
    good: [{ kind: "a", x: 1 }, { kind: "b", y: "" }, null],
    bad: [{ kind: "a", y: "" }, { kind: "c" }],
  },
  "all of several": {
    schema: {
      allOf: [
        { type: "object", properties: { a: { type: "number", minimum: 0 } }, required: ["a"] },
        { properties: { a: { type: "integer", maximum: 5 }, b: { type: "null" } } },
      ],
    },
    good: [{ a: 0 }, { a: 5, b: null }],
    bad: [{ a: -1 }, { a: 6 }, { a: 0.5 }, {}],
  },
  references: {
    schema: {
      $ref: "#/$defs/a~1b",
      $defs: { "a/b": { type: "array", items: { $ref: "#/$defs/c", maxLength: 2 } }, c: { type: "string" } },
    },
    good: [[], ["ab"]],
    bad: [["abc"], "a"],
  },
  recursion: {
    schema: {
      type: "object",
      properties: { v: { type: "integer" }, children: { type: "array", items: { $ref: "#" }, maxItems: 2 } },
      required: ["v"],
      additionalProperties: false,
    },
    good: [{ v: 1 }, { v: 1, children: [{ v: 2, children: [] }, { v: 3 }] }],
    bad: [
      { v: 1, children: [1] },
      { v: 1, children: [{ v: 1 }, { v: 2 }, { v: 3 }] },
    ],
  },
};

describe.each(Object.entries(cases))("%s", (_, { schema, good, bad }) => {
  const grammar = grammarOfSchema(schema);

  test("every text that fits is read, compact, spaced or over lines, and no other", () => {
    for (const value of good) {
      for (const indent of [undefined, 1, 2]) {
        const text = JSON.stringify(value, null, indent);
        expect([text, fits(grammar, text)]).toEqual([text, true]);
      }
      expect(fits(grammar, `${JSON.stringify(value)} `)).toBe(false);
    }
    for (const value of bad) {
      const text = JSON.stringify(value);
      expect([text, fits(grammar, text)]).toEqual([text, false]);
    }
  });

  test("what a model writes that knows nothing is of the schema, by another's judgement", () => {
    const judge = fromJSONSchema(schema as Parameters<typeof fromJSONSchema>[0]);
    const random = createRandom(1);
    const constraint = start(grammar);
    let whole = 0;
    for (let i = 0; i < 15; i += 1) {
      const text = writeText(constraint.fork(), random, 200);
      if (text === undefined) continue;
      whole += 1;
      const result = judge.safeParse(JSON.parse(text));
      expect([text, result.success]).toEqual([text, true]);
    }
    expect(whole).toBeGreaterThan(1);
  });
});

test("any JSON value is read, and any object where one is asked for", () => {
  const [any, object] = [grammarOfSchema({}), grammarOfJsonObject()];
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: "grapheme" }), (value) => {
      const text = JSON.stringify(value);
      expect(fits(any, text)).toBe(true);
      expect(fits(object, text)).toBe(typeof value === "object" && value !== null && !Array.isArray(value));
    }),
    { numRuns: 30 },
  );
});

test("constants may have parts", () => {
  const grammar = grammarOfSchema({ const: [1, { b: 2, c: [] }] });
  expect(fits(grammar, '[1, {"b": 2,"c":[ ]}]')).toBe(true);
  expect(fits(grammar, '[1, {"b": 3,"c":[]}]')).toBe(false);
});

test("half a surrogate pair is not written", () => {
  const grammar = grammarOfSchema({ type: "string" });
  expect(fits(grammar, String.raw`"\ud83d\ude00"`)).toBe(true);
  expect(fits(grammar, String.raw`"\ud83d"`)).toBe(false);
  expect(fits(grammar, String.raw`"\ude00"`)).toBe(false);
});

test("numbers in a range: the grammar and the numbers agree", () => {
  const cents = fc.integer({ min: -2500, max: 2500 }).map((value) => value / 100);
  fc.assert(
    fc.property(
      cents,
      cents,
      fc.boolean(),
      fc.array(cents, { minLength: 5 }),
      (a, b, isExclusive, values) => {
        const low = Math.min(a, b);
        // In cents: a sum such as 0.06 + 0.01 has more digits than the grammar writes.
        const high = Math.round(100 * Math.max(a, b) + 1) / 100;
        const schema = isExclusive
          ? { type: "number", exclusiveMinimum: low, exclusiveMaximum: high }
          : { type: "number", minimum: low, maximum: high };
        const grammar = grammarOfSchema(schema);
        for (const value of [...values, low, high]) {
          const isIn = isExclusive ? low < value && value < high : low <= value && value <= high;
          expect(fits(grammar, JSON.stringify(value))).toBe(isIn);
        }
      },
    ),
    { numRuns: 30 },
  );
});
