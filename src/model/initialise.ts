/**
 * Fresh weights. Meta has not published its initialisation; ours is GPT-2's, as most re-implementations have it:
 * N(0, 0.02), the two projections into the residual stream (wo, w2) divided by √(2 · nLayers), gains 1.
 */

import type { LlamaWeights } from "./weights.ts";

/** @param next uniform in [0, 1), a fixed sequence for a fixed seed. */
export function initialise(weights: LlamaWeights, next: () => number, std = 0.02): void {
  const residualStd = std / Math.sqrt(2 * weights.config.nLayers);
  for (const [name, weight] of Object.entries(weights.byName)) {
    if (weight.shape.length === 1) weight.write(new Float32Array(weight.elements).fill(1));
    else weight.write(normal(weight.elements, /\.(wo|w2)\.weight$/.test(name) ? residualStd : std, next));
  }
}

/** N(0, std²) (Box and Muller 1958). */
export function normal(count: number, std: number, next: () => number): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = std * Math.sqrt(-2 * Math.log(1 - next()));
    const angle = 2 * Math.PI * next();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}
