/**
 * What safety data cost in helpfulness (Llama 2 §4.2.3, figure 14): the same fine-tuning on all helpful dialogs and a
 * growing share of the safety dialogs, each model measured on held-out prompts of both kinds.
 */

import { join } from "node:path";
import { createRandom, shuffle } from "../corpus/random.ts";
import type { Dialog } from "../dialog/message.ts";
import { readDialogs } from "../dialog/readers.ts";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import type { Ledger } from "./ledger.ts";
import type { VersionMetrics } from "./version.ts";

export interface TradeOffOptions {
  /** Files of dialogs. */
  readonly helpful: readonly string[];
  readonly safety: readonly string[];
  /** Shares of the safety dialogs, from 0 to 1: the paper's are 0, 1, 10, 25, 50 and 100%. */
  readonly shares: readonly number[];
  readonly seed: number;
  readonly folder: string;
}

export interface TradeOffStages {
  /** @returns the model that is fine-tuned on a file of dialogs. */
  readonly fineTune: (dialogs: string, name: string) => Promise<{ readonly checkpoint: string }>;
  readonly measure: (model: string, name: string) => Promise<VersionMetrics>;
}

export interface TradeOffPoint {
  readonly share: number;
  /** Safety dialogs trained on. */
  readonly dialogs: number;
  readonly metrics: VersionMetrics;
}

/** @throws what a stage throws, such as the signal's reason; the next call goes on. */
export async function tradeOff(
  options: TradeOffOptions,
  stages: TradeOffStages,
  ledger: Ledger,
): Promise<TradeOffPoint[]> {
  const { helpful, safety, shares, seed, folder } = options;
  // One order for all shares: a larger share has all of a smaller one.
  const ordered = shuffle(dialogsOf(safety), createRandom(seed));
  const points: TradeOffPoint[] = [];
  for (const share of shares) {
    const name = `share-${String(Math.round(1000 * share)).padStart(4, "0")}`;
    const taken = ordered.slice(0, Math.round(share * ordered.length));
    const file = join(folder, `${name}.jsonl`);
    const lines = [...dialogsOf(helpful), ...taken].map((messages) => JSON.stringify({ messages }));
    writeFileAtomically(file, `${lines.join("\n")}\n`);
    const tuned = await ledger.once(`${name}-tune`, { dialogs: file }, () =>
      stages.fineTune(file, `${name}-tune`),
    );
    const work = { model: tuned.checkpoint };
    const metrics = await ledger.once(`${name}-measure`, work, () =>
      stages.measure(tuned.checkpoint, `${name}-measure`),
    );
    points.push({ share, dialogs: taken.length, metrics });
  }
  return points;
}

// --- internal ---

function dialogsOf(files: readonly string[]): Dialog[] {
  return files.flatMap((file) => readDialogs(file).dialogs);
}
