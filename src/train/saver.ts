/** Writes the checkpoints of one run and remembers the last. */

import { join } from "node:path";
import type { LlamaWeights } from "../model/weights.ts";
import type { AdamWState } from "../tensor/adamw.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkpointName, pruneCheckpoints, saveCheckpoint, type RunState } from "./checkpoint.ts";

export interface SaverOptions {
  /** Where checkpoints are kept. */
  readonly folder: string;
  readonly keepCheckpoints: number;
  readonly weights: LlamaWeights;
  readonly optimizer: AdamWState;
  readonly tokenizer: Tokenizer;
  /** The checkpoint that the run went on from. */
  readonly resumed: string | undefined;
  readonly onSaved: (checkpoint: string, step: number) => void;
}

export interface Saver {
  /** Directory of the newest checkpoint. */
  readonly last: string | undefined;
  /** Writes a checkpoint, unless the newest is of this step. */
  save(run: RunState): string;
}

export function createSaver(options: SaverOptions): Saver {
  const { folder, keepCheckpoints, weights, optimizer, tokenizer } = options;
  let last = options.resumed;
  return {
    get last() {
      return last;
    },
    save(run) {
      const checkpoint = join(folder, checkpointName(run.step));
      if (checkpoint === last) return checkpoint;
      saveCheckpoint(checkpoint, { weights, tokenizer, optimizer, run });
      pruneCheckpoints(folder, keepCheckpoints);
      last = checkpoint;
      options.onSaved(checkpoint, run.step);
      return checkpoint;
    },
  };
}
