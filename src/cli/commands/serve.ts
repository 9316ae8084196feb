/** `cria serve`: models behind an API that OpenAI's clients know. */

import { ConfigError } from "../../errors/errors.ts";
import { checkBlindness } from "../../serve/annotate/annotation.ts";
import { defaultLimits } from "../../serve/limits.ts";
import { cloudRoutes, clouds, type Cloud } from "../../serve/routes/cloud.ts";
import { isLoopback } from "../../serve/security/origin.ts";
import type { ServerOptions } from "../../serve/start.ts";
import { openNamedStore, servedVariants } from "../annotation-options.ts";
import { answerTokens, openAnnotation, printInvitations } from "../annotation-part.ts";
import { defineCommand, type ArgumentValues, type CommandContext } from "../command.ts";
import { contextShiftArguments, keptTokensOf } from "../context-shift-options.ts";
import { loadOptionsOf, modelArguments } from "../model-options.ts";
import { openScoring, type ScoringPart } from "../scoring-part.ts";
import { apiKeysOf, serverArguments, serveUntilStopped, surfaceOf } from "../server-options.ts";

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
  ...serverArguments,
  port: {
    type: "string",
    as: "integer",
    min: 0,
    default: "8080",
    valueHint: "N",
    description: "0 for any free one",
  },
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
    description:
      "Tokens of all texts together; four contexts by default, or what a quarter of the memory holds",
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
  cloud: {
    type: "string",
    multiple: true,
    choices: clouds,
    valueHint: "NAME",
    description: "Adds a cloud's routes: sagemaker, azure, huggingface or vertex",
  },
  reward: {
    type: "string",
    multiple: true,
    valueHint: "MODEL",
    description: "A reward model, as PATH or NAME=PATH, for /v1/score",
  },
  annotate: {
    type: "string",
    valueHint: "DIR",
    description: "Adds the annotation page, kept in this store (DATABASE_URL names a server instead)",
  },
  variant: {
    type: "string",
    multiple: true,
    valueHint: "NAME@T",
    description: "What new batches compare: a model's name and a temperature; all models by default",
  },
  lead: {
    type: "string",
    valueHint: "NAME",
    description: "With --annotate, print a link to sign in by as a lead",
  },
  "answer-tokens": {
    type: "string",
    as: "integer",
    min: 1,
    valueHint: "N",
    description: `With --annotate, the longest answer that is compared; ${answerTokens} by default`,
  },
} as const;

type ServeArguments = ArgumentValues<typeof serveArguments>;

export const serve = defineCommand({
  details:
    "OpenAI's clients work with it when their base URL is http://127.0.0.1:8080/v1. It listens to this machine only; to " +
    "listen to others, give --host 0.0.0.0 and an API key. SIGTERM or Ctrl-C lets running requests end first. A text " +
    'that fills its context ends with "length"; with --context-shift it goes on, up to --max-tokens. That is off by default ' +
    "because no client is told what the model no longer sees, and because a model that never ends a text then writes on " +
    "until --timeout. With --annotate, people compare answers of its models at /annotate/: they sign in by " +
    "a lead's invitations, and have no key.",
  args: serveArguments,
  examples: [
    "cria serve runs/speedrun/model",
    "cria serve chat=llama-2-7b-chat.q4_k_m.gguf tiny=tinyllama/ --host 0.0.0.0 --api-key-file keys.txt --log json",
    "cria serve new=runs/v2/model old=runs/v1/model --annotate annotations --lead Lea --api-key-file keys.txt",
  ],
  async run(args, context) {
    using scoring = openScoring(args.reward.map(modelOf), args);
    const options = optionsOf(args, context, scoring);
    const listening = (url: string): void => void context.stderr.write(`Listening at ${url}\n`);
    if (args.annotate === undefined) {
      if (args.variant.length > 0) throw withoutAnnotation("variant");
      for (const name of ["lead", "answer-tokens"] as const)
        if (args[name] !== undefined) throw withoutAnnotation(name);
      await serveUntilStopped(options, args.drain, { ready: listening, signal: context.signal });
      return;
    }
    checkBlindness(options.apiKeys ?? []);
    if (args.cloud.length > 0) {
      throw new ConfigError(`--cloud ${args.cloud[0]} answers without a key, which --annotate cannot`, {
        mend: "Give the annotation page a server of its own.",
      });
    }
    const maxTokens = comparedTokens(args);
    const variants = servedVariants(args.variant, options.models);
    await using database = await openNamedStore(args.annotate);
    await using annotation = openAnnotation({
      database,
      variants,
      models: options.models,
      maxTokens,
      report: options.report,
    });
    await serveUntilStopped({ ...options, annotation: annotation.routes }, args.drain, {
      signal: context.signal,
      async ready(url) {
        const { lead } = args;
        await printInvitations(url, { database, lead, people: [] }, context.stdout);
        listening(url);
      },
    });
  },
});

// --- internal ---

/** @throws {ConfigError} when other machines could ask without a key. */
function optionsOf(args: ServeArguments, context: CommandContext, scoring: ScoringPart): ServerOptions {
  const apiKeys = apiKeysOf(args);
  if (!isLoopback(args.host) && apiKeys.length === 0 && !args["unsafe-no-auth"]) {
    throw new ConfigError(`--host ${args.host} lets other machines ask, and no API key is wanted of them`, {
      mend: "Give --api-key-file FILE or --api-key KEY; or --unsafe-no-auth where something else keeps strangers out.",
    });
  }
  const { memory } = args;
  return {
    models: args.models.map(modelOf),
    host: args.host,
    port: args.cloud.includes("vertex") ? Number(process.env["AIP_HTTP_PORT"] ?? args.port) : args.port,
    model: modelSettingsOf(args),
    ...(memory === undefined ? {} : { memoryBytes: 1e9 * memory }),
    apiKeys,
    corsOrigins: args["cors-origin"],
    routes: [...args.cloud.map((cloud) => cloudRoutes(cloud as Cloud, process.env)), ...scoring.routes],
    limits: { maxTokens: args["max-tokens"], requestSeconds: args.timeout },
    ...surfaceOf(args.log, context),
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

/** @throws {ConfigError} for answers that are longer than the server gives. */
function comparedTokens({ "answer-tokens": tokens, "max-tokens": most }: ServeArguments): number {
  if (tokens === undefined || tokens <= most) return tokens ?? Math.min(answerTokens, most);
  throw new ConfigError(`--answer-tokens ${tokens} is more than the server's --max-tokens ${most}`, {
    mend: `Give --max-tokens ${tokens} too, or fewer --answer-tokens.`,
  });
}

function withoutAnnotation(name: string): ConfigError {
  return new ConfigError(`--${name} is of the annotation page, and there is none`, {
    mend: "Give --annotate DIR too.",
  });
}

/** `NAME=PATH`, or a path. */
function modelOf(text: string): { readonly path: string; readonly id?: string } {
  const [, id, path] = /^([\w.:-]+)=(.+)$/.exec(text) ?? [];
  return id === undefined || path === undefined ? { path: text } : { id, path };
}
