/**
 * The folder of a run, and the lock that keeps it to one process.
 *
 *     runs/<name>/
 *       recipe.yaml     the resolved recipe: a run goes on only with the same one
 *       metrics.jsonl   what was measured
 *       checkpoints/    step-00000100, ...
 *       samples/        texts
 *       report.html
 *       lock            the process that is training here
 *
 * A run has begun when it has a checkpoint. Before that a recipe may still be mended: another one clears the folder.
 */

import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { lockFile, lockFolder } from "../formats/folder-lock.ts";
import { makeDirectory } from "../formats/make-directory.ts";
import { ConfigError } from "../errors/errors.ts";
import { removeStaleTemporaries } from "../formats/atomic-file.ts";
import { readRecipeRecord, writeRecipe, type RecipeRecord } from "./recipe-file.ts";

export interface RunFolder extends Disposable {
  readonly name: string;
  readonly path: string;
  readonly recipe: string;
  readonly metrics: string;
  readonly checkpoints: string;
  readonly samples: string;
  readonly report: string;
}

export interface RunFolderOptions {
  /** Folder that runs' folders are made in. */
  readonly out: string;
  readonly name: string;
  /** The resolved recipe. */
  readonly recipe: RecipeRecord;
  /** Dotted keys that may change between the sittings of a run, such as `threads`. */
  readonly mayDiffer?: readonly string[];
}

/**
 * Makes the folder or goes on with it; the caller disposes it, which frees the lock.
 *
 * @throws {ConfigError} when the name is none, the folder was begun with another recipe, or a process is training
 *         in it.
 */
export function openRunFolder({ out, name, recipe, mayDiffer = [] }: RunFolderOptions): RunFolder {
  if (!/^\w[\w.-]*$/.test(name)) {
    throw new ConfigError(`${JSON.stringify(name)} cannot be the name of a run`, {
      mend: "Use letters, digits, dots, dashes and underscores, such as --name first-try.",
    });
  }
  const path = join(out, name);
  const file = (part: string): string => join(path, part);
  refuseForeignFolder(path);
  makeDirectory(path);
  const unlock = lockFolder(path, { activity: "training", mend: "choose another --name" });
  try {
    clearLeftovers(path);
    const differences = existsSync(file("recipe.yaml")) ? differencesOf(path, { recipe, mayDiffer }) : [];
    if (differences.length > 0) {
      refuseIfBegun(path, differences);
      clear(path);
    }
    writeRecipe(file("recipe.yaml"), recipe);
    for (const part of ["checkpoints", "samples"]) makeDirectory(file(part));
  } catch (error) {
    unlock();
    throw error;
  }
  return {
    name,
    path,
    recipe: file("recipe.yaml"),
    metrics: file("metrics.jsonl"),
    checkpoints: file("checkpoints"),
    samples: file("samples"),
    report: file("report.html"),
    [Symbol.dispose]: unlock,
  };
}

// --- internal ---

/** A folder of something else is not a run's to fill; one that a killed process only just made is. */
function refuseForeignFolder(path: string): void {
  if (!existsSync(path)) return;
  const names = readdirSync(path);
  if (names.includes("recipe.yaml")) return;
  const foreign = names.find((name) => !name.startsWith(lockFile) && !/^\.tmp-.+-recipe\.yaml$/.test(name));
  if (foreign === undefined) return;
  throw new ConfigError(`${path} is not a run's folder: it holds ${foreign} and no recipe.yaml`, {
    mend: "Choose another --name.",
  });
}

/** What killed writers left, in all of the run's folders: the lock says that nobody writes here now. */
function clearLeftovers(folder: string): void {
  removeStaleTemporaries(folder);
  for (const entry of readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) clearLeftovers(join(folder, entry.name));
}

/** Everything but the lock. */
function clear(path: string): void {
  for (const name of readdirSync(path))
    if (!name.startsWith(lockFile)) rmSync(join(path, name), { recursive: true, force: true });
}

/** What a recipe says otherwise than the one in the folder, in words. */
function differencesOf(
  path: string,
  { recipe, mayDiffer }: { recipe: RecipeRecord; mayDiffer: readonly string[] },
): string[] {
  const before = leaves(readRecipeRecord(join(path, "recipe.yaml")));
  const now = leaves(recipe);
  return [...new Set([...before.keys(), ...now.keys()])]
    .filter((key) => before.get(key) !== now.get(key))
    .filter((key) => !mayDiffer.some((free) => key === free || key.startsWith(`${free}.`)))
    .map((key) => `${key} was ${before.get(key) ?? "not set"} and is ${now.get(key) ?? "not set"}`);
}

function refuseIfBegun(path: string, differences: readonly string[]): void {
  const checkpoints = join(path, "checkpoints");
  const names = existsSync(checkpoints)
    ? readdirSync(checkpoints, { recursive: true, encoding: "utf8" })
    : [];
  if (!names.some((name) => /^step-\d+$/.test(basename(name)))) return;
  const more = differences.length > 5 ? `; and ${differences.length - 5} more` : "";
  const shown = `${differences.slice(0, 5).join("; ")}${more}`;
  throw new ConfigError(`${path} was begun with another recipe: ${shown}`, {
    mend: `Give the new run another --name, go on with the old recipe, or delete ${path} to start afresh.`,
  });
}

/** Dotted key -> value in JSON, of everything that is set. Lists count as one value. */
function leaves(record: RecipeRecord, prefix = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(record)) {
    if (value === undefined) continue;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      for (const [inner, leaf] of leaves(value as RecipeRecord, `${prefix}${key}.`)) found.set(inner, leaf);
    } else {
      found.set(prefix + key, JSON.stringify(value));
    }
  }
  return found;
}
