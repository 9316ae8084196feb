/** Help of every command: it is there, and what it shows can be typed. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseArguments } from "../../src/cli/command.ts";
import { commandRows } from "../../src/cli/commands.ts";
import { cria } from "../cli/memory-terminal.ts";

/** The words of a shell's command line of plain and double-quoted words. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
}

describe.each(commandRows.map((row) => ({ row, name: row.name })))("cria $name", ({ row, name }) => {
  test("--help says what it does, what it takes, and shows an example", async () => {
    const { code, stdout, stderr } = await cria(...name.split(" "), "--help");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.split("\n")[0]).toBe(row.summary);
    expect(stdout).toContain(`\nUsage\n  cria ${name}`);
    expect(stdout).toMatch(/\nExamples?\n {2}\$ cria /);
    const { args } = await row.load();
    for (const [key, { type, description, default: value }] of Object.entries(args)) {
      // What is on is shown by the way to turn it off.
      const option = type === "boolean" && value === "true" ? `--no-${key}` : `--${key}`;
      expect(stdout).toContain(type === "positional" ? key.toUpperCase() : option);
      expect(description).not.toBe("");
    }
  });

  test("the examples are command lines that it takes", async () => {
    const { args, examples } = await row.load();
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      const words = wordsOf(example.replace(/ [|>] .*/, ""));
      const own = ["cria", ...name.split(" ")];
      expect(words.slice(0, own.length)).toEqual(own);
      expect(() => parseArguments(args, words.slice(own.length), `cria ${name}`), example).not.toThrow();
    }
  });
});

test("recipes that the examples of training commands name come with Cria", async () => {
  const own = (name: string): boolean => existsSync(fileURLToPath(new URL(`../../${name}`, import.meta.url)));
  for (const name of ["speedrun", "pretrain", "sft", "reward"]) {
    const { examples } = await commandRows.find((row) => row.name === name)!.load();
    const recipes = examples.flatMap((line) => line.match(/recipes\/\S+/g) ?? []);
    expect(recipes.length).toBeGreaterThan(0);
    expect(
      recipes.filter((path) => !own(path)),
      name,
    ).toEqual([]);
  }
});

test("the list names every command once", async () => {
  const { code, stdout } = await cria("--help");
  expect(code).toBe(0);
  for (const { name, summary } of commandRows) {
    const lines = stdout.split("\n").filter((line) => line.includes(` ${name} `) && line.includes(summary));
    expect(lines, name).toHaveLength(1);
  }
});
