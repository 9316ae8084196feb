/**
 * The steps of a pipeline, each done once: what it was given, what it made, and when, in a file of its own. A run that
 * was killed goes on with the first step that has none; a step that was under way is called again, and goes on by
 * itself in the same folder.
 *
 *     steps/V1-collect.json   {"work": …, "result": …, "inputs": {"path": "sha256 …"}, "commit": …, "seconds": …}
 */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../errors/errors.ts";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import { isJsonObject, readJsonFile, type JsonObject, type JsonValue } from "../formats/json.ts";
import { makeDirectory } from "../formats/make-directory.ts";

export interface Step {
  readonly name: string;
  readonly work: JsonObject;
  readonly result: JsonObject;
  /** What each file or model that `work` names held when the step began: SHA-256, shortened. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Of the program. */
  readonly commit: string;
  /** Of the sitting that finished it. */
  readonly seconds: number;
}

export interface Ledger {
  /** Steps that are done, in their order. */
  readonly steps: readonly Step[];
  /**
   * Does a step, unless it is done.
   *
   * @param name    unique in the run.
   * @param work    plain data: all that the result follows from.
   * @param perform does it; called again after a kill, it goes on.
   * @throws {ConfigError} when the step was done with other work.
   */
  once<Result extends object>(name: string, work: object, perform: () => Promise<Result>): Promise<Result>;
}

export interface LedgerOptions {
  readonly folder: string;
  readonly commit: string;
  readonly onStep?: (name: string, state: "done before" | "begun" | "done") => void;
}

export function openLedger({ folder, commit, onStep }: LedgerOptions): Ledger {
  makeDirectory(folder);
  const steps: Step[] = [];
  return {
    steps,
    async once<Result extends object>(name: string, work: object, perform: () => Promise<Result>) {
      const file = join(folder, `${name}.json`);
      const done = readStep(file);
      // Through JSON, so that what is undefined is absent in both.
      const plain = JSON.parse(JSON.stringify(work)) as JsonObject;
      if (done !== undefined) {
        refuseOtherWork(file, done.work, plain);
        steps.push(done);
        onStep?.(name, "done before");
        return done.result as Result;
      }
      onStep?.(name, "begun");
      const start = performance.now();
      const inputs = hashesOf(plain);
      const result = await perform();
      const seconds = Math.round((performance.now() - start) / 100) / 10;
      const step: Step = { name, work: plain, result: { ...result } as JsonObject, inputs, commit, seconds };
      writeFileAtomically(file, `${JSON.stringify(step, null, 2)}\n`);
      steps.push(step);
      onStep?.(name, "done");
      return result;
    },
  };
}

// --- internal ---

/** JSON has no NaN, such as a mean over nothing: it is null on disk and NaN when it is read. */
function readStep(file: string): Step | undefined {
  return existsSync(file) ? (withNaN(readJsonFile(file)) as unknown as Step) : undefined;
}

function withNaN(value: JsonValue): JsonValue {
  if (value === null) return Number.NaN;
  if (Array.isArray(value)) return value.map(withNaN);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withNaN(inner)]));
}

function refuseOtherWork(file: string, before: JsonObject, now: JsonObject): void {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  const key = keys.find((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]));
  if (key === undefined) return;
  const [was, is] = [before[key], now[key]].map((value) => JSON.stringify(value) ?? "not set");
  throw new ConfigError(`${file} is of other work: ${key} was ${was} and is ${is}`, {
    mend: "Go on with the old settings, or choose another --name.",
  });
}

/** Of every text in `work` that is the path of a file or of a model. */
function hashesOf(work: JsonValue): Record<string, string> {
  const hashes: Record<string, string> = {};
  const visit = (value: JsonValue): void => {
    if (typeof value === "string") {
      const hash = hashOf(value);
      if (hash !== undefined) hashes[value] = hash;
    } else if (Array.isArray(value)) for (const item of value) visit(item);
    else if (isJsonObject(value)) for (const item of Object.values(value)) visit(item);
  };
  visit(work);
  return hashes;
}

function hashOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const files = stat.isDirectory()
    ? readdirSync(path)
        .filter((name) => name.endsWith(".safetensors") && !name.startsWith("training-state"))
        .map((name) => join(path, name))
    : [path];
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file));
  return files.length === 0 ? undefined : hash.digest("hex").slice(0, 16);
}
