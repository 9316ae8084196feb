import { describe, expect, test } from "vitest";
import { parseArguments, type Arguments } from "../../src/cli/command.ts";
import { printed } from "../train/printed.ts";

const args = {
  model: { type: "positional", required: true, description: "a model" },
  rest: { type: "positional", multiple: true, description: "the rest" },
  out: { type: "string", alias: "o", description: "a file" },
  steps: { type: "string", as: "integer", min: 1, default: "10", description: "how many" },
  lr: { type: "string", as: "number", min: 0, description: "how fast" },
  set: { type: "string", multiple: true, description: "key=value" },
  kind: { type: "string", choices: ["big", "small"], default: "big", description: "which" },
  json: { type: "boolean", alias: "j", description: "as JSON" },
  pack: { type: "boolean", default: "true", description: "packed" },
} as const satisfies Arguments;

const parse = (...words: string[]) => parseArguments(args, words, "cria try");
const refusal = (...words: string[]) => printed(() => parse(...words));

test("what is left out has its default, or nothing", () => {
  expect(parse("m")).toEqual({
    model: "m",
    rest: [],
    out: undefined,
    steps: 10,
    lr: undefined,
    set: [],
    kind: "big",
    json: false,
    pack: true,
  });
});

test("a flag that is on by default is turned off by --no-", () => {
  expect(parse("m", "--no-pack")).toMatchObject({ pack: false });
  expect(parse("m", "--pack")).toMatchObject({ pack: true });
});

test("options stand before, between and after arguments, with a space or an equals sign", () => {
  const expected = { model: "m", rest: ["a", "b"], out: "f", steps: 3, lr: 0.5, kind: "small", json: true };
  expect(
    parse("--out", "f", "m", "--steps=3", "a", "--lr", ".5", "b", "--json", "--kind=small"),
  ).toMatchObject(expected);
  expect(parse("-o", "f", "-j", "m", "a", "b", "--lr=5e-1", "--steps", "3", "--kind", "small")).toMatchObject(
    expected,
  );
});

test("a repeated option is a list where it may be, and else the last", () => {
  expect(parse("m", "--set", "a=1", "--set=b=2", "--out", "x", "--out", "y")).toMatchObject({
    set: ["a=1", "b=2"],
    out: "y",
  });
});

test("after -- everything is an argument", () => {
  expect(parse("m", "--", "--out", "-j")).toMatchObject({ rest: ["--out", "-j"], json: false });
});

test("a dash and a number alone are arguments", () => {
  expect(parse("-", "-5")).toMatchObject({ model: "-", rest: ["-5"] });
});

test("a value may begin with a dash", () => {
  expect(parse("m", "--out", "-x")).toMatchObject({ out: "-x" });
});

test("a flag is turned off by --no- before it", () => {
  expect(parse("m", "--json", "--no-json")).toMatchObject({ json: false });
});

describe("refused is", () => {
  test("an option that nobody knows, also spelt in camel case or with a wrong --no-", () => {
    expect(refusal("m", "--jsno")).toMatchInlineSnapshot(`
      "cria try has no option --jsno
        Did you mean --json? \`cria try --help\` lists what it takes."
    `);
    expect(refusal("m", "--no-out")).toContain("no option --no-out");
    expect(refusal("m", "-x")).toContain("no option -x");
    expect(refusal("m", "--__proto__")).toContain("no option --__proto__");
  });

  test("a number that is none, or too small", () => {
    expect(refusal("m", "--steps", "1.5")).toMatchInlineSnapshot(`
      "--steps is "1.5", not a whole number of at least 1
        Write for instance --steps 10."
    `);
    expect(refusal("m", "--steps", "0")).toContain("of at least 1");
    expect(refusal("m", "--steps=")).toContain('--steps is ""');
    expect(refusal("m", "--lr", "Infinity")).toContain("not a number of at least 0");
  });

  test("a value that is no choice", () => {
    expect(refusal("m", "--kind", "smal")).toMatchInlineSnapshot(`
      "--kind is "smal", not one of big, small
        Did you mean small? Give one of big, small."
    `);
  });

  test("a missing argument", () => {
    expect(refusal()).toMatchInlineSnapshot(`
      "MODEL is missing: a model
        \`cria try --help\` lists what it takes."
    `);
  });
});
