/** What commands that listen share: where, who may ask, what is logged, and when they stop. */

import { existsSync, readFileSync } from "node:fs";
import { ConfigError } from "../errors/errors.ts";
import { jsonLog, readableLog } from "../serve/request-log.ts";
import { startServer, type ServerOptions } from "../serve/start.ts";
import type { Arguments, ArgumentValues, CommandContext } from "./command.ts";
import { webPages } from "./web-pages.ts";

export const serverArguments = {
  host: { type: "string", default: "127.0.0.1", valueHint: "ADDRESS", description: "Where to listen" },
  "api-key": {
    type: "string",
    multiple: true,
    valueHint: "KEY",
    description: "Wanted of clients; may be given again",
  },
  "api-key-file": { type: "string", valueHint: "FILE", description: "Keys, one a line" },
  drain: {
    type: "string",
    as: "integer",
    min: 0,
    default: "30",
    valueHint: "SECONDS",
    description: "How long requests may go on when it is told to stop",
  },
  log: {
    type: "string",
    choices: ["text", "json", "none"],
    default: "text",
    description: "A line for each request, on standard error",
  },
} as const satisfies Arguments;

/** @throws {ConfigError} for a file of keys that is not there or has none. */
export function apiKeysOf(
  args: Pick<ArgumentValues<typeof serverArguments>, "api-key" | "api-key-file">,
): string[] {
  return [...args["api-key"], ...keysIn(args["api-key-file"])];
}

/** Where the server writes. */
export function surfaceOf(
  log: string,
  { stderr }: Pick<CommandContext, "stderr">,
): Pick<ServerOptions, "report"> & Pick<ServerOptions, "log"> {
  const write = (line: string): void => void stderr.write(line);
  return {
    ...(log === "none" ? {} : { log: log === "json" ? jsonLog(write) : readableLog(write) }),
    report: (message) => write(`${message}\n`),
  };
}

/** Serves, the web pages too, until SIGTERM or Ctrl-C. @param ready told the address, once it is listened at. */
export async function serveUntilStopped(
  options: Omit<ServerOptions, "pageFolder">,
  drainSeconds: number,
  { ready, signal }: { ready: (url: string) => Promise<void> | void; signal: AbortSignal },
): Promise<void> {
  const server = await startServer({ ...options, pageFolder: await webPages(options.report) });
  try {
    await ready(server.url);
    await new Promise<void>((told) => {
      process.once("SIGTERM", () => told());
      if (signal.aborted) told();
      signal.addEventListener("abort", () => told());
    });
  } finally {
    await server.close(drainSeconds);
  }
}

// --- internal ---

function keysIn(file: string | undefined): string[] {
  if (file === undefined) return [];
  if (!existsSync(file)) {
    throw new ConfigError(`there is no file of API keys at ${file}`, { mend: "Check --api-key-file." });
  }
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.trim());
  const keys = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length > 0) return keys;
  throw new ConfigError(`${file} has no API key`, {
    mend: "Write one on a line: `openssl rand -hex 32` makes one.",
  });
}
