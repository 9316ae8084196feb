import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { readPrompts } from "../../src/dialog/prompts.ts";
import { readDialogs } from "../../src/dialog/readers.ts";

const data = (name: string): string => fileURLToPath(new URL(`../../data/${name}`, import.meta.url));
const readme = readFileSync(data("README.md"), "utf8");
const files = ["rlhf-prompts.jsonl", "rlhf-held-out-prompts.jsonl"] as const;
const textsOf = (name: string): string[] =>
  readPrompts(data(name)).map(({ dialog }) => dialog.at(-1)!.content);

/** Letters only, so that a comma does not make a prompt a new one. */
const wordsOf = (text: string): string =>
  text
    .toLowerCase()
    .match(/[a-z0-9]+/g)!
    .join(" ");

describe.each(files)("%s", (name) => {
  const prompts = readPrompts(data(name));

  test("has as many prompts, and tagged ones, as data/README.md says", () => {
    const tagged = prompts.filter(({ isSafety }) => isSafety).length;
    expect(readme).toContain(`| \`${name}\` | ${prompts.length} prompts`);
    expect(readme).toContain(`${tagged} of them \`"safety": true\``);
  });

  test("is of short sentences in printable ASCII", () => {
    const wrong = textsOf(name).filter((text) => !/^[A-Z][\x20-\x7e]{3,80}[.?!]$/.test(text));
    expect(wrong).toEqual([]);
  });

  test("tags the prompts of the topic safety and no others", () => {
    const topics = readFileSync(data(name), "utf8")
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { topic: string }).topic);
    expect(prompts.map(({ isSafety }) => isSafety)).toEqual(topics.map((topic) => topic === "safety"));
  });
});

test("no prompt stands twice, in the other file, among the conversations, or among the held-out prompts", () => {
  const own = files.flatMap(textsOf).map(wordsOf);
  expect(own.filter((text, i) => own.indexOf(text) !== i)).toEqual([]);
  const elsewhere = ["conversations.jsonl", "held-out-prompts.jsonl"]
    .flatMap((name) => readDialogs(data(name)).dialogs.flat())
    .map(({ content }) => wordsOf(content));
  expect(own.filter((text) => elsewhere.includes(text))).toEqual([]);
});
