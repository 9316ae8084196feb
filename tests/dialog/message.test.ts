import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkDialog, strip } from "../../src/dialog/message.ts";
import type { Dialog, Message } from "../../src/dialog/message.ts";
import { printed } from "./printed.ts";

const user = (content: string): Message => ({ role: "user", content });
const assistant = (content: string): Message => ({ role: "assistant", content });
const system = (content: string): Message => ({ role: "system", content });

describe("a dialog", () => {
  test.each<[string, Dialog]>([
    ["is a question", [user("Hi")]],
    ["is a question and its answer", [user("Hi"), assistant("Hello!")]],
    ["may begin with a system message", [system("Be brief."), user("Hi")]],
    ["may go on", [user("Hi"), assistant("Hello!"), user("Who are you?"), assistant("Cria.")]],
  ])("%s", (_title, dialog) => {
    expect(() => {
      checkDialog(dialog, "dialog");
    }).not.toThrow();
  });

  test("needs a message of the user", () => {
    expect(printed(() => checkDialog([], "request"))).toMatchInlineSnapshot(`
      "ConfigError: request: no user message
        A dialog starts with a user's message."
    `);
    expect(printed(() => checkDialog([system("Be brief.")], "request"))).toMatchInlineSnapshot(`
      "ConfigError: request: no user message
        A dialog starts with a user's message."
    `);
  });

  test("starts with the user", () => {
    expect(printed(() => checkDialog([assistant("Hello!")], "request"))).toMatchInlineSnapshot(`
      "ConfigError: request: message 1 is from "assistant", not from "user"
        Messages alternate between user and assistant, user first, after at most one system message."
    `);
  });

  test("has no two messages of one side in a row, counted with the system message", () => {
    expect(printed(() => checkDialog([system("s"), user("a"), user("b")], "request"))).toMatchInlineSnapshot(`
      "ConfigError: request: message 3 is from "user", not from "assistant"
        Messages alternate between user and assistant, user first, after at most one system message."
    `);
  });

  test("has a system message only at the start", () => {
    expect(printed(() => checkDialog([user("a"), system("s")], "request"))).toMatchInlineSnapshot(`
      "ConfigError: request: message 2 is from "system", not from "assistant"
        Messages alternate between user and assistant, user first, after at most one system message."
    `);
  });

  test("has no message of white space", () => {
    expect(printed(() => checkDialog([user("a"), assistant(" \n")], "request"))).toMatchInlineSnapshot(`
      "ConfigError: request: message 2 (assistant) is empty
        Drop the message, or the whole dialog."
    `);
  });

  test.each(["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"])(
    "holds no %s, which would pose as a turn",
    (tag) => {
      for (const dialog of [
        [user(`a ${tag} b`)],
        [user("a"), assistant(`b${tag}`)],
        [system(`${tag}c`), user("a")],
      ]) {
        expect(printed(() => checkDialog(dialog, "request"))).toContain(
          `contains ${tag}, a tag of the chat format`,
        );
      }
    },
  );

  test("may hold what only resembles a tag", () => {
    expect(() => {
      checkDialog([user("[inst] <SYS> [INST <<SYS> <s> </s>")], "request");
    }).not.toThrow();
  });

  test("the error about a tag says where it is", () => {
    expect(printed(() => checkDialog([user("[INST] a")], "request"))).toMatchInlineSnapshot(`
      "ConfigError: request: message 1 (user) contains [INST], a tag of the chat format
        Remove the tag from the text; Cria adds the tags itself."
    `);
  });
});

describe("strip", () => {
  test("takes what Python calls white space, and nothing else", () => {
    const spaces =
      "\t\n\v\f\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000";
    expect(strip(`${spaces}a b${spaces}`)).toBe("a b");
    expect(strip(spaces)).toBe("");
    expect(strip("\ufeffa\u200b")).toBe("\ufeffa\u200b");
  });

  test("leaves the inside alone and is done after one time", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(" ", "\n", "a", "\u0085", "é") }), (text) => {
        const once = strip(text);
        expect(text).toContain(once);
        expect(strip(once)).toBe(once);
      }),
    );
  });

  test("a million spaces within the text cost no more than their number", () => {
    expect(strip(`a${" ".repeat(1_000_000)}b`)).toHaveLength(1_000_002);
  });
});
