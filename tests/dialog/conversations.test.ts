import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { Dialog } from "../../src/dialog/message.ts";
import { readDialogs } from "../../src/dialog/readers.ts";

const conversations = fileURLToPath(new URL("../../data/conversations.jsonl", import.meta.url));
const heldOutPrompts = fileURLToPath(new URL("../../data/held-out-prompts.jsonl", import.meta.url));
const readme = readFileSync(new URL("../../data/README.md", import.meta.url), "utf8");

const { dialogs, format } = readDialogs(conversations);
const heldOut = readDialogs(heldOutPrompts);
const topics = readFileSync(conversations, "utf8")
  .trim()
  .split("\n")
  .map((line) => (JSON.parse(line) as { topic: string }).topic);

/** Letters only, so that a comma does not make a prompt a new one. */
const wordsOf = (text: string): string =>
  text
    .toLowerCase()
    .match(/[a-z0-9]+/g)!
    .join(" ");
const lengthOf = (dialog: Dialog): number => dialog.reduce((sum, { content }) => sum + content.length, 0);
const sentencesOf = (text: string): number => text.match(/[.!?](?:["\s]|$)/g)!.length;
const countOf = (topic: string): number => topics.filter((name) => name === topic).length;

describe("the conversations", () => {
  test("are valid dialogs that end with an answer", () => {
    expect(format).toBe("messages");
    expect(dialogs.every((dialog) => dialog.at(-1)!.role === "assistant")).toBe(true);
  });

  test("are enough of each kind", () => {
    expect(dialogs.length).toBeGreaterThanOrEqual(320);
    expect(dialogs.filter((d) => d.filter(({ role }) => role === "user").length > 1).length).toBeGreaterThan(
      60,
    );
    expect(dialogs.filter((d) => d[0]!.role === "system").length).toBeGreaterThan(20);
    expect(countOf("safety")).toBeGreaterThanOrEqual(50);
  });

  test("are as many as data/README.md says", () => {
    for (const topic of new Set(topics)) expect(readme).toContain(`| ${topic} | ${countOf(topic)} |`);
    expect(readme).toContain(`${dialogs.length} conversations`);
    expect(readme).toContain(`${heldOut.dialogs.length} prompts`);
  });

  test("are never the same twice", () => {
    const texts = dialogs.map((dialog) => dialog.map(({ content }) => wordsOf(content)).join("|"));
    expect(texts.filter((text, i) => texts.indexOf(text) !== i)).toEqual([]);
  });

  test("give the same lone question one answer only", () => {
    const questions = dialogs
      .filter((dialog) => dialog.length === 2)
      .map((dialog) => wordsOf(dialog[0]!.content));
    expect(questions.filter((text, i) => questions.indexOf(text) !== i)).toEqual([]);
  });

  test("are of printable ASCII, single-spaced, without space at the ends", () => {
    const messages = dialogs.flat().map(({ content }) => content);
    expect(messages.filter((text) => !/^[\x21-\x7e]+(?:[ \n][\x21-\x7e]+)*$/.test(text))).toEqual([]);
  });

  test("are sentences: a capital or a quotation mark first, a full stop or its like last", () => {
    const messages = dialogs.flat().map(({ content }) => content);
    expect(messages.filter((text) => !/^["A-Z].*[.!?"]$/s.test(text))).toEqual([]);
  });

  test("are short: a message of 200 characters and four sentences, a dialog of 400 characters", () => {
    expect(dialogs.flat().filter(({ content }) => content.length > 200 || sentencesOf(content) > 4)).toEqual(
      [],
    );
    expect(dialogs.filter((dialog) => lengthOf(dialog) > 400)).toEqual([]);
  });

  test("about safety decline or show a safer way, and say so in the first answers", () => {
    const safety = dialogs.filter((_, i) => topics[i] === "safety");
    const declines = /\b(?:cannot|will not|would rather|do not|no|sorry|not do)\b/i;
    const answers = safety.map((dialog) => dialog.filter(({ role }) => role === "assistant").slice(0, 2));
    expect(answers.filter((texts) => !texts.some(({ content }) => declines.test(content)))).toEqual([]);
  });
});

describe("the held-out prompts", () => {
  test("are 24, each a lone question", () => {
    expect(heldOut.format).toBe("prompt");
    expect(heldOut.dialogs).toHaveLength(24);
    expect(new Set(heldOut.dialogs.map((dialog) => wordsOf(dialog[0]!.content))).size).toBe(24);
  });

  test("are in no conversation", () => {
    const said = new Set(dialogs.flat().map(({ content }) => wordsOf(content)));
    expect(heldOut.dialogs.filter((dialog) => said.has(wordsOf(dialog[0]!.content)))).toEqual([]);
  });
});
