/**
 * The best answer to each prompt, kept as dialogs, and what of earlier versions' winners is trained on beside them
 * (Llama 2 §3.2.3): up to RLHF-V3 only the newest policy's samples; since that forgot skills, such as rhyming, from
 * then on the best of all earlier versions too.
 */

import { checkDialog, type Dialog } from "../dialog/message.ts";
import type { Prompt } from "../dialog/prompts.ts";
import { readDialogs } from "../dialog/readers.ts";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import type { ScoredSample } from "./score.ts";

export interface Winner {
  readonly dialog: Dialog;
  readonly score: number;
  /** The temperature that it was sampled at. */
  readonly temperature: number;
  readonly tokens: number;
}

/** For each prompt the sample of the highest score, the first of equals; none where no sample could be scored. */
export function winnersOf(
  scored: readonly ScoredSample[],
  { prompts, temperatures }: { prompts: readonly Prompt[]; temperatures: readonly number[] },
): Winner[] {
  const best = new Map<number, ScoredSample & { readonly score: number }>();
  for (const sample of scored) {
    if (sample.score === undefined) continue;
    const known = best.get(sample.prompt);
    if (known === undefined || sample.score > known.score)
      best.set(sample.prompt, { ...sample, score: sample.score });
  }
  return prompts.flatMap(({ dialog }, i) => {
    const sample = best.get(i);
    if (sample === undefined) return [];
    const winner: Dialog = [...dialog, { role: "assistant", content: sample.text }];
    checkDialog(winner, `the winner of prompt ${i + 1}`);
    const { score, tokens, temperature } = sample;
    return [{ dialog: winner, score, temperature: temperatures[temperature]!, tokens }];
  });
}

/** A file of dialogs that the fine-tuning and a later version's pool can read. */
export function writeWinners(file: string, winners: readonly Winner[]): void {
  const lines = winners.map(({ dialog, ...rest }) => JSON.stringify({ messages: dialog, ...rest }));
  writeFileAtomically(file, `${lines.join("\n")}\n`);
}

/**
 * Writes what is fine-tuned on: the winners, then the dialogs of other files, each dialog once.
 *
 * @param earlier files of earlier versions' winners, and of other dialogs to mix in.
 * @returns how many dialogs there are.
 */
export function writePool(file: string, winners: readonly Winner[], earlier: readonly string[]): number {
  const dialogs = [
    ...winners.map(({ dialog }) => dialog),
    ...earlier.flatMap((path) => readDialogs(path).dialogs),
  ];
  const lines = new Set(dialogs.map((messages) => JSON.stringify({ messages })));
  writeFileAtomically(file, `${[...lines].join("\n")}\n`);
  return lines.size;
}
