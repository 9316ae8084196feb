/**
 * Writing that leaves the old or the new under a name, never a part of it, whenever the process dies.
 *
 * A file is written under a temporary name beside its target, synced, and renamed over it; POSIX rename
 * replaces in one step. A directory that exists cannot be replaced in one step, so:
 *
 *     1. fill     .tmp-new        the target is still the old one
 *     2. rename   target -> .old  the target is missing: recovery puts .old back
 *     3. rename   .tmp-new -> target
 *     4. rename   .old -> .tmp-old, delete it
 *
 * `.old` is thus whole whenever it exists, and deletes happen under a `.tmp` name only. Temporary names carry
 * the writer's process number, so that recovery leaves writers at work on this machine alone. Two writers of
 * one target both succeed; the later one stays.
 */

import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, sep } from "node:path";
import { ConfigError, CriaError } from "../errors/errors.ts";

/** @throws {ConfigError} when the disk is full or the place cannot be written; what stood there stays. */
export function writeFileAtomically(path: string, data: string | Uint8Array): void {
  const bytes = typeof data === "string" ? Buffer.from(data, "utf8") : data;
  writeAtomically(path, (fd) => writeBytes(fd, bytes));
}

/**
 * The streaming form of `writeFileAtomically`.
 *
 * @param write puts the content into an open file; what it throws leaves the old file in place.
 */
export function writeAtomically(path: string, write: (fd: number) => void): void {
  const temporary = temporaryName(path, "tmp");
  withMend(path, temporary, () => {
    const fd = openSync(temporary, "wx");
    try {
      write(fd);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    syncDirectory(dirname(path));
  });
}

/** The same, for content that comes in pieces over time. */
export async function streamAtomically(path: string, write: (fd: number) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path, "tmp");
  try {
    const fd = openSync(temporary, "wx");
    try {
      await write(fd);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    syncDirectory(dirname(path));
  } catch (cause) {
    throw abandoned(path, temporary, cause);
  }
}

/** Writes all of the bytes; a single write call may take fewer, and never more than 2 GiB. */
export function writeBytes(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, Math.min(bytes.length - done, maxWriteBytes));
  }
}

/**
 * Creates or replaces a directory. See the head of this file for what stands on disk at each step.
 *
 * @param fill puts the content into the temporary directory that it is given.
 * @throws {ConfigError} when the disk is full, the place cannot be written, or `path` is a file.
 */
export function writeDirectoryAtomically(path: string, fill: (temporary: string) => void): void {
  const temporary = temporaryName(path, "tmp");
  withMend(path, temporary, () => {
    refuseFile(path);
    mkdirSync(temporary);
    fill(temporary);
    putInPlace(temporary, path);
  });
}

/** The same, for content that comes in pieces over time. */
export async function fillDirectoryAtomically(
  path: string,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path, "tmp");
  try {
    refuseFile(path);
    mkdirSync(temporary);
    await fill(temporary);
    putInPlace(temporary, path);
  } catch (cause) {
    throw abandoned(path, temporary, cause);
  }
}

/** What the system's error of a write to `path` means to a user; undefined when it is none that is known. */
export function unwritable(path: string, cause: unknown): ConfigError | undefined {
  const reason = reasons[(cause as NodeJS.ErrnoException).code ?? ""];
  if (reason === undefined) return undefined;
  const [problem, mend] = reason;
  return new ConfigError(`${path} cannot be written: ${problem}`, { mend, cause });
}

/**
 * Clears what writers that died left in a directory, and puts back the directories they had set aside.
 * Call it where only this machine writes: a writer on another one would look dead.
 */
export function removeStaleTemporaries(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory)) {
    const match = temporaryPattern.exec(entry);
    if (match === null || isAtWork(Number(match[2]), match[3]!)) continue;
    const path = join(directory, entry);
    const target = join(directory, match[4]!);
    if (match[1] === "tmp") rmSync(path, { recursive: true, force: true });
    else if (existsSync(target)) discard(path);
    else renameIfThere(path, target);
  }
  syncDirectory(directory);
}

// --- internal ---

const maxWriteBytes = 2 ** 30;

/** Tells this process from a dead one of the same number, which in a container is the rule. */
const session = randomBytes(4).toString("hex");

const temporaryPattern = /^\.(tmp|old)-(\d{1,10})-([0-9a-f]{8})-[0-9a-f]{8}-(.+)$/s;

function temporaryName(path: string, kind: "tmp" | "old"): string {
  const unique = randomBytes(4).toString("hex");
  return join(dirname(path), `.${kind}-${process.pid}-${session}-${unique}-${basename(path)}`);
}

function isAtWork(pid: number, itsSession: string): boolean {
  if (pid === process.pid) return itsSession === session;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function refuseFile(path: string): void {
  if (!existsSync(path) || statSync(path).isDirectory()) return;
  throw new ConfigError(`${path} is a file, where a directory is to be written`, {
    mend: "Move the file away or choose another name.",
  });
}

/** Steps 2 to 4 of a directory's replacement. */
function putInPlace(temporary: string, path: string): void {
  syncTree(temporary);
  const old = temporaryName(path, "old");
  const hadOld = renameIfThere(path, old);
  try {
    renameSync(temporary, path);
  } catch (error) {
    if (hadOld) renameIfThere(old, path);
    throw error;
  }
  syncDirectory(dirname(path));
  if (hadOld) discard(old);
}

/** @returns whether there was something to rename. */
function renameIfThere(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** Deletes a set-aside directory under a name that recovery never puts back. */
function discard(old: string): void {
  const trash = join(dirname(old), basename(old).replace(/^\.old-/, ".tmp-"));
  if (renameIfThere(old, trash)) rmSync(trash, { recursive: true, force: true });
}

function syncTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) syncTree(path);
    else if (entry.isFile()) syncFile(path);
  }
  syncDirectory(directory);
}

/** Makes the names in a directory durable. Windows has no such call, and keeps names in a journal. */
function syncDirectory(directory: string): void {
  if (process.platform !== "win32") syncFile(directory);
}

function syncFile(path: string): void {
  // Windows syncs only what is open for writing, elsewhere a file may be read-only.
  const fd = openSync(path, process.platform === "win32" ? "r+" : "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Runs the steps of a write; on failure removes the temporary and says what to do about the cause. */
function withMend(path: string, temporary: string, steps: () => void): void {
  try {
    steps();
  } catch (cause) {
    throw abandoned(path, temporary, cause);
  }
}

/** Removes what a failed write left. @returns what to throw. */
function abandoned(path: string, temporary: string, cause: unknown): unknown {
  rmSync(temporary, { recursive: true, force: true });
  if (cause instanceof CriaError) return cause;
  const { path: culprit = path } = cause as NodeJS.ErrnoException;
  // Another file's failure, inside the caller's `write` or `fill`, is not told as this one's.
  const isOwn = culprit === path || culprit === temporary || culprit.startsWith(temporary + sep);
  return (isOwn ? unwritable(path, cause) : undefined) ?? cause;
}

const diskFull = [
  "the disk is full",
  "Free some space or write to another disk; what was under that name before is untouched.",
] as const;
const noDirectory = ["there is no such directory", "Create the directory first."] as const;
const noPermission = [
  "you have no permission to write there",
  "Choose another place, or change the permissions of the directory.",
] as const;

const reasons: Readonly<Record<string, readonly [problem: string, mend: string]>> = {
  ENOSPC: diskFull,
  EDQUOT: diskFull,
  EFBIG: ["the file would exceed the size limit", "Raise the limit (ulimit -f) or write smaller files."],
  ENOENT: noDirectory,
  ENOTDIR: noDirectory,
  EACCES: noPermission,
  EPERM: noPermission,
  EROFS: ["that disk is read-only", "Choose another place."],
  EEXIST: ["a file has that name", "Move the file away or choose another name."],
  EISDIR: ["a directory has that name", "Move the directory away or choose another name."],
  ENAMETOOLONG: ["the name is too long", "Choose a name of at most 200 bytes."],
};
