/**
 * Runs a command line: finds the command, reads its arguments, and turns what it throws into one message.
 *
 * Exit codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted (128 + SIGINT, as shells have it).
 */

import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { ConfigError, CriaError } from "../errors/errors.ts";
import { nearestName } from "../errors/nearest.ts";
import { parseArguments, type CommandContext } from "./command.ts";
import { commandRows, type CommandRow } from "./commands.ts";
import { commandHelp, familyHelp, generalHelp } from "./help.ts";
import { styleFor, type Style, type TextStream } from "./terminal.ts";

export const exitCodes = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** What a command line touches of its process. */
export interface Terminal {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Calls back on the first interrupt instead of ending the process. */
  readonly onInterrupt: (callback: () => void) => void;
}

/**
 * @param rows the commands that there are.
 * @returns the exit code; everything thrown is printed to stderr.
 */
export async function run(
  words: readonly string[],
  terminal: Terminal,
  rows: readonly CommandRow[] = commandRows,
): Promise<number> {
  const interrupt = new AbortController();
  try {
    return await runWords({ words, rows }, terminal, interrupt);
  } catch (error) {
    if (interrupt.signal.aborted && !(error instanceof CriaError)) {
      terminal.stderr.write("Interrupted.\n");
      return exitCodes.interrupted;
    }
    const isUsage = error instanceof UsageProblem;
    printError(isUsage ? error.cause : error, terminal);
    return isUsage ? exitCodes.usage : exitCodes.failed;
  }
}

// --- internal ---

/** Marks an error as one of the command line, not of what it did. Never leaves this file. */
class UsageProblem extends Error {
  constructor(cause: unknown) {
    super("used wrongly", { cause });
  }
}

interface Line {
  readonly words: readonly string[];
  readonly rows: readonly CommandRow[];
}

async function runWords(line: Line, terminal: Terminal, interrupt: AbortController): Promise<number> {
  const style = styleFor(terminal.stdout, terminal.environment);
  const { row, rest } = findRow(line.words[0] === "help" ? helpLine(line) : line);
  const isHelp = rest.slice(0, beforeDashes(rest)).some((word) => word === "--help" || word === "-h");
  if (row === undefined) {
    terminal.stdout.write(asUsage(() => helpWithoutCommand(line, style)));
    return exitCodes.done;
  }
  const command = await row.load();
  if (isHelp) {
    terminal.stdout.write(commandHelp(row, command, style));
    return exitCodes.done;
  }
  const args = asUsage(() => parseArguments(command.args, rest, `cria ${row.name}`));
  await command.run(args, contextOf(terminal, style, interrupt));
  return interrupt.signal.aborted ? exitCodes.interrupted : exitCodes.done;
}

/** `cria help inspect` means `cria inspect --help`. */
function helpLine({ words, rows }: Line): Line {
  return { words: [...words.slice(1), "--help"], rows };
}

function asUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new UsageProblem(error);
  }
}

/** The command whose name the words begin with. */
function findRow({ words, rows }: Line): { row: CommandRow | undefined; rest: readonly string[] } {
  for (const row of rows) {
    const name = row.name.split(" ");
    if (name.every((part, i) => words[i] === part)) return { row, rest: words.slice(name.length) };
  }
  return { row: undefined, rest: words };
}

function beforeDashes(words: readonly string[]): number {
  const at = words.indexOf("--");
  return at < 0 ? words.length : at;
}

function helpWithoutCommand({ words, rows }: Line, style: Style): string {
  const [first, ...more] = words.filter((word) => word !== "--help" && word !== "-h" && word !== "help");
  if (first === "--version" || first === "-v") return `${version()}\n`;
  if (first === undefined) return generalHelp(rows, version(), style);
  const family = rows.filter(({ name }) => name.startsWith(`${first} `));
  if (family.length > 0 && more.length === 0) return familyHelp(first, family, style);
  throw family.length > 0 ? unknownCommand(`${first} ${more[0]}`, family) : unknownCommand(first, rows);
}

function unknownCommand(name: string, rows: readonly CommandRow[]): ConfigError {
  const names = rows.map((row) => row.name);
  // `cria tokeniser` is near `cria tokenizer`, though that alone is no command.
  const firstWords = name.includes(" ") ? [] : names.map((known) => known.split(" ")[0]!);
  const nearest = nearestName(name, [...names, ...firstWords]);
  const suggestion = nearest === undefined ? "" : `Did you mean \`cria ${nearest}\`? `;
  return new ConfigError(`there is no command "${name}"`, {
    mend: `${suggestion}\`cria --help\` lists the commands.`,
  });
}

function contextOf(terminal: Terminal, style: Style, interrupt: AbortController): CommandContext {
  let isListening = false;
  return {
    stdout: terminal.stdout,
    stderr: terminal.stderr,
    style,
    get signal() {
      if (!isListening) terminal.onInterrupt(() => interrupt.abort());
      isListening = true;
      return interrupt.signal;
    },
  };
}

function printError(error: unknown, { stderr, environment }: Terminal): void {
  const style = styleFor(stderr, environment);
  const isDebug = (environment["CRIA_DEBUG"] ?? "") !== "" && environment["CRIA_DEBUG"] !== "0";
  const message = error instanceof Error ? error.message : String(error);
  stderr.write(`${style.red("Error:")} ${message}\n`);
  if (error instanceof CriaError && error.mend !== "") stderr.write(`  ${error.mend}\n`);
  if (isDebug) stderr.write(`${inspect(error)}\n`);
  else if (!(error instanceof CriaError)) {
    stderr.write("  This is not foreseen: set CRIA_DEBUG=1 to see where it happened.\n");
  }
}

function version(): string {
  const file = new URL("../../package.json", import.meta.url);
  const { version: number } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
  return number;
}
