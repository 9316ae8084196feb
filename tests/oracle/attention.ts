/**
 * Causal attention with grouped queries (Vaswani et al. 2017, eq. 1; Ainslie et al. 2023), after RoPE, in float64:
 *
 *     p[h, t, s] = softmax over s of q[t, h] · k[s, g(h)] / √headDim, for s ≤ t
 *     y[t, h] = Σₛ p[h, t, s] v[s, g(h)],   g(h) = ⌊h / (nHeads / nKvHeads)⌋
 */

import { softmax, softmaxBackward } from "./equations.ts";

export interface Heads {
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
}

/** q `[seq, nHeads, headDim]`, k and v `[seq, nKvHeads, headDim]` */
export interface AttentionInputs {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
}

/** 0 where the query may look, -∞ ahead of it. `[seq, seq]` */
export function causalMask(seq: number): Float64Array {
  return Float64Array.from({ length: seq * seq }, (_, at) =>
    at % seq > Math.floor(at / seq) ? -Infinity : 0,
  );
}

/** @returns p. `[nHeads, seq, seq]` */
export function attentionWeights({ q, k }: AttentionInputs, heads: Heads): Float64Array {
  const { nHeads, headDim } = heads;
  const seq = q.length / (nHeads * headDim);
  const scores = new Float64Array(nHeads * seq * seq);
  forEachPair(seq, heads, ({ score, query, key }) => {
    for (let c = 0; c < headDim; c += 1) scores[score]! += q[query + c]! * k[key + c]!;
  });
  return softmax(scores, causalMask(seq), headDim ** -0.5, seq);
}

/** @returns y. `[seq, nHeads, headDim]` */
export function attention(inputs: AttentionInputs, heads: Heads): Float64Array {
  const { q, v } = inputs;
  const p = attentionWeights(inputs, heads);
  const y = new Float64Array(q.length);
  forEachPair(q.length / (heads.nHeads * heads.headDim), heads, ({ score, query, key }) => {
    for (let c = 0; c < heads.headDim; c += 1) y[query + c]! += p[score]! * v[key + c]!;
  });
  return y;
}

/** dp = dy vᵀ, dv = pᵀ dy, and through the softmax dq = ds k, dk = dsᵀ q. Heads of a group add up in k and v. */
export function attentionBackward(inputs: AttentionInputs, heads: Heads, dy: Float64Array): AttentionInputs {
  const { q, k, v } = inputs;
  const { nHeads, headDim } = heads;
  const seq = q.length / (nHeads * headDim);
  const p = attentionWeights(inputs, heads);
  const dp = new Float64Array(p.length);
  const [dq, dk, dv] = [q, k, v].map((x) => new Float64Array(x.length)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  forEachPair(seq, heads, ({ score, query, key }) => {
    for (let c = 0; c < headDim; c += 1) {
      dp[score]! += dy[query + c]! * v[key + c]!;
      dv[key + c]! += p[score]! * dy[query + c]!;
    }
  });
  const dscores = softmaxBackward(p, dp, headDim ** -0.5, seq);
  forEachPair(seq, heads, ({ score, query, key }) => {
    for (let c = 0; c < headDim; c += 1) {
      dq[query + c]! += dscores[score]! * k[key + c]!;
      dk[key + c]! += dscores[score]! * q[query + c]!;
    }
  });
  return { q: dq, k: dk, v: dv };
}

// --- internal ---

/** Where a query and a key it may see begin in q and k (and y and v), and their place in the scores. */
interface Pair {
  readonly score: number;
  readonly query: number;
  readonly key: number;
}

function forEachPair(seq: number, { nHeads, nKvHeads, headDim }: Heads, visit: (pair: Pair) => void): void {
  for (let h = 0; h < nHeads; h += 1) {
    const group = Math.floor(h / (nHeads / nKvHeads));
    for (let t = 0; t < seq; t += 1) {
      for (let s = 0; s <= t; s += 1) {
        visit({
          score: (h * seq + t) * seq + s,
          query: (t * nHeads + h) * headDim,
          key: (s * nKvHeads + group) * headDim,
        });
      }
    }
  }
}
