/** `cria ppo` on the toy task: what the recipe says reaches the run, and what it leaves. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openBackend } from "../../src/tensor/backend.ts";
import { writeToyModel } from "../toy-task.ts";
import { cria } from "./memory-terminal.ts";

const before = process.cwd();
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-ppo-command-"));
  process.chdir(folder);
  using backend = openBackend({ threads: 1 });
  writeToyModel("model", backend, 1);
  writeFileSync("prompts.jsonl", '{"prompt": "go"}\n{"prompt": "well"}\n');
  writeFileSync(
    "vowels.js",
    "export default (answers) => answers.map(({ answer }) => answer.match(/[aeiou]/g)?.length ?? 0);",
  );
  writeFileSync(
    "ppo.yaml",
    "model: model\nprompts: prompts.jsonl\niterations: 4\nbatch_size: 8\nmini_batch_size: 8\nmicro_batch_size: 8\n" +
      "max_tokens: 6\nvalue: shared\nlr: 0.01\nprecision: f32\nthreads: 1\n",
  );
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

function metricsOf(run: string): Record<string, number>[] {
  const lines = readFileSync(join("runs", run, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, number>);
}

test("ends at a KL above the recipe's, says so, and leaves metrics under TRL's names and a report", async () => {
  const limited = ["--reward", "vowels.js", "--set", "max_kl=0.0001", "--json"];
  const { code, stdout, stderr } = await cria("ppo", "ppo.yaml", ...limited);
  expect(stderr).toMatch(
    /Ended after 1 iteration: the KL to the reference, \S+ nats an answer, is above max_kl \(0\.0001\)/,
  );
  expect(code).toBe(0);
  const [first, ...more] = metricsOf("ppo");
  expect(more).toEqual([]);
  expect(first).toMatchObject({ step: 1, "objective/kl": 0, "val/ratio": 1, "policy/clipfrac_avg": 0 });
  for (const name of ["objective/scores", "loss/policy_avg", "loss/value_avg", "whitening/score_std"])
    expect(first![name], name).toEqual(expect.any(Number));
  const { checkpoint } = JSON.parse(stdout) as { checkpoint: string };
  expect(checkpoint).toBe(join("runs", "ppo", "checkpoints", "step-00000001"));
  expect(readFileSync(join("runs", "ppo", "report.html"), "utf8")).toContain("<svg");
});

test("takes the recipe's β off for the KL", async () => {
  const set = ["iterations=2", "beta=0.5"].flatMap((change) => ["--set", change]);
  const { code } = await cria("ppo", "ppo.yaml", "--name", "free", "--reward", "vowels.js", ...set);
  expect(code).toBe(0);
  const [, second] = metricsOf("free");
  expect(second!["objective/non_score_reward"]).toBeCloseTo(-0.5 * second!["objective/kl"]!, 6);
});

test.each([
  ['() => { throw new Error("no idea"); }', "the function of reward.js failed: no idea"],
  ['async () => { throw new Error("no idea"); }', "the function of reward.js failed: no idea"],
  ["() => {}", String.raw`the reward function returned \[\] for \d answers`],
])("a reward function that is %s is said to fail", async (body, message) => {
  // Node imports a path once.
  const name = `failing-${body.length}`;
  writeFileSync(`${name}.js`, `export default ${body};`);
  const { code, stderr } = await cria("ppo", "ppo.yaml", "--name", name, "--reward", `${name}.js`);
  expect(code).toBe(1);
  expect(stderr.replaceAll(`${name}.js`, "reward.js")).toMatch(new RegExp(`Error: ${message}`));
});
