/** PPO that is killed without warning, again and again, ends as if nothing had happened; Ctrl-C saves first. */

import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { readMetrics } from "../../src/train/metrics.ts";
import { toyHeldOut, toyPrompts, writeToyModel } from "../toy-task.ts";
import { cria, settings, start } from "./cria.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-ppo-kill-"));
  using backend = openBackend({ threads: 1 });
  writeToyModel(join(folder, "model"), backend, 1);
  for (const [name, prompts] of [
    ["prompts", toyPrompts],
    ["held-out", toyHeldOut],
  ] as const) {
    const lines = prompts.map(({ dialog }) => JSON.stringify({ prompt: dialog[0]!.content, response: "a" }));
    writeFileSync(join(folder, `${name}.jsonl`), lines.join("\n"));
  }
  writeFileSync(
    join(folder, "vowels.js"),
    "export default (answers) => answers.map(({ answer }) => answer.replaceAll(/[^aeiou]/g, '').length / 12);\n",
  );
  writeFileSync(join(folder, "ppo.yaml"), "model: model\nprompts: prompts.jsonl\nheld_out: held-out.jsonl\n");
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

function words(name: string): string[] {
  return [
    "ppo",
    "ppo.yaml",
    "--name",
    name,
    "--reward",
    "vowels.js",
    ...settings({
      iterations: "9",
      batch_size: "16",
      mini_batch_size: "8",
      micro_batch_size: "4",
      max_tokens: "12",
      lr: "0.003",
      validation_every: "3",
      checkpoint_every: "2",
      keep_checkpoints: "2",
      patience: "0",
      max_kl: "1000",
      precision: "f32",
      threads: "1",
      device: "cpu",
    }),
  ];
}

/** Every file of the checkpoints, by its hash, and the metrics without the clock's. */
function outcome(name: string): Record<string, unknown> {
  const run = join(folder, "runs", name);
  const checkpoints = join(run, "checkpoints");
  const files = readdirSync(checkpoints, { recursive: true, encoding: "utf8" })
    .filter((file) => statSync(join(checkpoints, file)).isFile())
    .map((file) => [
      file,
      createHash("sha256")
        .update(readFileSync(join(checkpoints, file)))
        .digest("hex"),
    ]);
  const metrics = readMetrics(join(run, "metrics.jsonl")).map((record) =>
    Object.fromEntries(Object.entries(record).filter(([key]) => !key.startsWith("seconds/"))),
  );
  return { ...Object.fromEntries(files), metrics };
}

async function measured(name: string): Promise<void> {
  const metrics = join(folder, "runs", name, "metrics.jsonl");
  while (!existsSync(metrics) || readMetrics(metrics).length === 0) await sleep(1);
}

let reference: Record<string, unknown>;
let lifetime = 0;

test("it ends by itself, with a model and a report", async () => {
  const begin = performance.now();
  const { code, stderr, stdout } = await cria(folder, ...words("never"));
  lifetime = performance.now() - begin;
  expect(code === 0 ? "done" : stderr).toBe("done");
  expect(stdout).toContain("Model: runs/never/checkpoints/best\n");
  expect(readFileSync(join(folder, "runs", "never", "report.html"), "utf8")).toContain("KL to the reference");
  reference = outcome("never");
  expect(Object.keys(reference).some((file) => file.startsWith("step-00000009/value/"))).toBe(true);
});

test("killed at random moments, it gives the bytes of a run that was never killed", async () => {
  const random = createRandom(1);
  let kills = 0;
  for (let attempt = 0; ; attempt += 1) {
    const { child, ended, says } = start(folder, ...words("killed"));
    if (kills < 8 && attempt < 40) {
      await says(/./);
      // First between the measurement before the first step and the first checkpoint.
      if (attempt === 0) await measured("killed");
      else await sleep(random.next() * 0.5 * lifetime);
      child.kill("SIGKILL");
    }
    const { code, signal, stderr } = await ended;
    if (signal === "SIGKILL") {
      kills += 1;
      continue;
    }
    expect(code === 0 ? "done" : stderr).toBe("done");
    break;
  }
  expect(kills).toBeGreaterThan(2);
  expect(outcome("killed")).toEqual(reference);
});

test("Ctrl-C saves and says how to go on; the same command does", async () => {
  const { child, ended, says } = start(folder, ...words("stopped"));
  await says("Optimising the policy");
  await sleep(0.3 * lifetime);
  child.kill("SIGINT");
  const { code, stderr } = await ended;
  // A fast machine may be done before.
  if (code !== 0) {
    expect(code).toBe(130);
    expect(stderr).toContain("Stopped; the same command goes on from here.\n");
    const again = await cria(folder, ...words("stopped"));
    expect(again.code === 0 ? "done" : again.stderr).toBe("done");
  }
  // The checkpoint of the interruption may stand where one of the schedule's would.
  const { metrics, "best/model.safetensors": best } = outcome("stopped");
  expect({ metrics, best }).toEqual({
    metrics: reference["metrics"],
    best: reference["best/model.safetensors"],
  });
});

test("sampling that would bias the KL is refused with the reason", async () => {
  const { code, stderr } = await cria(folder, ...words("refused"), "--set", "top_k=40");
  expect(code).toBe(1);
  expect(stderr).toContain("top_k (40) biases the KL to the reference");
});
