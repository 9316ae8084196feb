import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { dialogOfTranscript } from "../../src/dialog/hh-rlhf.ts";
import type { Dialog } from "../../src/dialog/message.ts";
import { checkDialog } from "../../src/dialog/message.ts";
import { readDialogs } from "../../src/dialog/readers.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { printed } from "./printed.ts";

const folder = mkdtempSync(join(tmpdir(), "cria-readers-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** The error of reading `content`, with paths relative to the file's folder. */
function refusal(name: string, content: string | Uint8Array): string {
  return printed(() => readDialogs(file(name, content)), folder + sep);
}

const lines = (...records: readonly unknown[]): string =>
  records.map((record) => JSON.stringify(record)).join("\n");
const qa = (question: string, answer: string): Dialog => [
  { role: "user", content: question },
  { role: "assistant", content: answer },
];

describe("the format is told by the keys", () => {
  test.each<[string, unknown, Dialog]>([
    ["messages", { messages: qa("a", "b") }, qa("a", "b")],
    [
      "sharegpt",
      {
        conversations: [
          { from: "human", value: "a" },
          { from: "gpt", value: "b" },
        ],
      },
      qa("a", "b"),
    ],
    [
      "sharegpt",
      {
        system: "s",
        conversations: [
          { from: "user", value: "a" },
          { from: "chatgpt", value: "b" },
        ],
      },
      [{ role: "system", content: "s" }, ...qa("a", "b")],
    ],
    ["alpaca", { instruction: "a", output: "b" }, qa("a", "b")],
    ["alpaca", { instruction: "Add", input: "1 and 2", output: "3" }, qa("Add\n\n1 and 2", "3")],
    ["alpaca", { instruction: "a", input: " ", system: null, output: "b" }, qa("a", "b")],
    [
      "alpaca",
      { instruction: "c", output: "d", system: "s", history: [["a", "b"]] },
      [{ role: "system", content: "s" }, ...qa("a", "b"), ...qa("c", "d")],
    ],
    ["self-instruct", { instruction: "a", instances: [{ input: "", output: "b" }] }, qa("a", "b")],
    ["prompt-response", { prompt: "a", response: "b" }, qa("a", "b")],
    ["prompt-response", { prompt: "a", completion: "b" }, qa("a", "b")],
    ["prompt", { prompt: "a" }, [{ role: "user", content: "a" }]],
    [
      "hh-rlhf",
      { chosen: "\n\nHuman: a\n\nAssistant: b", rejected: "\n\nHuman: a\n\nAssistant: c" },
      qa("a", "b"),
    ],
    [
      "openassistant",
      { prompt: { text: "a", role: "prompter", replies: [{ text: "b", role: "assistant", replies: [] }] } },
      qa("a", "b"),
    ],
  ])("%s: %j", (format, record, dialog) => {
    expect(readDialogs(file("detect.jsonl", lines(record)))).toEqual({ dialogs: [dialog], format });
  });

  test("keys that no format has are not in the way", () => {
    const path = file("extra.jsonl", lines({ id: 1, messages: qa("a", "b"), topic: "sea" }));
    expect(readDialogs(path).dialogs).toEqual([qa("a", "b")]);
  });

  test("a self-instruct task is a dialog per instance", () => {
    const instances = [{ input: "1", output: "one" }, { output: "none" }];
    expect(readDialogs(file("tasks.jsonl", lines({ instruction: "Name", instances }))).dialogs).toEqual([
      qa("Name\n\n1", "one"),
      qa("Name", "none"),
    ]);
  });
});

const reply = (text: string, rank: number | null, more: object = {}) => ({
  text,
  role: "assistant",
  rank,
  ...more,
});

describe("an OpenAssistant tree", () => {
  test("is read along its best-ranked replies, deleted ones left out, up to the last answer", () => {
    const replies = [
      reply("worse", 1),
      reply("deleted", 0, { deleted: true }),
      reply("best", 0, { replies: [{ text: "And then?", role: "prompter", replies: [] }] }),
      reply("unranked", null),
    ];
    const path = file("tree.jsonl", lines({ prompt: { text: "a", role: "prompter", replies } }));
    expect(readDialogs(path).dialogs).toEqual([qa("a", "best")]);
  });

  test("that nobody answered is no dialog", () => {
    const silent = { prompt: { text: "?", role: "prompter", replies: [] } };
    const answered = { prompt: { text: "a", role: "prompter", replies: [reply("b", 0)] } };
    expect(readDialogs(file("silent.jsonl", lines(silent, answered))).dialogs).toEqual([qa("a", "b")]);
    expect(refusal("silent.jsonl", lines(silent))).toMatchInlineSnapshot(`
      "ConfigError: silent.jsonl: no record has an answer
        Give at least one answered prompt."
    `);
  });
});

describe("an hh-rlhf transcript", () => {
  test("loses the space around its turns", () => {
    expect(dialogOfTranscript("\n\nHuman: a\n\nb \n\nAssistant:  c\n")).toEqual(qa("a\n\nb", "c"));
  });

  test("with two turns of one speaker running has them as one message", () => {
    expect(dialogOfTranscript("\n\nHuman: a\n\nHuman: b\n\nAssistant: c")).toEqual(qa("a\n\nb", "c"));
  });

  test("that opens otherwise is refused", () => {
    expect(refusal("hh.jsonl", lines({ chosen: "Hi", rejected: "" }))).toMatchInlineSnapshot(`
      "FormatError: hh.jsonl: line 1: the transcript does not begin with "\\n\\nHuman:"
        Open every turn with a blank line and "Human:" or "Assistant:"."
    `);
  });
});

describe("a file", () => {
  test("may have blank lines, CRLF and a byte order mark", () => {
    const text = `\ufeff\r\n${lines({ prompt: "a", response: "b" })}\r\n \n${lines({ prompt: "c", response: "d" })}\r\n`;
    expect(readDialogs(file("blank.jsonl", text)).dialogs).toEqual([qa("a", "b"), qa("c", "d")]);
  });

  test.each([
    ["an array", (records: unknown[]) => JSON.stringify(records, undefined, 2)],
    ["an array on one line", (records: unknown[]) => JSON.stringify(records)],
    ["lines", (records: unknown[]) => lines(...records)],
  ])("called .json may hold %s", (_kind, write) => {
    const text = write([
      { prompt: "a", response: "b" },
      { prompt: "c", response: "d" },
    ]);
    expect(readDialogs(file("any.json", text)).dialogs).toEqual([qa("a", "b"), qa("c", "d")]);
  });

  test("called .json may hold a single object", () => {
    const text = JSON.stringify({ messages: qa("a", "b") }, undefined, 2);
    expect(readDialogs(file("single.json", text)).dialogs).toEqual([qa("a", "b")]);
  });

  test("of valid dialogs is read back as they were, lines or array", () => {
    const text = fc.string({ unit: "grapheme", minLength: 1 }).map((s) => `x${s.replaceAll(/\p{Cs}/gu, "")}`);
    const pair = fc.tuple(text, text).map(([a, b]) => qa(a, b));
    const some = fc
      .array(pair, { minLength: 1, maxLength: 5 })
      .filter((dialogs) => !/\[\/?INST\]|<<\/?SYS>>/.test(JSON.stringify(dialogs)));
    fc.assert(
      fc.property(some, (dialogs) => {
        const records = dialogs.map((messages) => ({ messages }));
        expect(readDialogs(file("back.jsonl", lines(...records))).dialogs).toEqual(dialogs);
        expect(readDialogs(file("back.json", JSON.stringify(records))).dialogs).toEqual(dialogs);
      }),
      { numRuns: 50 },
    );
  });

  test("that is missing, empty or of another kind is refused", () => {
    expect(printed(() => readDialogs(join(folder, "none.jsonl")), folder + sep)).toMatchInlineSnapshot(`
      "ConfigError: none.jsonl: no such file
        Check the path."
    `);
    expect(refusal("empty.jsonl", "")).toMatchInlineSnapshot(`
      "ConfigError: empty.jsonl: the file is empty
        Write at least one JSON object into it."
    `);
    expect(refusal("empty.jsonl", " \n\n")).toContain("the file is empty");
    expect(refusal("empty.json", "[]")).toMatchInlineSnapshot(`
      "ConfigError: empty.json: the array is empty
        Write at least one JSON object into it."
    `);
    expect(refusal("table.csv", "a,b")).toMatchInlineSnapshot(`
      "ConfigError: table.csv: not a .jsonl or .json file
        Convert it to JSON Lines: one JSON object per line."
    `);
  });

  test("that is not UTF-8 is refused", () => {
    expect(refusal("latin.jsonl", Uint8Array.of(0x22, 0xe9, 0x22))).toMatchInlineSnapshot(`
      "FormatError: latin.jsonl: not UTF-8 text
        Save the file as UTF-8."
    `);
  });

  test("larger than text can be is refused without being read", () => {
    const path = file("huge.jsonl", "{");
    truncateSync(path, 2 ** 40);
    expect(printed(() => readDialogs(path), folder + sep)).toMatchInlineSnapshot(`
      "ConfigError: huge.jsonl: 1099511627776 bytes are more than the 536869888 that fit in memory as text
        Split the file into parts."
    `);
    rmSync(path);
  });
});

describe("the line at fault is named", () => {
  const good = { prompt: "a", response: "b" };

  test("when it is not JSON", () => {
    expect(refusal("bad.jsonl", `${lines(good)}\n\n{"prompt": "a"`)).toContain(
      "FormatError: bad.jsonl: line 3: not valid JSON\n  The parser says: ",
    );
  });

  test("when it is not an object", () => {
    expect(refusal("bad.jsonl", lines(good, "text"))).toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 2: a string where an object is expected
        Give one JSON object per record."
    `);
    expect(refusal("bad.json", '[{"prompt": "a", "response": "b"},\n[1]]')).toMatchInlineSnapshot(`
      "FormatError: bad.json: line 2: an array where an object is expected
        Give one JSON object per record."
    `);
  });

  test("when its keys are of no format", () => {
    expect(refusal("bad.jsonl", lines({ question: "a", answer: "b" }))).toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 1: keys (question, answer) are of no known format
        Give every record the keys (messages) or (conversations) or (instruction, instances) or (instruction, output) or (prompt.replies) or (prompt, response (or completion)) or (prompt) or (chosen, rejected)."
    `);
  });

  test("when its keys are of another format than the first", () => {
    expect(refusal("bad.jsonl", lines(good, { prompt: "a" }))).toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 2: keys (prompt) are not those of format prompt-response, as in the first record
        Give every record the keys prompt, response (or completion), or put other formats in files of their own."
    `);
    expect(refusal("bad.jsonl", lines(good, good, { instruction: "a", output: "b" }))).toContain("line 3: ");
  });

  test("when a field is not what it must be", () => {
    expect(refusal("bad.jsonl", lines({ prompt: "a", response: 3 }))).toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 1: "response" is a number, not text
        Give "response" as a JSON string."
    `);
    expect(refusal("bad.jsonl", lines({ messages: "a" }))).toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 1: "messages" is a string, not an array
        Give "messages" as an array of objects."
    `);
    expect(refusal("bad.jsonl", lines({ messages: [null] }))).toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 1: "messages" has null at place 1, not an object
        Give "messages" as an array of objects."
    `);
    expect(refusal("bad.jsonl", lines({ messages: [{ role: "user" }] }))).toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 1: "content" is missing, not text
        Give "content" as a JSON string."
    `);
    expect(refusal("bad.jsonl", lines({ messages: [{ role: "tool", content: "a" }] })))
      .toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 1: role "tool" is not one of Llama 2's
        Use system, user or assistant."
    `);
    expect(refusal("bad.jsonl", lines({ conversations: [{ from: "bot", value: "a" }] })))
      .toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 1: "from" is "bot", a speaker that Llama 2's format has no role for
        Use one of system, human, user, gpt, chatgpt, assistant."
    `);
    expect(refusal("bad.jsonl", lines({ instruction: "a", output: "b", history: ["c"] })))
      .toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 1: "history" is not an array of [question, answer]
        Give the turns before as [["question", "answer"], ...], or leave "history" out."
    `);
  });

  test("when the dialog breaks the rules of the chat format", () => {
    expect(refusal("bad.jsonl", lines(good, { prompt: "a", response: " " }))).toMatchInlineSnapshot(`
      "FormatError: bad.jsonl: line 2: dialog: message 2 (assistant) is empty
        Drop the message, or the whole dialog."
    `);
    expect(refusal("bad.jsonl", lines(good, { prompt: "[INST]", response: "b" }))).toContain(
      "line 2: dialog: message 1 (user) contains [INST]",
    );
  });

  test("also within an array of many lines, whatever its strings hold", () => {
    const records = [
      { prompt: 'a "quoted\\" [{,', response: "]}\n" },
      { prompt: "{", response: "b" },
      { prompt: "a", response: "" },
    ];
    const text = JSON.stringify(records, undefined, 2);
    const line = text.split("\n").lastIndexOf("  {") + 1;
    expect(line).toBe(10);
    expect(refusal("bad.json", text)).toContain(
      `bad.json: line ${line}: dialog: message 2 (assistant) is empty`,
    );
  });

  test.each([
    ["a missing comma", '[{"prompt": "a"}\n{"prompt": "b"}]', 2],
    ["a trailing comma in an object", '[\n{"prompt": "a"},\n{"prompt": "b",}]', 3],
    ["a stray word", '[\n{"prompt": "a"},\n\n{"prompt": b}]', 4],
    ["an end too early", '[\n{"prompt": "a"},\n{"prompt": "b"', 3],
    ["a missing bracket", '[{"prompt": "a"},\n{"prompt": "b"}\n', 3],
    ["a comma at the end", '[{"prompt": "a"},\n]', 2],
    ["text after the array", '[{"prompt": "a"}]\n\nend', 3],
  ])("also where an array is broken by %s", (_what, text, line) => {
    expect(refusal("broken.json", text)).toContain(`broken.json: line ${line}: not valid JSON`);
  });
});

describeWithSharedData("published data sets", () => {
  test.each([
    ["llamafactory/alpaca_en_demo.part1.json", "alpaca", 699],
    ["llamafactory/identity.json", "alpaca", 91],
    ["fastchat/dummy_conversation.json", "sharegpt", 500],
    ["llm-foundry/dolly_hhrlhf_train_small.part1.jsonl", "prompt-response", 700],
    ["openassistant/en_100_tree.jsonl", "openassistant", 100],
  ])("%s is read whole", (name, format, count) => {
    const file = readDialogs(sharedFile(`sft/${name}`));
    expect(file.format).toBe(format);
    expect(file.dialogs).toHaveLength(count);
    expect(file.dialogs.every((dialog) => dialog.at(-1)!.role === "assistant")).toBe(true);
  });

  test("self-instruct tasks are as many dialogs as instances", () => {
    const text = readFileSync(sharedFile("sft/self-instruct/user_oriented_instructions.jsonl"), "utf8");
    const { dialogs } = readDialogs(sharedFile("sft/self-instruct/user_oriented_instructions.jsonl"));
    expect(dialogs).toHaveLength(text.match(/"output":/g)!.length);
  });

  test("all but a few hh-rlhf pairs, with empty answers, are valid dialogs", () => {
    const records = gunzipSync(
      readFileSync(sharedFile("preferences/hh-rlhf/harmless-base.test.part1.jsonl.gz")),
    )
      .toString()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { chosen: string; rejected: string });
    const sides = records.flatMap(({ chosen, rejected }) => [chosen, rejected]);
    const invalid = sides.map(dialogOfTranscript).filter((dialog) => {
      try {
        checkDialog(dialog, "");
        return false;
      } catch {
        return true;
      }
    });
    expect(sides).toHaveLength(2312);
    expect(invalid.map((dialog) => dialog.filter(({ content }) => content === "").length)).toEqual([
      1, 1, 1, 1,
    ]);
  });
});
