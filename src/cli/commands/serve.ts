/** `cria serve`: models behind an API that OpenAI's clients know. */

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../../errors/errors.ts";
import { defaultLimits } from "../../serve/limits.ts";
import { jsonLog, readableLog } from "../../serve/request-log.ts";
import { cloudRoutes, clouds, type Cloud } from "../../serve/routes/cloud.ts";
import { isLoopback } from "../../serve/security/origin.ts";
import { startServer, type ServerOptions } from "../../serve/start.ts";
import { defineCommand, type ArgumentValues } from "../command.ts";
import { contextShiftArguments, keptTokensOf } from "../context-shift-options.ts";
import { loadOptionsOf, modelArguments } from "../model-options.ts";
import type { TextStream } from "../terminal.ts";

const { model: _, ...sharedArguments } = modelArguments;

const serveArguments = {
  models: {
    type: "positional",
    required: true,
    multiple: true,
    valueHint: "MODEL",
    description: "Models, as PATH or NAME=PATH; opened when they are asked for",
  },
  ...sharedArguments,
  host: { type: "string", default: "127.0.0.1", valueHint: "ADDRESS", description: "Where to listen" },
  port: {
    type: "string",
    as: "integer",
    min: 0,
    default: "8080",
    valueHint: "N",
    description: "0 for any free one",
  },
  "api-key": {
    type: "string",
    multiple: true,
    valueHint: "KEY",
    description: "Wanted of clients; may be given again",
  },
  "api-key-file": { type: "string", valueHint: "FILE", description: "Keys, one a line" },
  "unsafe-no-auth": { type: "boolean", description: "Listen to other machines without a key" },
  "cors-origin": {
    type: "string",
    multiple: true,
    valueHint: "ORIGIN",
    description: "Whose pages may ask, such as https://example.org",
  },
  parallel: {
    type: "string",
    as: "integer",
    min: 1,
    default: "16",
    valueHint: "N",
    description: "Texts written at a time, for each model",
  },
  queue: {
    type: "string",
    as: "integer",
    min: 0,
    default: "256",
    valueHint: "N",
    description: "Requests that may wait; more are told to come again",
  },
  cells: {
    type: "string",
    as: "integer",
    min: 1,
    valueHint: "N",
    description: "Tokens of all texts together; four contexts by default",
  },
  ...contextShiftArguments,
  memory: {
    type: "string",
    as: "number",
    min: 0,
    valueHint: "GB",
    description: "Of all open models; what is free by default",
  },
  "max-tokens": {
    type: "string",
    as: "integer",
    min: 1,
    default: String(defaultLimits.maxTokens),
    valueHint: "N",
    description: "Longest answer that can be asked for",
  },
  timeout: {
    type: "string",
    as: "integer",
    min: 1,
    default: String(defaultLimits.requestSeconds),
    valueHint: "SECONDS",
    description: "Longest that one request may take",
  },
  drain: {
    type: "string",
    as: "integer",
    min: 0,
    default: "30",
    valueHint: "SECONDS",
    description: "How long requests may go on when it is told to stop",
  },
  cloud: {
    type: "string",
    multiple: true,
    choices: clouds,
    valueHint: "NAME",
    description: "Adds a cloud's routes: sagemaker, azure, huggingface or vertex",
  },
  log: {
    type: "string",
    choices: ["text", "json", "none"],
    default: "text",
    description: "A line for each request, on standard error",
  },
} as const;

type ServeArguments = ArgumentValues<typeof serveArguments>;

export const serve = defineCommand({
  details:
    "OpenAI's clients work with it when their base URL is http://127.0.0.1:8080/v1. It listens to this machine only; to " +
    "listen to others, give --host 0.0.0.0 and an API key. SIGTERM or Ctrl-C lets running requests end first. A text " +
    'that fills its context ends with "length"; with --context-shift it goes on up to --max-tokens, which is off by ' +
    "default because a client is not told what the model no longer sees, and because a model that never ends a text " +
    "then writes on until --timeout.",
  args: serveArguments,
  examples: [
    "cria serve runs/speedrun/model",
    "cria serve chat=llama-2-7b-chat.q4_k_m.gguf tiny=tinyllama/ --host 0.0.0.0 --api-key-file keys.txt --log json",
  ],
  async run(args, { stderr, signal }) {
    const server = await startServer(optionsOf(args, stderr));
    stderr.write(`Listening at ${server.url}\n`);
    const terminate = new Promise<void>((told) => {
      process.once("SIGTERM", () => told());
      signal.addEventListener("abort", () => told());
    });
    await terminate;
    await server.close(args.drain);
  },
});

// --- internal ---

/** @throws {ConfigError} when other machines could ask without a key. */
function optionsOf(args: ServeArguments, stderr: TextStream): ServerOptions {
  const apiKeys = [...args["api-key"], ...keysIn(args["api-key-file"])];
  if (!isLoopback(args.host) && apiKeys.length === 0 && !args["unsafe-no-auth"]) {
    throw new ConfigError(`--host ${args.host} lets other machines ask, and no API key is wanted of them`, {
      mend: "Give --api-key-file FILE or --api-key KEY; or --unsafe-no-auth where something else keeps strangers out.",
    });
  }
  const write = (line: string): void => void stderr.write(line);
  const { memory } = args;
  return {
    models: args.models.map(modelOf),
    host: args.host,
    port: args.cloud.includes("vertex") ? Number(process.env["AIP_HTTP_PORT"] ?? args.port) : args.port,
    model: modelSettingsOf(args),
    ...(memory === undefined ? {} : { memoryBytes: 1e9 * memory }),
    apiKeys,
    corsOrigins: args["cors-origin"],
    routes: args.cloud.map((cloud) => cloudRoutes(cloud as Cloud, process.env)),
    limits: { maxTokens: args["max-tokens"], requestSeconds: args.timeout },
    ...(args.log === "none" ? {} : { log: args.log === "json" ? jsonLog(write) : readableLog(write) }),
    report: (message) => write(`${message}\n`),
    pageFolder: fileURLToPath(new URL("../../../dist/web", import.meta.url)),
  };
}

/** @throws {ConfigError} for a type of cache that there is not, and for --keep without --context-shift. */
function modelSettingsOf(args: ServeArguments): ServerOptions["model"] {
  const { parallel, queue, cells } = args;
  const keep = keptTokensOf(args);
  return {
    ...loadOptionsOf(args),
    parallel,
    queue,
    ...(cells === undefined ? {} : { cells }),
    ...(keep === undefined ? {} : { contextShift: { keep } }),
  };
}

function keysIn(file: string | undefined): string[] {
  if (file === undefined) return [];
  if (!existsSync(file)) throw new ConfigError(`there is no file of API keys at ${file}`);
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.trim());
  const keys = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length > 0) return keys;
  throw new ConfigError(`${file} has no API key`, {
    mend: "Write one on a line: `openssl rand -hex 32` makes one.",
  });
}

/** `NAME=PATH`, or a path. */
function modelOf(text: string): { readonly path: string; readonly id?: string } {
  const [, id, path] = /^([\w.:-]+)=(.+)$/.exec(text) ?? [];
  return id === undefined || path === undefined ? { path: text } : { id, path };
}
