/** A whole speedrun of a second, with a model to try the other commands on. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { cria, settings, tinyPretraining, type Ended, type WorkFolder } from "./cria.ts";

/** Settings of its fine-tuning. */
export const tinyTuning = {
  seq_len: "64",
  batch_size: "4",
  micro_batch_size: "4",
  epochs: "4",
  lr: "0.01",
  device: "cpu",
  threads: "1",
  precision: "f32",
};

/** The command's words. */
export function speedrun(name: string, changes: Readonly<Record<string, string>> = {}): string[] {
  const pretraining = settings({ ...tinyPretraining, ...changes }, "pretrain.");
  return ["speedrun", "tiny.yaml", "--name", name, ...pretraining, ...settings(tinyTuning, "sft.")];
}

/** Leaves `runs/tiny` in the folder. */
export async function tinyRun({ folder }: WorkFolder): Promise<Ended> {
  const dialogs = Array.from({ length: 40 }, (_, i) => ({
    messages: [
      { role: "user", content: `What does number ${i} do?` },
      { role: "assistant", content: "It follows the ship." },
    ],
  }));
  writeFileSync(join(folder, "talk.jsonl"), dialogs.map((dialog) => JSON.stringify(dialog)).join("\n"));
  writeFileSync(join(folder, "tiny.yaml"), "sft:\n  data: talk.jsonl\n");
  return cria(folder, ...speedrun("tiny"));
}
