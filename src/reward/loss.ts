/**
 * What a reward model is trained for (Llama 2 §3.2.2): that the answer people chose scores higher, by a margin the
 * larger the clearer they were,
 *
 *     L_ranking = -log σ(r(x, y_c) - r(x, y_r) - m(r))                                   (eq. 1 without m, eq. 2)
 *
 * and, for the safety model, that safe answers score above 0 and unsafe ones below. The paper adds "an auxiliary
 * safety loss" without its form; here it is the cross-entropy of σ(r) with the safety label, meant over a pair's two
 * answers: -log σ(r) where the answer is safe, -log σ(-r) where it is not.
 */

import type { Graph } from "../tensor/graph.ts";
import { mul, scale, sum } from "../tensor/ops.ts";
import { softplus, sub } from "../tensor/pointwise.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { SafetyLabel, Strength } from "../preference/comparison.ts";

/** m(r) of Llama 2 Table 27, by how much better the chosen answer is. */
export const margins = {
  none: { significantly: 0, better: 0, slightly: 0, negligibly: 0 },
  small: { significantly: 1, better: 2 / 3, slightly: 1 / 3, negligibly: 0 },
  large: { significantly: 3, better: 2, slightly: 1, negligibly: 0 },
} as const satisfies Record<string, Readonly<Record<Strength, number>>>;

export type MarginTable = keyof typeof margins;

/** 0 where the data do not say how much better. */
export function marginOf(table: MarginTable, strength: Strength | undefined): number {
  return strength === undefined ? 0 : margins[table][strength];
}

/** 1 for a safe answer, -1 for an unsafe one, 0 where the data do not say. */
export function safetySigns(label: SafetyLabel | undefined): {
  readonly chosen: number;
  readonly rejected: number;
} {
  switch (label) {
    case "chosen-safe":
      return { chosen: 1, rejected: -1 };
    case "both-safe":
      return { chosen: 1, rejected: 1 };
    case "both-unsafe":
      return { chosen: -1, rejected: -1 };
    case undefined:
      return { chosen: 0, rejected: 0 };
  }
}

export interface RankedScores {
  /** r(x, y_c). `[pairs]` */
  readonly chosen: Tensor;
  /** r(x, y_r). `[pairs]` */
  readonly rejected: Tensor;
  /** m(r). `[pairs]` */
  readonly margin: Tensor;
  /** What each pair counts. `[pairs]` */
  readonly shares: Tensor;
}

/** Σ shares · -log σ(r_c - r_r - m). In nats. [1] */
export function rankingLoss(g: Graph, { chosen, rejected, margin, shares }: RankedScores): Tensor {
  return sum(g, mul(g, negLogSigmoid(g, sub(g, sub(g, chosen, rejected), margin)), shares));
}

/**
 * Σ shares · -log σ(±r), by the sign of each answer's safety. In nats. [1]
 *
 * @param signs  1 for safe, -1 for unsafe. `[answers]`
 * @param shares what each answer counts; 0 where its safety is not known. `[answers]`
 */
export function safetyLoss(g: Graph, scores: Tensor, signs: Tensor, shares: Tensor): Tensor {
  return sum(g, mul(g, negLogSigmoid(g, mul(g, scores, signs)), shares));
}

// --- internal ---

function negLogSigmoid(g: Graph, x: Tensor): Tensor {
  return softplus(g, scale(g, x, -1));
}
