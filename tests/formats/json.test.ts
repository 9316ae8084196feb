import * as fc from "fast-check";
import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseJson, readJsonFile, type JsonValue } from "../../src/formats/json.ts";
import { messageOf, openWorkspace } from "./workspace.ts";

const parse = (text: string): JsonValue => parseJson(text, "a.json", 8);

describe("parseJson", () => {
  test("reads what JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  test("refuses a key that stands twice in one object, however it is written", () => {
    expect(messageOf(() => parse('{"a":1,"b":{"a":2},"a":3}'))).toBe(
      'FormatError: a.json, byte 8: the key "a" stands twice in one object',
    );
    expect(messageOf(() => parse(String.raw`[{"a\"":1, "\u0061\"" :2}]`))).toContain("stands twice");
  });

  test("takes the same key in different objects, and texts that look like keys", () => {
    const text = String.raw`{"a":{"a":"a\\"},"b":[{"a":1},{"a":2},"\"a\":"],"c":":"}`;
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test("keeps the key __proto__ as a key", () => {
    expect(Object.keys(parse('{"__proto__":{"x":1}}') as object)).toEqual(["__proto__"]);
  });

  test("does not overflow the stack on deep nesting", () => {
    expect(() => parse("[".repeat(200_000) + "]".repeat(200_000))).not.toThrow();
  });

  test("names file and place of what is not JSON", () => {
    expect(messageOf(() => parse("{"))).toMatch(/^FormatError: a\.json, byte 8: not JSON: /);
  });
});

describe("readJsonFile", () => {
  test("refuses a file over its limit before it is read, and one that is not UTF-8", () => {
    using workspace = openWorkspace();
    const path = workspace.file("a.json");
    writeFileSync(path, '{"a":1}');
    expect(readJsonFile(path)).toEqual({ a: 1 });
    expect(messageOf(() => readJsonFile(path, 6))).toContain("7 bytes of JSON, of which at most 6 are read");
    writeFileSync(path, Uint8Array.of(0x22, 0xff, 0x22));
    expect(messageOf(() => readJsonFile(path))).toContain("byte 0: text that is not valid UTF-8");
  });
});
