/** The n-gram model that a trained model is measured against, on the same tokens. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { TokenShards } from "../../corpus/shards.ts";
import { trainNgram } from "../../evaluate/ngram.ts";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { readJsonFile } from "../../formats/json.ts";
import { bitsPerByte } from "../../train/validation.ts";
import { Progress } from "../progress.ts";
import type { PreparedCorpus } from "./corpus.ts";
import type { StageContext } from "./context.ts";

export interface Baseline {
  readonly order: number;
  readonly bitsPerByte: number;
}

/** Its counts would not fit into memory beyond so many training tokens. */
const mostTokens = 50_000_000;

/** Trains and scores it once, and remembers the result beside the shards. Nothing for corpora too large or without validation. */
export async function ngramBaseline(
  corpus: PreparedCorpus,
  folder: string,
  context: StageContext,
): Promise<Baseline | undefined> {
  const { train, validation, tokenizer } = corpus;
  if (validation === undefined || train.tokens > mostTokens) return undefined;
  const file = join(folder, "baseline.json");
  if (existsSync(file)) return readJsonFile(file) as unknown as Baseline;
  context.signal.throwIfAborted();
  const order = 5;
  const bar = { label: `${order}-gram baseline`, total: train.tokens, unit: "tokens" };
  using progress = new Progress({ ...bar, stream: context.stderr });
  const model = await trainNgram(whole(train), {
    order,
    vocabSize: tokenizer.vocabSize,
    onProgress: (done) => progress.update({ done: Math.floor(done * train.tokens) }),
  });
  const { nats, tokens } = model.score(whole(validation));
  const baseline = { order, bitsPerByte: bitsPerByte(nats / tokens, validation) };
  writeFileAtomically(file, `${JSON.stringify(baseline)}\n`);
  progress.end(`${baseline.bitsPerByte.toFixed(3)} bits per byte`);
  return baseline;
}

// --- internal ---

function whole(shards: TokenShards): Int32Array {
  const tokens = new Int32Array(shards.tokens);
  shards.read(0, shards.tokens, tokens);
  return tokens;
}
