/** All of the server: models in their processes, the app before them, a port before that. */

import { freemem } from "node:os";
import { basename } from "node:path";
import { ConfigError } from "../errors/errors.ts";
import { tensorBytes } from "../formats/tensor-info.ts";
import { readModelFiles } from "../model/load.ts";
import { createApp } from "./app.ts";
import { ModelPool, type PoolModel } from "./worker/model-pool.ts";
import type { ServedModelOptions } from "./worker/served-model.ts";
import type { ServerLimits } from "./limits.ts";
import type { RequestLog } from "./request-log.ts";
import type { RouteModule } from "./route.ts";
import { isLoopback } from "./security/origin.ts";
import { listen } from "./server.ts";
import { readStaticFiles } from "./static.ts";

export interface ServerOptions {
  /** Their ids are the paths' last parts when left out. */
  readonly models: readonly { readonly path: string; readonly id?: string }[];
  /** Of each model. */
  readonly model: Omit<ServedModelOptions, "path">;
  /** Of all open models together; what is free now, less a tenth, when left out. */
  readonly memoryBytes?: number;
  readonly host: string;
  readonly port: number;
  readonly apiKeys?: readonly string[];
  readonly corsOrigins?: readonly string[];
  readonly limits?: Partial<ServerLimits>;
  readonly log?: RequestLog;
  /** Told what goes wrong beside requests. */
  readonly report: (message: string) => void;
  /** Of the built web page; there is none when the folder is not there. */
  readonly pageFolder?: string;
  readonly routes?: readonly RouteModule[];
  /** The annotation part; who made it disposes it once the server is closed. */
  readonly annotation?: RouteModule;
}

export interface StartedServer {
  readonly url: string;
  /** Takes no new requests, and lets those that run go on for so many seconds at most. */
  close(drainSeconds: number): Promise<void>;
}

/**
 * Models are looked at now, and opened when they are asked for.
 *
 * @throws {ConfigError} for a model that is not there, or an address that cannot be listened at.
 * @throws {FormatError} for a file that is no model.
 */
export async function startServer(options: ServerOptions): Promise<StartedServer> {
  const { host, port, apiKeys = [], report, pageFolder, memoryBytes = 0.9 * freemem() } = options;
  const pool = new ModelPool(poolModels(options, memoryBytes), {
    memoryBytes,
    died: (model, reason) => report(`the process of ${model} ended (${reason}); it is started again`),
  });
  let isOpen = true;
  const page = pageFolder === undefined ? undefined : readStaticFiles(pageFolder);
  const app = createApp({
    engine: pool,
    ...optional(options, ["limits", "corsOrigins", "log", "routes", "annotation"]),
    ...(page === undefined ? {} : { page }),
    apiKeys,
    wantsLoopbackHost: isLoopback(host) && apiKeys.length === 0,
    report: (error) => report(error instanceof Error ? (error.stack ?? error.message) : String(error)),
    isOpen: () => isOpen,
  });
  const server = await listen(app, { host, port });
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${server.port}`,
    async close(drainSeconds) {
      isOpen = false;
      await server.close(drainSeconds);
      await pool.close();
    },
  };
}

/**
 * @param memoryBytes of all of them.
 * @throws {ConfigError} for two models of one name. @throws {FormatError} for a file that is no model.
 */
export function poolModels(
  { models, model }: Pick<ServerOptions, "models" | "model">,
  memoryBytes: number,
): PoolModel[] {
  const known = new Map<string, string>();
  return models.map((served) => {
    const [path, id] = [served.path, modelId(served)];
    const other = known.get(id);
    if (other !== undefined) {
      throw new ConfigError(`${other} and ${path} would both be called "${id}"`, {
        mend: "Name one, as NAME=PATH.",
      });
    }
    known.set(id, path);
    const { weightBytes, cellBytes, contextTokens } = sizesOf(path, model);
    // As many contexts as four texts of full length need, if they take no more than a quarter of the memory.
    const affordable = Math.floor(memoryBytes / 4 / cellBytes);
    const cells = model.cells ?? Math.max(contextTokens, Math.min(4 * contextTokens, affordable));
    return { id, options: { ...model, path, cells }, bytes: weightBytes + cells * cellBytes };
  });
}

/** As clients name it. */
export function modelId({ path, id }: ServerOptions["models"][number]): string {
  return id ?? basename(path).replace(/\.(gguf|bin)$/, "");
}

// --- internal ---

interface ModelSizes {
  readonly weightBytes: number;
  /** A key and a value of each layer and key-value head. */
  readonly cellBytes: number;
  readonly contextTokens: number;
}

function sizesOf(path: string, model: ServerOptions["model"]): ModelSizes {
  const { config, tensors } = readModelFiles(path);
  let weightBytes = 0;
  for (const { parts } of tensors.values()) for (const { bytes } of parts) weightBytes += bytes;
  const isF32 = tensors.get("layers.0.attention.wk.weight")?.type === "f32";
  const cacheType = model.cacheType ?? (isF32 ? "f32" : "f16");
  const cellBytes = 2 * config.nLayers * tensorBytes(cacheType, [config.nKvHeads * config.headDim]);
  return { weightBytes, cellBytes, contextTokens: model.contextTokens ?? config.maxSeqLen };
}

function optional<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Partial<Pick<T, K>> {
  return Object.fromEntries(
    keys.flatMap((key) => (from[key] === undefined ? [] : [[key, from[key]]])),
  ) as Partial<Pick<T, K>>;
}
