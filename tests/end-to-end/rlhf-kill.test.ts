/** The driver, killed without warning, again and again, ends with the bytes of a run that was never killed. */

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";
import { start, workFolder } from "./cria.ts";

const wanted = 6;

let work: ReturnType<typeof workFolder>;
beforeAll(() => {
  work = workFolder();
  const tokenizer = tinyTokenizer();
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, { ...tinyConfig, vocabSize: tokenizer.vocabSize });
  saveCheckpoint(join(work.folder, "chat"), { weights, tokenizer, run: { stage: "sft", step: 1 } });
  const prompts = ["Who?", "Why?", "When?", "How do I steal?"].map((prompt, i) =>
    JSON.stringify({ prompt, safety: i === 3 }),
  );
  writeFileSync(join(work.folder, "prompts.jsonl"), prompts.join("\n"));
  writeFileSync(join(work.folder, "tiny.yaml"), recipe);
});
afterAll(() => work.remove());

const recipe = `
model: chat
prompts: prompts.jsonl
held_out: prompts.jsonl
versions:
  - {name: V1, stages: [collect, reject, evaluate]}
  - {name: V2, stages: [reject, evaluate]}
pool_from: 2
collect: {max_tokens: 8, test_fraction: 0.25}
reject:
  samples: 3
  temperatures: [0.8, 1]
  max_tokens: 8
  sft: {seq_len: 64, batch_size: 1, epochs: 6, lr: 0.01, precision: f32, checkpoint_every: 2, validation_every: 2,
    validation_fraction: 0.25, sample_every: 3}
evaluate: {samples: 2, max_tokens: 8}
device: cpu
threads: 1
`;

/** All that a run has made, but for how long it took and the order in which answers were finished. */
function outcome(name: string): Record<string, string> {
  const run = join(work.folder, "runs", name);
  const files = readdirSync(run, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const made = files.map((entry) => {
    const file = join(entry.parentPath, entry.name);
    return [file.slice(run.length + 1), contentOf(file, name)] as const;
  });
  return Object.fromEntries(made.filter(([file]) => file !== "report.html"));
}

function contentOf(file: string, name: string): string {
  // Paths have the run's name in them.
  const text = (): string => readFileSync(file, "utf8").replaceAll(`runs/${name}/`, "runs/RUN/");
  if (file.endsWith(".safetensors"))
    return createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 16);
  if (file.endsWith("metrics.jsonl")) return text().replaceAll(/"(?:seconds|tokensPerSecond)":[\d.]+/g, "");
  if (file.endsWith(".jsonl")) return text().split("\n").toSorted().join("\n");
  return text().replaceAll(/"seconds": [\d.]+/g, "");
}

test(`killed ${wanted} times at random moments, it gives the bytes of a run that was never killed`, async () => {
  const begin = performance.now();
  const { code, stderr } = await start(work.folder, "rlhf", "tiny.yaml", "--name", "never").ended;
  expect(code === 0 ? "done" : stderr).toBe("done");
  const lifetime = performance.now() - begin;
  const reference = outcome("never");
  expect(Object.keys(reference)).toContain(join("steps", "V2-evaluate.json"));

  const random = createRandom(4);
  let kills = 0;
  for (let run = 1; kills < wanted; run += 1) {
    const name = `killed-${run}`;
    for (;;) {
      const { child, ended, says } = start(work.folder, "rlhf", "tiny.yaml", "--name", name);
      if (kills < wanted) {
        await says(/./).catch(() => {});
        await sleep(random.next() * 0.4 * lifetime);
        child.kill("SIGKILL");
      }
      const end = await ended;
      if (end.signal === "SIGKILL") kills += 1;
      else {
        expect(end.code === 0 ? "done" : end.stderr).toBe("done");
        break;
      }
    }
    expect(outcome(name)).toEqual(reference);
  }
});
