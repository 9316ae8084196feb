/** The program as a shell starts it: exit codes, pipes and interrupts. */

import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const bin = fileURLToPath(new URL("../../bin/cria.js", import.meta.url));
const src = fileURLToPath(new URL("../../src/", import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-process-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function cria(...words: string[]): Promise<Ended> {
  return new Promise((done) => {
    const child: ChildProcess = execFile(process.execPath, [bin, ...words], (_error, stdout, stderr) =>
      done({ code: child.exitCode, stdout, stderr }),
    );
  });
}

test("exits with 0 after help, 1 after a failure and 2 after wrong usage", async () => {
  const [help, failure, usage] = await Promise.all([
    cria("--help"),
    cria("inspect", join(folder, "absent.gguf")),
    cria("inspect", "--absent"),
  ]);
  expect(help).toMatchObject({ code: 0, stderr: "" });
  expect(help.stdout).toContain("cria <command> [options]");
  expect(failure).toMatchObject({ code: 1, stdout: "" });
  expect(failure.stderr).toMatch(/^Error: .*absent\.gguf.*\n {2}\S/);
  expect(usage).toMatchObject({ code: 2, stdout: "" });
});

test("a reader that has seen enough is no error", async () => {
  const text = join(folder, "long.txt");
  const model = join(folder, "long.model");
  writeFileSync(text, "the sea the whale the sea\n".repeat(100_000));
  expect((await cria("tokenizer", "train", text, "--vocab-size", "275", "--out", model)).code).toBe(0);
  const child = spawn(process.execPath, [bin, "tokenizer", "encode", model, "--file", text]);
  let stderr = "";
  child.stderr.on("data", (chunk) => (stderr += String(chunk)));
  await once(child.stdout, "data");
  child.stdout.destroy();
  expect(await once(child, "exit")).toEqual([0, null]);
  expect(stderr).toBe("");
});

test.skipIf(!existsSync("/dev/full"))(
  "a full disk under standard output is told in one message",
  async () => {
    const child = execFile("sh", ["-c", '"$@" > /dev/full', "sh", process.execPath, bin, "--help"]);
    const stderr = collected(child.stderr);
    expect(await once(child, "close")).toEqual([1, null]);
    expect(stderr()).toBe(
      "Error: standard output cannot be written: the disk is full\n  Send it elsewhere.\n",
    );
  },
);

describe("Ctrl-C", () => {
  const begun = `
    const { signal } = context;
    const forever = setInterval(() => {}, 1000);
    console.log("begun");
  `;

  test("once lets a command finish what it is at, and exits with 130", async () => {
    const child = start(`${begun}
      await new Promise((done) => signal.addEventListener("abort", done));
      clearInterval(forever);
      console.log("checkpoint saved");
      signal.throwIfAborted();
    `);
    const [stdout, stderr] = [collected(child.stdout), collected(child.stderr)];
    await once(child.stdout!, "data");
    child.kill("SIGINT");
    expect(await once(child, "close")).toEqual([130, null]);
    expect(stdout()).toBe("begun\ncheckpoint saved\n");
    expect(stderr()).toBe("\nStopping; press Ctrl-C again to stop at once.\nInterrupted.\n");
  });

  test("twice stops at once, with 130 too", async () => {
    const child = start(`${begun} await new Promise(() => {});`);
    await once(child.stdout!, "data");
    child.kill("SIGINT");
    await once(child.stderr!, "data");
    child.kill("SIGINT");
    expect(await once(child, "close")).toEqual([130, null]);
  });

  test("ends a command that did not ask for the signal, even one that computes without pause", async () => {
    const child = start(`console.log("begun"); for (;;);`);
    await once(child.stdout!, "data");
    child.kill("SIGINT");
    expect(await once(child, "close")).toEqual([null, "SIGINT"]);
  });
});

/** A program of one command, which asks for the signal or does not, and says when it has begun. */
function start(body: string): ChildProcess {
  const script = `
    import { processTerminal } from ${JSON.stringify(join(src, "cli/process.ts"))};
    import { run } from ${JSON.stringify(join(src, "cli/run.ts"))};
    const command = { args: {}, examples: [], async run(_args, context) { ${body} } };
    const rows = [{ name: "try", group: "Look inside", summary: "", load: async () => command }];
    process.exitCode = await run(["try"], processTerminal(), rows);
  `;
  return spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script]);
}

/** All sources that a file imports, and those import, statically. */
function closure(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(join(src, file), "utf8");
  for (const [, specifier] of text.matchAll(/^(?:import|export|\})(?! type).*? from "(\.[^"]+)";/gm)) {
    closure(resolve("/", dirname(file), specifier!).slice(1), seen);
  }
  return seen;
}

function collected(stream: NodeJS.ReadableStream | null): () => string {
  let text = "";
  stream!.on("data", (chunk) => (text += String(chunk)));
  return () => text;
}

describe("what is imported", () => {
  test("the commands on text load no native code", () => {
    for (const command of ["tokenizer", "corpus", "inspect"]) {
      const files = [...closure(`cli/commands/${command}.ts`)];
      expect(files).toContain("formats/file-source.ts");
      expect(files.filter((file) => /^(engine|tensor)\//.test(file))).toEqual([]);
    }
  });

  test("help loads no command", () => {
    expect([...closure("cli/main.ts")].filter((file) => !/^(cli|errors)\/[^/]+\.ts$/.test(file))).toEqual([]);
  });
});
