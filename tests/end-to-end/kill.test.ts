/** A run that is killed without warning, again and again, ends as if nothing had happened. */

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom, type Random } from "../../src/corpus/random.ts";
import { readMetrics } from "../../src/train/metrics.ts";
import { settings, start, tinyPretraining, workFolder } from "./cria.ts";

let work: ReturnType<typeof workFolder>;
beforeAll(() => {
  work = workFolder();
  writeFileSync(join(work.folder, "tiny.yaml"), "seed: 5\n");
});
afterAll(() => work.remove());

const wanted = 50;

function words(name: string): string[] {
  return [
    "pretrain",
    "tiny.yaml",
    "--name",
    name,
    ...settings({ ...tinyPretraining, steps: "60", sample_every: "20", keep_checkpoints: "3" }),
  ];
}

/** What must be the same: the model, the optimiser, where the run stands, and what was measured. */
function outcome(name: string): Record<string, unknown> {
  const run = join(work.folder, "runs", name);
  const checkpoint = join(run, "checkpoints", "step-00000060");
  const files = readdirSync(checkpoint).map((file) => [file, hashOf(join(checkpoint, file))] as const);
  const metrics = readMetrics(join(run, "metrics.jsonl")).map(
    ({ seconds: _, tokensPerSecond: __, ...same }) => same,
  );
  return {
    ...Object.fromEntries(files),
    metrics,
    checkpoints: readdirSync(join(run, "checkpoints")).toSorted(),
    samples: readdirSync(join(run, "samples")).toSorted(),
    baseline: readFileSync(join(run, "pretrain", "baseline.json"), "utf8"),
  };
}

/** Of megabytes that differ, a message of one line is enough. */
function hashOf(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

let kills = 0;

/** Starts the same command until it ends by itself, killing it at moments drawn over what it does. */
async function untilDone(name: string, milliseconds: number, random: Random): Promise<void> {
  for (;;) {
    const { child, ended, says } = start(work.folder, ...words(name));
    if (kills < wanted) {
      // Before its first word it has only loaded itself: seldom worth a kill.
      if (random.next() < 0.9) await says(/./);
      await sleep(random.next() * 0.6 * milliseconds);
      child.kill("SIGKILL");
    }
    const { code, signal, stderr } = await ended;
    if (signal === "SIGKILL") kills += 1;
    else {
      expect(code === 0 ? "done" : stderr).toBe("done");
      return;
    }
  }
}

test(`killed ${wanted} times at random moments, it gives the bytes of a run that was never killed`, async () => {
  const { ended, says } = start(work.folder, ...words("never"));
  await says(/./);
  const begin = performance.now();
  const { code, stderr } = await ended;
  expect(code === 0 ? "done" : stderr).toBe("done");
  const lifetime = performance.now() - begin;
  const reference = outcome("never");
  let runs = 0;
  const chain = async (seed: number): Promise<void> => {
    const random = createRandom(seed);
    while (kills < wanted) {
      const name = `killed-${(runs += 1)}`;
      await untilDone(name, lifetime, random);
      expect(outcome(name)).toEqual(reference);
    }
  };
  // As many at once as there are cores.
  await Promise.all([chain(1), chain(2)]);
  expect(kills).toBeGreaterThanOrEqual(wanted);
});
