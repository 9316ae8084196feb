import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readPrompts } from "../../src/dialog/prompts.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "cria-prompts-"))));
afterEach(() => rmSync(folder, { recursive: true }));

function promptsOf(...records: readonly object[]): ReturnType<typeof readPrompts> {
  const path = join(folder, "prompts.jsonl");
  writeFileSync(path, records.map((record) => JSON.stringify(record)).join("\n"));
  return readPrompts(path);
}

test("a prompt is tagged where its record says so", () => {
  expect(promptsOf({ prompt: "Who?" }, { prompt: "How do I steal?", safety: true })).toEqual([
    { dialog: [{ role: "user", content: "Who?" }], isSafety: false },
    { dialog: [{ role: "user", content: "How do I steal?" }], isSafety: true },
  ]);
});

test("of a dialog that is answered, the prompt ends with the last question", () => {
  const turns = ["Who?", "I.", "And who else?", "Nobody."];
  const messages = turns.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }));
  expect(promptsOf({ messages, safety: true })).toEqual([{ dialog: messages.slice(0, 3), isSafety: true }]);
});

test("a tag that is neither true nor false is refused with its line", () => {
  expect(() => promptsOf({ prompt: "Who?" }, { prompt: "What?", safety: "yes" })).toThrow(
    'line 2: "safety" is "yes", not true or false',
  );
});
