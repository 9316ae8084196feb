/** The driver, killed without warning in every stage, ends with the bytes of a run that was never killed. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { cria, settings, start, workFolder } from "./cria.ts";
import { rlhfOutcome, writeRlhfInputs } from "./rlhf-run.ts";

/** Every stage once, so that it takes seconds; `npm run bench -- rlhf-kills` kills the whole. */
const versions =
  "[{name: V1, stages: [collect, reward, reject]}, {name: V2, stages: [distil, gatt, ppo, evaluate]}]";
const steps = ["V1-collect", "V1-reward", "V1-reject", "V2-distil", "V2-gatt", "V2-ppo"];

let work: ReturnType<typeof workFolder>;
beforeAll(() => {
  work = workFolder();
  writeRlhfInputs(work.folder);
});
afterAll(() => work.remove());

function words(name: string): string[] {
  return ["rlhf", "tiny.yaml", "--name", name, ...settings({ versions })];
}

function secondsOf(step: string): number {
  const file = join(work.folder, "runs", "undisturbed", "steps", `${step}.json`);
  return (JSON.parse(readFileSync(file, "utf8")) as { seconds: number }).seconds;
}

test("killed at a random moment of each stage that goes on by itself, it gives the bytes of a run that was never killed", async () => {
  const { code, stderr } = await cria(work.folder, ...words("undisturbed"));
  expect(code === 0 ? "done" : stderr).toBe("done");
  const reference = rlhfOutcome(work.folder, "undisturbed");
  const random = createRandom(4);
  let kills = 0;
  for (const [i, step] of steps.entries()) {
    const { child, ended, says } = start(work.folder, ...words("killed"));
    // Or of the next one, where the last kill came when this was done.
    await says(new RegExp(steps.slice(i).join("|"))).catch(() => {});
    await sleep(random.next() * 1000 * secondsOf(step));
    child.kill("SIGKILL");
    if ((await ended).signal === "SIGKILL") kills += 1;
  }
  expect(kills).toBeGreaterThanOrEqual(4);
  const last = await cria(work.folder, ...words("killed"));
  expect(last.code === 0 ? "done" : last.stderr).toBe("done");
  expect(rlhfOutcome(work.folder, "killed")).toEqual(reference);
});
