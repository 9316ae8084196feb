/** The objective of reward modelling: the ranking loss, and for a safety model the auxiliary safety loss. */

import { scalars } from "../model/heads.ts";
import { add, rows } from "../tensor/ops.ts";
import type { Objective } from "../train/objective.ts";
import { rankingLoss, safetyLoss } from "./loss.ts";
import type { PairBatch } from "./pairs.ts";

/** @param safetyWeight what the auxiliary safety loss counts beside the ranking loss; 0 leaves it out. */
export function ranking(safetyWeight: number): Objective<PairBatch> {
  return {
    tokensOf: ({ tokens }) => tokens,
    weightOf: ({ weights }) => weights.reduce((a, b) => a + b, 0),
    build(g, { weights: { head }, states, batch, seq }) {
      const pairs = batch / 2;
      const ends = ["chosen", "rejected"].map(() => g.input([pairs], { dtype: "i32", limit: batch * seq }));
      const [chosen, rejected] = ends.map((end) => scalars(g, rows(g, states, end), head)) as [
        Scores,
        Scores,
      ];
      const [margin, shares] = [g.input([pairs]), g.input([pairs])];
      let loss = rankingLoss(g, { chosen, rejected, margin, shares });
      const labelled =
        safetyWeight === 0
          ? []
          : [chosen, rejected].map((scores) => {
              const [signs, counts] = [g.input([pairs]), g.input([pairs])];
              loss = add(g, loss, safetyLoss(g, scores, signs, counts));
              return { signs, counts };
            });
      return {
        loss,
        outputs: { chosen, rejected },
        write(micro, total) {
          for (const [i, end] of ends.entries()) end.write(micro.ends.slice(i * pairs, (i + 1) * pairs));
          margin.write(micro.margins);
          shares.write(micro.weights.map((weight) => weight / total));
          for (const [i, { signs, counts }] of labelled.entries()) {
            const safety = micro.safety.slice(i * pairs, (i + 1) * pairs);
            signs.write(safety);
            // Half of the pair's share each: the mean over the pair's two answers.
            counts.write(safety.map((sign) => (Math.abs(sign) * safetyWeight) / (2 * total)));
          }
        },
      };
    },
  };
}

// --- internal ---

type Scores = ReturnType<typeof scalars>;
