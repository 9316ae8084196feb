/**
 * Models of the Hugging Face Hub on this machine, under the names that they have there: `hf://owner/name`, or
 * `hf://owner/name:file` for one file of several. What was fetched whole is listed beside it, and only that is opened.
 */

import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { ConfigError } from "../errors/errors.ts";

/** A model on the Hub. */
export interface HubName {
  /** `owner/name`. */
  readonly repo: string;
  /** One file of it. */
  readonly file: string | undefined;
}

/** What was fetched of a model: the files' names in the repository, and their hashes there. */
export type Fetched = Readonly<Record<string, string>>;

/** Undefined for a path of this machine. @throws {ConfigError} for a name on the Hub that cannot be one. */
export function hubName(path: string): HubName | undefined {
  if (!path.startsWith(scheme)) return undefined;
  const match = /^([\w.-]+\/[\w.-]+)(?::([\w .+/-]+))?$/.exec(path.slice(scheme.length));
  const [, repo = "", file] = match ?? [];
  const hasDots = [...repo.split("/"), ...(file ?? "").split("/")].some((part) => /^\.+$/.test(part));
  if (match !== null && !hasDots && !file?.startsWith("/")) return { repo, file };
  throw new ConfigError(`${JSON.stringify(path)} is no name on the Hugging Face Hub`, {
    mend: "Write hf://owner/name, or hf://owner/name:file for one of its files.",
  });
}

/** Where a model of the Hub lies on this machine. */
export function cachedModelFolder({ repo }: HubName): string {
  const { CRIA_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = CRIA_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), ".cache"), "cria");
  return join(cache, "models", ...repo.split("/"));
}

/** What a folder has that was fetched whole. */
export function fetchedIn(folder: string): Fetched {
  const file = join(folder, fetchedName);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Fetched) : {};
}

/** Beside the model: which files are whole. */
export const fetchedName = ".cria-fetched.json";

/**
 * The path of a model: itself, or for `hf://owner/name` where it was fetched to. Nothing is fetched here.
 *
 * @throws {ConfigError} when it was not fetched, or it is not clear which of its files is meant.
 */
export function modelPath(path: string): string {
  const name = hubName(path);
  if (name === undefined) return path;
  const folder = cachedModelFolder(name);
  const files = Object.keys(fetchedIn(folder)).filter((file) => existsSync(join(folder, file)));
  if (name.file !== undefined) {
    if (files.includes(name.file)) return join(folder, name.file);
    throw notFetched(path);
  }
  if (files.includes("config.json")) return folder;
  // Of a model in several files the first is the one to open.
  const models = files.filter(
    (file) => file.endsWith(".gguf") && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/.test(file),
  );
  if (models.length === 1) return join(folder, models[0]!);
  if (models.length === 0) throw notFetched(path);
  throw new ConfigError(
    `${path} has several models here: ${models.map((file) => basename(file)).join(", ")}`,
    {
      mend: `Name one, for instance ${scheme}${name.repo}:${models[0]!}.`,
    },
  );
}

// --- internal ---

const scheme = "hf://";

function notFetched(path: string): ConfigError {
  return new ConfigError(`${path} is not on this machine`, { mend: `Fetch it with: cria pull ${path}` });
}
