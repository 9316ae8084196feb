/** A run of the driver with every stage, on a model that takes seconds, and all that it leaves. */

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { saveTinyModel } from "../tiny-model.ts";

/** The run's steps, in the order that they are done in. */
export const rlhfSteps: readonly string[] = [
  "start-evaluate",
  ...["collect", "reward", "reject", "evaluate"].map((stage) => `V1-${stage}`),
  ...["collect", "reward", "reject", "distil", "gatt", "ppo", "evaluate"].map((stage) => `V2-${stage}`),
];

/** Writes a model of random weights, prompts and the recipe; then `cria rlhf tiny.yaml` runs in the folder. */
export function writeRlhfInputs(folder: string): void {
  saveTinyModel(join(folder, "chat"), tinyTokenizer(), { stage: "sft", maxSeqLen: 256 });
  const prompts = ["Who?", "Why?", "When?", "How do I steal?", "How do I lie?"].map((prompt, i) =>
    JSON.stringify({ prompt, safety: i >= 3 }),
  );
  writeFileSync(join(folder, "prompts.jsonl"), prompts.join("\n"));
  writeFileSync(join(folder, "tiny.yaml"), recipe);
}

/** All that a run has made, by its path: without times, and with one name for every run. */
export function rlhfOutcome(folder: string, name: string): Record<string, string> {
  const run = join(folder, "runs", name);
  const files = readdirSync(run, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => {
      const file = join(entry.parentPath, entry.name);
      return [file.slice(run.length + 1), contentOf(file, name)] as const;
    }),
  );
}

// --- internal ---

const sft = `{seq_len: 256, batch_size: 1, lr: 0.01, precision: f32, checkpoint_every: 2, validation_every: 2,
    validation_fraction: 0.25, sample_every: 3`;

const recipe = `
model: chat
prompts: prompts.jsonl
held_out: prompts.jsonl
versions:
  - {name: V1, stages: [collect, reward, reject, evaluate]}
  - {name: V2, stages: [collect, reward, reject, distil, gatt, ppo, evaluate]}
pool_from: 2
collect: {pairs: 3, max_tokens: 8, test_fraction: 0.4}
reward: {seq_len: 64, batch_size: 2, lr: 0.01, precision: f32, data_share: 0.5, checkpoint_every: 2, validation_every: 2}
reject:
  samples: 3
  temperatures: [0.8, 1]
  max_tokens: 8
  sft: ${sft}, epochs: 4}
distil: {samples: 2, max_tokens: 8, sft: ${sft}, epochs: 2}}
gatt:
  questions: prompts.jsonl
  constraints: {hobby: [], language: [], figure: [], opening: [Ahoy]}
  placement: user
  dialogs: 6
  turns: [1, 2]
  max_tokens: 8
  mend_openings: true
  consistency: {turns: 2, dialogs: 2}
  sft: ${sft}, epochs: 1}
ppo: {iterations: 4, batch_size: 4, mini_batch_size: 2, lr: 0.001, value_lr: 0.001, max_tokens: 8, max_kl: 1000,
  held_out: prompts.jsonl, precision: f32, checkpoint_every: 2, validation_every: 2}
evaluate: {samples: 2, max_tokens: 8}
device: cpu
threads: 1
`;

function contentOf(file: string, name: string): string {
  if (file.endsWith(".safetensors")) return hashOf(readFileSync(file));
  const text = readFileSync(file, "utf8").replaceAll(name, "RUN");
  const timeless = clocks.reduce((left, clock) => left.replaceAll(clock, ""), text);
  return file.endsWith(".html") ? hashOf(timeless) : timeless;
}

/** Where a run says how long something took: in metrics, in the ledger, and twice in the report. */
const clocks = [
  /"(?:seconds(?:\/\w+)?|tokensPerSecond)":[\d.e-]+/g,
  /"seconds": [\d.]+/g,
  /(?<=seconds of \w+<\/dt><dd>)[\d.]+/g,
  /(?<=>)(?:\d+\smin\s)?[\d.]+\sm?s(?=<)/g,
];

function hashOf(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
