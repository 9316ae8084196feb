/**
 * Models from the Hugging Face Hub. A file is fetched beside its place and continued where it broke off, by range
 * requests; when its hash is the Hub's it is put in place.
 */

import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { open, statfs, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { downloadFile, HubApiError, listFiles } from "@huggingface/hub";
import { ConfigError, FormatError } from "../errors/errors.ts";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import {
  cachedModelFolder,
  fetchedIn,
  fetchedName,
  modelPath,
  type HubName,
} from "../formats/model-cache.ts";
import { filesToFetch, type HubFile } from "./hub-files.ts";

export interface PullOptions {
  readonly name: HubName;
  /** The Hub's address; huggingface.co when left out. */
  readonly endpoint?: string | undefined;
  /** A user's access token. */
  readonly token?: string | undefined;
  readonly onProgress?: (progress: PullProgress) => void;
  readonly signal?: AbortSignal;
  /** Waits after a connection breaks off, in milliseconds: one more attempt after each. */
  readonly waits?: readonly number[];
}

export interface PullProgress {
  readonly file: string;
  /** Of all files, with what was there before. */
  readonly done: number;
  readonly total: number;
}

export interface Pulled {
  /** What to open. */
  readonly path: string;
  readonly files: readonly string[];
  readonly bytes: number;
}

/**
 * Fetches what a model needs and is not there yet.
 *
 * @throws {ConfigError} when the Hub refuses, has no such model, cannot be reached, or the disk is full.
 * @throws {FormatError} when a file's contents are not those that the Hub lists.
 * @throws the signal's reason when it is aborted; what has come so far is kept.
 */
export async function pullModel(options: PullOptions): Promise<Pulled> {
  const { name, signal, onProgress, token = "" } = options;
  if (token !== "" && !token.startsWith("hf_")) {
    throw new ConfigError("HF_TOKEN is no token of the Hub, which begins with hf_", {
      mend: "Copy it whole from the settings of your account on the Hub.",
    });
  }
  const folder = cachedModelFolder(name);
  const files = filesToFetch(await filesOf(options), name.repo, name.file);
  const known = fetchedIn(folder);
  const isThere = ({ path, hash }: HubFile): boolean =>
    known[path] === hash && existsSync(join(folder, path));
  const missing = files.filter((file) => !isThere(file));
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = total - missing.reduce((sum, { bytes }) => sum + bytes, 0);
  mkdirSync(folder, { recursive: true });
  await checkRoom(folder, missing);
  for (const file of missing) {
    const before = done;
    await fetchFile(file, folder, options, (bytes) => {
      done = before + bytes;
      onProgress?.({ file: file.path, done, total });
    });
    signal?.throwIfAborted();
    const fetched = { ...fetchedIn(folder), [file.path]: file.hash };
    writeFileAtomically(join(folder, fetchedName), `${JSON.stringify(fetched, null, 2)}\n`);
  }
  // The Hub's choice among several is the one that was fetched.
  const [first] = files;
  const isFolder = name.file === undefined && files.some(({ path }) => path === "config.json");
  const path = isFolder ? folder : modelPath(`hf://${name.repo}:${first!.path}`);
  return { path, files: files.map((file) => file.path), bytes: total };
}

// --- internal ---

const defaultWaits = [1000, 2000, 4000, 8000, 16_000];
const publicHub = "https://huggingface.co";

/** What every request has. */
function access({ name, endpoint = publicHub, token, signal }: PullOptions) {
  return {
    repo: { type: "model" as const, name: name.repo },
    hubUrl: endpoint.replace(/\/+$/, ""),
    ...(token === undefined || token === "" ? {} : { accessToken: token }),
    fetch: (input: string | URL | Request, init?: RequestInit) =>
      fetch(input, { ...init, signal: signal ?? null }),
  };
}

async function filesOf(options: PullOptions): Promise<HubFile[]> {
  const files: HubFile[] = [];
  try {
    for await (const { type, path, size, oid = "", lfs } of listFiles({
      ...access(options),
      recursive: true,
    })) {
      // A name out of the network becomes a path here.
      const isPlain =
        path.split("/").every((part) => part !== "" && !/^\.+$/.test(part)) && !/[\\:\0]/.test(path);
      if (type !== "file" || !isPlain) continue;
      files.push({ path, bytes: lfs?.size ?? size, hash: lfs?.oid ?? oid, isLarge: lfs !== undefined });
    }
  } catch (error) {
    throw explained(error, options);
  }
  return files;
}

async function checkRoom(folder: string, files: readonly HubFile[]): Promise<void> {
  const partial = (file: HubFile): number =>
    statSync(partialName(folder, file), { throwIfNoEntry: false })?.size ?? 0;
  const wanted = files.reduce((sum, file) => sum + Math.max(0, file.bytes - partial(file)), 0);
  const { bavail, bsize } = await statfs(folder);
  if (wanted <= bavail * bsize) return;
  throw diskFull(folder, `${gigabytes(wanted)} are still to come, ${gigabytes(bavail * bsize)} are free`);
}

/** Named by its hash: what came of another version is not continued. */
function partialName(folder: string, { path, hash }: HubFile): string {
  return join(folder, `${path}.${hash.slice(0, 12)}.part`);
}

async function fetchFile(
  file: HubFile,
  folder: string,
  options: PullOptions,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const partial = partialName(folder, file);
  const waits = [...(options.waits ?? defaultWaits)];
  mkdirSync(dirname(partial), { recursive: true });
  for (;;) {
    try {
      await continueFile(file, partial, options, onBytes);
      break;
    } catch (error) {
      options.signal?.throwIfAborted();
      if ((error as NodeJS.ErrnoException).code === "ENOSPC")
        throw diskFull(folder, `while ${file.path} was written`);
      const wait = waits.shift();
      if (wait === undefined || !isBroken(error)) throw explained(error, options);
      await sleep(wait, undefined, options.signal === undefined ? {} : { signal: options.signal });
    }
  }
  const hash = await hashOf(partial, file);
  if (hash !== file.hash) {
    rmSync(partial);
    throw new FormatError(`${file.path} came with the hash ${hash}, and the Hub lists ${file.hash}`, {
      file: partial,
      mend: "It was damaged on its way and is deleted: pull again.",
    });
  }
  renameSync(partial, join(folder, file.path));
}

async function continueFile(
  file: HubFile,
  partial: string,
  options: PullOptions,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const handle = await open(partial, "a");
  try {
    let done = (await handle.stat()).size;
    if (done > file.bytes) {
      await handle.truncate(0);
      done = 0;
    }
    onBytes(done);
    if (done === file.bytes) return;
    const blob = await downloadFile({ ...access(options), path: file.path, xet: false });
    if (blob === null) throw new ConfigError(`${file.path} is listed and cannot be fetched`);
    for await (const piece of blob.slice(done).stream() as unknown as AsyncIterable<Uint8Array>) {
      await writeWhole(handle, piece);
      done += piece.length;
      onBytes(Math.min(done, file.bytes));
    }
    if (done < file.bytes) throw new BrokenOff(`${file.bytes - done} bytes of ${file.path} did not come`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A connection that ended before its file did. */
class BrokenOff extends Error {}

async function writeWhole(handle: FileHandle, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.length;) at += (await handle.write(piece, at)).bytesWritten;
}

/** Whether it is worth another attempt. */
function isBroken(error: unknown): boolean {
  if (error instanceof ConfigError) return false;
  return !(error instanceof HubApiError) || error.statusCode >= 500 || error.statusCode === 429;
}

async function hashOf(path: string, { bytes, isLarge }: HubFile): Promise<string> {
  const hash = createHash(isLarge ? "sha256" : "sha1");
  if (!isLarge) hash.update(`blob ${bytes}\0`);
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest("hex");
}

function explained(error: unknown, options: PullOptions): unknown {
  if (error instanceof ConfigError || error instanceof FormatError) return error;
  if (error instanceof HubApiError) return refusal(error, options);
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ConfigError(`${pageOf(options)} cannot be reached: ${reason}`, {
    cause: error,
    mend: "Look at the connection, and pull again: what has come so far is kept.",
  });
}

function pageOf({ name, endpoint = publicHub }: PullOptions): string {
  return `${endpoint.replace(/\/+$/, "")}/${name.repo}`;
}

function refusal(error: HubApiError, options: PullOptions): ConfigError {
  const { name, endpoint = publicHub, token = "" } = options;
  const hasToken = token !== "";
  const page = pageOf(options);
  const refused = (message: string, mend: string): ConfigError =>
    new ConfigError(message, { cause: error, mend });
  switch (error.statusCode) {
    case 401:
    case 403:
      return refused(
        `the Hub does not give ${name.repo} to ${hasToken ? "this token" : "everybody"}`,
        hasToken
          ? `Open ${page} with the token's account, accept the licence there, and wait until its owner agrees; then pull again.`
          : `Open ${page}, log in, accept the licence there; make a token that may read at ${endpoint}/settings/tokens; set HF_TOKEN to it and pull again.`,
      );
    case 404:
      return refused(
        `there is no model ${name.repo} at ${endpoint}`,
        hasToken ? "Check its spelling." : "Check its spelling; a private one wants a token in HF_TOKEN.",
      );
    default:
      return refused(
        `the Hub answered for ${name.repo} with status ${error.statusCode}`,
        "Pull again later: what has come so far is kept.",
      );
  }
}

function diskFull(folder: string, what: string): ConfigError {
  return new ConfigError(`the disk of ${folder} is full: ${what}`, {
    mend: "Make room, or set CRIA_CACHE to a folder on another disk; pull again and it goes on where it stood.",
  });
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
