/** The largest logit, and the one place that sees every logit and can say that a model is broken. */

import { EngineError } from "../../errors/errors.ts";

/**
 * The token of the largest logit, the first of equals; -1 when all are -Infinity.
 *
 * @param logits `[vocab]`
 * @throws {EngineError} for a logit that is NaN or +Infinity.
 */
export function argmax(logits: Float32Array): number {
  let best = -1;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i += 1) {
    const logit = logits[i]!;
    // Not `logit > max`, so that a NaN comes by here at no cost.
    if (logit <= max) continue;
    if (!(logit < Number.POSITIVE_INFINITY)) throw notFinite(i, logit);
    max = logit;
    best = i;
  }
  return best;
}

/** Of a model whose logits are all -Infinity. */
export function noLogits(vocabSize: number): EngineError {
  return new EngineError(`all ${vocabSize} logits of the model are -Infinity`, { mend });
}

// --- internal ---

const mend = "The weights are damaged, or training diverged: take an earlier checkpoint.";

function notFinite(id: number, logit: number): EngineError {
  return new EngineError(`the model's logit of token ${id} is ${logit}`, { mend });
}
