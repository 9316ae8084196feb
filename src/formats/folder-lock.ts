/**
 * The lock that keeps a folder to one process.
 *
 * It is a file that is made with its content in place (link(2) of a finished file fails where the name is taken). A
 * lock whose process is dead is taken over; a process is named by its pid and its start time, because pids come round
 * again.
 */

import { constants, copyFileSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../errors/errors.ts";

/** Its name, which what stands beside it begins with. */
export const lockFile = "lock";

export interface LockWords {
  /** What the process that holds it does there, such as `training`. */
  readonly activity: string;
  /** What else than to wait for it or to stop it, such as `choose another --name`. */
  readonly mend: string;
}

/**
 * @returns how to unlock; safe to call twice.
 * @throws {ConfigError} when a living process holds the folder.
 */
export function lockFolder(folder: string, words: LockWords): () => void {
  const path = join(folder, lockFile);
  const owner = { pid: process.pid, host: hostname(), started: startTime(process.pid) };
  const mine = JSON.stringify({ ...owner, token: randomUUID() });
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, mine);
  try {
    // Each round takes the lock, or finds its owner alive and throws, or loses to another process that takes it.
    while (!link(draft, path) && !takeOver({ folder, path, draft }, words));
  } finally {
    rmSync(draft, { force: true });
  }
  return () => {
    if (readIfThere(path) === mine) rmSync(path, { force: true });
  };
}

// --- internal ---

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Clock ticks after boot at which the process began; empty where the system does not say. */
  readonly started: string;
}

interface Place {
  readonly folder: string;
  /** Of the lock. */
  readonly path: string;
  /** The lock that this process would put there. */
  readonly draft: string;
}

/**
 * Replaces the lock of a dead process. Only who holds the claim may, and only after another look at the lock: of two
 * that found the same dead lock, the second would else replace the first one's new one.
 */
function takeOver({ folder, path, draft }: Place, words: LockWords): boolean {
  const dead = readIfThere(path);
  if (dead === undefined) return false;
  refuseLiving(dead, { folder, path }, words);
  const claim = `${path}.claim`;
  if (!link(draft, claim)) {
    const claimed = readIfThere(claim);
    const other = claimed === undefined ? undefined : parseOwner(claimed);
    if (claimed !== undefined && !(other !== undefined && isAlive(other))) rmSync(claim, { force: true });
    return false;
  }
  try {
    if (readIfThere(path) !== dead) return false;
    renameSync(draft, path);
    return true;
  } finally {
    rmSync(claim, { force: true });
  }
}

function refuseLiving(
  content: string,
  { folder, path }: Pick<Place, "folder" | "path">,
  { activity, mend }: LockWords,
): void {
  const owner = parseOwner(content);
  if (owner === undefined) return;
  if (owner.host !== hostname()) {
    throw new ConfigError(`process ${owner.pid} on ${owner.host} holds ${path}`, {
      mend: `If nothing is ${activity} there any more, delete ${path}.`,
    });
  }
  if (isAlive(owner)) {
    throw new ConfigError(`process ${owner.pid} is ${activity} in ${folder}`, {
      mend: `Wait for it, stop it, or ${mend}.`,
    });
  }
}

/** @returns whether the name was free. */
function link(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    // FAT and some network drives have no links.
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(codeOf(error))) throw error;
  }
  try {
    copyFileSync(from, to, constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function parseOwner(content: string): Owner | undefined {
  try {
    const { pid, host, started } = JSON.parse(content) as Partial<Owner>;
    if (!Number.isSafeInteger(pid) || pid! <= 0 || host === undefined) return undefined;
    return { pid: pid!, host, started: started ?? "" };
  } catch {
    return undefined;
  }
}

function isAlive({ pid, started }: Owner): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    if (codeOf(error) !== "EPERM") return false;
  }
  return started === startTime(pid);
}

/** proc(5)'s stat: fields 3, the state, and 22, the start time, follow a parenthesised name that may hold spaces. */
function startTime(pid: number): string {
  const stat = readIfThere(`/proc/${pid}/stat`);
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
  // A zombie has ended; only its parent has not looked.
  return fields[0] === "Z" ? "ended" : (fields[19] ?? "");
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
