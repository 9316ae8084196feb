/** Conversations in the terminal, with a model that was trained for a second. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { cria, criaWithInput, settings, start, workFolder, type WorkFolder } from "./cria.ts";
import { tinyRun, tinyTuning } from "./tiny-run.ts";

// A command that waits for what does not come is not waited for.
vi.setConfig({ testTimeout: 60_000 });

let work: WorkFolder;
beforeAll(async () => {
  work = workFolder();
  expect(await tinyRun(work)).toMatchObject({ code: 0 });
});
afterAll(() => work.remove());

const words = ["chat", "runs/tiny/model", "--temperature", "0", "-n", "6"];

test("answers line by line, and keeps commands and answers apart", async () => {
  const said = [
    "/help",
    "/system Be brief.",
    "What does number 3 do?",
    "And number 4?",
    "/save chat.jsonl",
    "/reset",
    "What does number 3 do?",
    "/save after.jsonl",
    "/system",
    "/save none.jsonl",
    "/nope",
    "/quit",
    "What does number 5 do?",
  ];
  const { code, stdout, stderr } = await criaWithInput(work.folder, `${said.join("\n")}\n`, ...words);
  expect(code).toBe(0);
  // Three questions, three answers of a line each; nothing after /quit.
  const answers = stdout.split("\n");
  expect(answers).toHaveLength(4);
  expect(answers[3]).toBe("");
  // With the same words before it, the same answer.
  expect(answers[2]).toBe(answers[0]);
  expect(stderr.split("\n").filter((line) => !line.startsWith("("))).toEqual([
    "/system TEXT   set the system prompt and start anew; /system alone removes it",
    "/reset         forget what was said",
    "/save FILE     write the conversation as a line of messages JSONL",
    "/quit          end the chat",
    "The system prompt is set.",
    "Saved to chat.jsonl.",
    "Forgotten.",
    "Saved to after.jsonl.",
    "The system prompt is removed.",
    "Saved to none.jsonl.",
    "Error: there is no /nope",
    "  /help lists what can be typed.",
    "",
  ]);
  const saved = (name: string): unknown[] =>
    (JSON.parse(readFileSync(join(work.folder, name), "utf8")) as { messages: unknown[] }).messages;
  expect(saved("chat.jsonl")).toEqual([
    { role: "system", content: "Be brief." },
    { role: "user", content: "What does number 3 do?" },
    { role: "assistant", content: answers[0]!.trim() },
    { role: "user", content: "And number 4?" },
    { role: "assistant", content: answers[1]!.trim() },
  ]);
  expect(saved("after.jsonl")).toHaveLength(3);
  expect(saved("none.jsonl")).toEqual([]);
});

test("that was saved can be trained on", async () => {
  const recipe = { model: "runs/tiny/model", data: "chat.jsonl", validation_fraction: "0" };
  writeFileSync(join(work.folder, "tune.yaml"), "seed: 1\n");
  const tuning = settings({ ...tinyTuning, ...recipe, seq_len: "128", epochs: "1" });
  const { code, stdout } = await cria(work.folder, "sft", "tune.yaml", ...tuning);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Model: runs\/tune\/checkpoints\/step-0000000\d\n/);
  const again = await cria(work.folder, "sft", "tune.yaml", ...tuning, "--json");
  const { checkpoint } = JSON.parse(again.stdout) as { checkpoint: string };
  expect(stdout.split("\n")[0]).toBe(`Model: ${checkpoint}`);
  const shown = await cria(work.folder, "sft", "tune.yaml", ...tuning, "--debug");
  expect(shown.code).toBe(0);
  expect(shown.stdout).toContain("<<SYS>>");
});

test("forgets the oldest turns when the context is full, and says so", async () => {
  const questions = Array.from({ length: 8 }, (_, i) => `What does number ${i} do?\n`).join("");
  const { code, stderr, stdout } = await criaWithInput(work.folder, questions, ...words, "--context", "128");
  expect(code).toBe(0);
  expect(stdout.split("\n")).toHaveLength(9);
  expect(stderr).toContain("(the context is full: the oldest turn is forgotten)\n");
});

test("refuses a question that alone is longer than the context, and goes on", async () => {
  const input = `${"What does number 3 do? ".repeat(30)}\nWhat does number 3 do?\n`;
  const { code, stderr, stdout } = await criaWithInput(work.folder, input, ...words);
  expect(code).toBe(0);
  expect(stdout.split("\n")).toHaveLength(2);
  expect(stderr).toMatch(
    /^Error: the question has \d+ tokens, and the context has room for 250\n {2}Ask something shorter, or open the model with a longer --context\.\n/,
  );
});

test("on Ctrl-C stops the answer and not the program", async () => {
  // A base model goes on and on.
  const base = "runs/tiny/checkpoints/pretrain/step-00000030";
  const long = ["chat", base, "--temperature", "0", "-n", "100000", "--context", "20000"];
  const chat = start(work.folder, ...long);
  chat.child.stdin!.write("What does number 3 do?\n");
  await chat.says(/\w/);
  chat.child.kill("SIGINT");
  await chat.says("(stopped)\n");
  const stopped = chat.written().stdout;
  chat.child.stdin!.write("/reset\nAnd now?\n");
  await new Promise<void>((done) => {
    const look = setInterval(() => {
      if (chat.written().stdout.length <= stopped.length) return;
      clearInterval(look);
      done();
    }, 5);
  });
  chat.child.kill("SIGINT");
  chat.child.stdin!.end();
  const { code, signal, stderr } = await chat.ended;
  expect({ code, signal }).toEqual({ code: 0, signal: null });
  expect(stderr).toBe("(stopped)\nForgotten.\n(stopped)\n");
});

test("ends at Ctrl-C when nothing is being answered", async () => {
  const chat = start(work.folder, ...words);
  chat.child.stdin!.write("/reset\n");
  await chat.says("Forgotten.");
  chat.child.kill("SIGINT");
  expect(await chat.ended).toMatchObject({ code: 0, signal: null });
});
