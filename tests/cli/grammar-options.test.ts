import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { grammarOf } from "../../src/cli/grammar-options.ts";
import { printed } from "../dialog/printed.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-grammar-"));
  writeFileSync(join(folder, "g.gbnf"), 'root ::= "a"\n');
  writeFileSync(join(folder, "bad.gbnf"), 'root ::= "a"\n  | b\n');
  writeFileSync(join(folder, "s.json"), '{"type": "null"}');
  writeFileSync(join(folder, "bad.json"), '{"type": "nul"}');
});
afterAll(() => rmSync(folder, { recursive: true }));

const read = (grammar?: string, schema?: string) =>
  grammarOf({
    grammar: grammar && join(folder, grammar),
    "json-schema": schema && join(folder, schema),
  });

test("a grammar or a schema is read from its file", () => {
  expect(read()).toBeUndefined();
  expect(read("g.gbnf")?.root).toBe("root");
  expect(read(undefined, "s.json")?.root).toBe("root");
});

test("mistakes are named", () => {
  expect(printed(() => read("g.gbnf", "s.json"))).toMatchInlineSnapshot(`
    "ConfigError: --grammar and --json-schema both say what the text is
      Give one of them."
  `);
  expect(printed(() => read("bad.gbnf"))).toMatchInlineSnapshot(`
    "ConfigError: grammar, line 2, column 5: the rule b is not defined
      Add a rule b ::= ..."
  `);
  expect(printed(() => read(undefined, "bad.json"))).toMatchInlineSnapshot(`
    "ConfigError: JSON schema, #/type: "nul", which is no type
      Did you mean null?"
  `);
});
