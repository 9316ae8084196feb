/** Loss on held-out text, in bits per byte: comparable between tokenizers and with other kinds of model. */

import { validationWindows, type ValidationWindow } from "../corpus/loader.ts";
import type { TokenShards } from "../corpus/shards.ts";
import type { MicroBatch } from "./next-token.ts";
import type { Trainer } from "./step.ts";

export interface ValidationLoss {
  /** In nats a token. */
  readonly loss: number;
  readonly bitsPerByte: number;
  /** Tokens that were predicted. */
  readonly tokens: number;
}

export interface ValidationSize {
  /** The trainer's micro-batch. */
  readonly batch: number;
  readonly seq: number;
  /** How many windows to score, spread evenly over the text; all when there are fewer. */
  readonly windows: number;
}

export async function validationLoss(
  trainer: Trainer<MicroBatch>,
  shards: TokenShards,
  size: ValidationSize,
  signal?: AbortSignal,
): Promise<ValidationLoss> {
  const all = [...validationWindows(shards, size.seq)];
  const every = Math.max(1, all.length / size.windows);
  const chosen = Array.from(
    { length: Math.min(all.length, size.windows) },
    (_, i) => all[Math.floor(i * every)]!,
  );
  const batches: MicroBatch[] = [];
  for (let from = 0; from < chosen.length; from += size.batch)
    batches.push(joined(chosen.slice(from, from + size.batch), size));
  const { loss } = await trainer.evaluate(batches, signal);
  const tokens = chosen.reduce((total, { targets, from: first }) => total + targets.length - first, 0);
  return { loss, bitsPerByte: bitsPerByte(loss, shards), tokens };
}

/** @param loss nats a token over the shards' text. */
export function bitsPerByte(loss: number, shards: Pick<TokenShards, "tokens" | "bytes">): number {
  return (loss * (shards.tokens - 1)) / Math.LN2 / shards.bytes;
}

// --- internal ---

/** Windows as the rows of a micro-batch; what is left over counts for nothing. */
function joined(windows: readonly ValidationWindow[], { batch, seq }: ValidationSize): MicroBatch {
  const tokens = new Int32Array(batch * seq);
  const targets = new Int32Array(batch * seq);
  const weights = new Float32Array(batch * seq);
  for (const [row, window] of windows.entries()) {
    tokens.set(window.tokens, row * seq);
    targets.set(window.targets, row * seq);
    weights.fill(1, row * seq + window.from, row * seq + window.targets.length);
  }
  return { tokens, targets, weights };
}
