import type { Command } from "../../src/cli/command.ts";
import type { CommandRow } from "../../src/cli/commands.ts";
import { run, type Terminal } from "../../src/cli/run.ts";

/** A stream that remembers what was written. */
export class MemoryStream {
  text = "";
  readonly isTTY: boolean;
  readonly columns: number | undefined;

  constructor(isTTY = false, columns?: number) {
    this.isTTY = isTTY;
    this.columns = columns;
  }

  write(text: string): void {
    this.text += text;
  }
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process. */
export async function cria(...words: string[]): Promise<Outcome> {
  return criaWith({}, ...words);
}

export interface Surroundings {
  readonly environment?: Record<string, string>;
  readonly isTTY?: boolean;
  readonly rows?: readonly CommandRow[];
  readonly onInterrupt?: Terminal["onInterrupt"];
}

export async function criaWith(surroundings: Surroundings, ...words: string[]): Promise<Outcome> {
  const { environment = {}, isTTY = false, rows, onInterrupt = () => {} } = surroundings;
  const [stdout, stderr] = [new MemoryStream(isTTY), new MemoryStream(isTTY)];
  const code = await run(words, { stdout, stderr, environment, onInterrupt }, rows);
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** A table of one command, "try". */
export function only(command: Command): CommandRow[] {
  return [{ name: "try", group: "Look inside", summary: "Try it", load: () => Promise.resolve(command) }];
}
