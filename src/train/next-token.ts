/** The objective of pretraining and fine-tuning: the next token's cross-entropy, weighted by token. */

import { createTargets, crossEntropy, writeTargets } from "../tensor/loss.ts";
import type { Objective } from "./objective.ts";

/** Sequences that are computed at once. */
export interface MicroBatch {
  /** `[batch, seq]` */
  readonly tokens: Int32Array;
  /** The token after each. `[batch, seq]` */
  readonly targets: Int32Array;
  /** What each target counts, 0 for none; all 1 when left out. `[batch, seq]` */
  readonly weights?: Float32Array;
}

export const nextToken: Objective<MicroBatch> = {
  tokensOf: ({ tokens }) => tokens,
  weightOf: ({ tokens, weights }) => weights?.reduce((a, b) => a + b, 0) ?? tokens.length,
  build(g, { weights: { head }, states, batch, seq }) {
    const targets = createTargets(g, batch * seq, head.shape[0]!);
    return {
      loss: crossEntropy(g, { x: states, head, targets }),
      write(micro, total) {
        // The mean over all micro-batches: each token's share is known beforehand, so sums just add up.
        const shares =
          micro.weights?.map((weight) => weight / total) ??
          new Float32Array(micro.tokens.length).fill(1 / total);
        writeTargets(targets, micro.targets, shares);
      },
    };
  },
};
