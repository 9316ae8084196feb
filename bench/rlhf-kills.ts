/**
 * The driver killed without warning at random moments, and gone on with by the same command each time, until it is done
 * and begun anew: does every file come out as in a run that was never killed? All files are compared, byte for byte but
 * for how long things took. `RLHF_KILLS` says how often it is killed.
 */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createRandom, type Random } from "../src/corpus/random.ts";
import type { BackendOptions } from "../src/tensor/backend.ts";
import { settings, start } from "../tests/end-to-end/cria.ts";
import { rlhfOutcome, rlhfSteps, writeRlhfInputs } from "../tests/end-to-end/rlhf-run.ts";
import { rounded, secondsOf, type BenchResult } from "./result.ts";

const wanted = Number(process.env["RLHF_KILLS"] ?? 50);

export async function benchRlhfKills({ threads = 1 }: BackendOptions): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), "cria-rlhf-kills-"));
  try {
    writeRlhfInputs(folder);
    const seconds = await secondsOf(() => untilDone({ folder, name: "undisturbed", threads }));
    const reference = rlhfOutcome(folder, "undisturbed");
    const random = createRandom(1);
    const hits: string[] = [];
    const differing: string[] = [];
    let runs = 0;
    while (hits.length < wanted) {
      const name = `killed-${(runs += 1)}`;
      await untilDone({ folder, name, threads }, { seconds, random, hits });
      differing.push(...differences(rlhfOutcome(folder, name), reference).map((file) => `${name}/${file}`));
      rmSync(join(folder, "runs", name), { recursive: true });
    }
    return resultOf({ seconds, runs, files: Object.keys(reference).length, hits, differing });
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

// --- internal ---

interface Command {
  readonly folder: string;
  readonly name: string;
  readonly threads: number;
}

interface Killing {
  /** What a run takes that is not killed. */
  readonly seconds: number;
  readonly random: Random;
  /** The step that each kill hit. */
  readonly hits: string[];
}

const beforeSteps = "before the first step";

/** Starts the same command until it ends by itself. */
async function untilDone({ folder, name, threads }: Command, killing?: Killing): Promise<void> {
  for (;;) {
    const words = ["rlhf", "tiny.yaml", "--name", name, ...settings({ threads: String(threads) })];
    const { child, ended, says, written } = start(folder, ...words);
    if (killing !== undefined && killing.hits.length < wanted) {
      const { random, seconds } = killing;
      // Most kills at something that the run says that it does; some while the program loads and reads what there is.
      if (random.next() < 0.8) await says(/./).catch(() => {});
      await sleep(random.next() ** 2 * 300 * seconds);
      child.kill("SIGKILL");
    }
    const { code, signal, stderr } = await ended;
    if (signal === "SIGKILL") killing?.hits.push(stepUnderWay(join(folder, "runs", name), written().stderr));
    else if (code === 0) return;
    else throw new Error(`${name} failed: ${stderr}`);
  }
}

/** The first step that the ledger lacks, if the program said that it had begun one. */
function stepUnderWay(run: string, said: string): string {
  if (!rlhfSteps.some((step) => said.includes(`${step}\n`))) return beforeSteps;
  const done = new Set(readdirSync(join(run, "steps")));
  return rlhfSteps.find((step) => !done.has(`${step}.json`)) ?? "report";
}

/** Files that are not the same in both. */
function differences(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((file) => a[file] !== b[file]);
}

interface Found {
  readonly seconds: number;
  readonly runs: number;
  readonly files: number;
  readonly hits: readonly string[];
  readonly differing: readonly string[];
}

function resultOf({ seconds, runs, files, hits, differing }: Found): BenchResult {
  const count = (step: string): number => hits.filter((hit) => hit === step).length;
  if (differing.length > 0) process.exitCode = 1;
  const byStep = [beforeSteps, ...rlhfSteps, "report"].map((step) => [step, count(step)] as const);
  return {
    rows: [
      ["never killed", `${seconds.toFixed(1)} s, ${files} files`],
      ["killed", `${hits.length} times in ${runs} runs`],
      ...byStep.map(([step, kills]) => [`  ${step}`, String(kills)] as const),
      ["files that differ", differing.length === 0 ? "none" : differing.join(", ")],
    ],
    json: {
      seconds: rounded(seconds),
      files,
      runs,
      kills: hits.length,
      byStep: Object.fromEntries(byStep),
      differing,
    },
  };
}
