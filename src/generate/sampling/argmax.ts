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
    // Nearly all of them are passed over, which by eights takes half the time.
    while (i + 8 <= logits.length && areAtMost(max, logits, i)) i += 8;
    if (i === logits.length) break;
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

/** Whether the eight from `i` on are: false where one is NaN. */
function areAtMost(max: number, logits: Float32Array, i: number): boolean {
  return (
    logits[i]! <= max &&
    logits[i + 1]! <= max &&
    logits[i + 2]! <= max &&
    logits[i + 3]! <= max &&
    logits[i + 4]! <= max &&
    logits[i + 5]! <= max &&
    logits[i + 6]! <= max &&
    logits[i + 7]! <= max
  );
}

const mend = "The weights are damaged, or training diverged: take an earlier checkpoint.";

function notFinite(id: number, logit: number): EngineError {
  return new EngineError(`the model's logit of token ${id} is ${logit}`, { mend });
}
