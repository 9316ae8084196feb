/**
 * How far a policy has moved from where it started, along answers of its own:
 *
 *     KL = Σ_t Σ_v π(v | s_t) (log π(v | s_t) - log π₀(v | s_t))
 *
 * over the whole vocabulary at each of the answer's tokens, so that it is never negative, whatever was drawn.
 */

import type { Example } from "../dialog/llama2-chat.ts";
import type { Decoder } from "../model/decoder.ts";

export interface Divergence {
  /** Mean over answers, in nats. */
  readonly perAnswer: number;
  /** Mean over the answers' tokens, in nats. */
  readonly perToken: number;
}

/** @param examples dialogs whose masks mark the answers. Those longer than the context are left out. */
export async function divergence(
  policy: Decoder,
  reference: Decoder,
  examples: readonly Example[],
  signal?: AbortSignal,
): Promise<Divergence> {
  let [nats, tokens, answers] = [0, 0, 0];
  for (const { tokens: ids, lossMask } of examples) {
    if (ids.length > Math.min(policy.contextTokens, reference.contextTokens)) continue;
    const [p, q] = [await logitsOf(policy, ids, signal), await logitsOf(reference, ids, signal)];
    const vocab = policy.weights.config.vocabSize;
    for (let t = 0; t + 1 < ids.length; t += 1) {
      if (lossMask[t + 1] === 0) continue;
      const row = [t * vocab, (t + 1) * vocab] as const;
      nats += divergenceOf(p.subarray(...row), q.subarray(...row));
      tokens += 1;
    }
    answers += 1;
  }
  return { perAnswer: nats / answers, perToken: nats / tokens };
}

/** KL(softmax p ‖ softmax q), in nats. */
export function divergenceOf(p: Float32Array, q: Float32Array): number {
  const [zp, zq] = [logSumExp(p), logSumExp(q)];
  let sum = 0;
  for (let v = 0; v < p.length; v += 1) {
    // Neither model says what is not in the tokenizer.
    if (p[v] === Number.NEGATIVE_INFINITY) continue;
    const logp = p[v]! - zp;
    sum += Math.exp(logp) * (logp - (q[v]! - zq));
  }
  // Rounding may leave equal distributions a hair below.
  return Math.max(0, sum);
}

// --- internal ---

async function logitsOf(
  decoder: Decoder,
  ids: Int32Array,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  decoder.truncate(0);
  return await decoder.readAll(ids, signal);
}

function logSumExp(values: Float32Array): number {
  const most = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}
