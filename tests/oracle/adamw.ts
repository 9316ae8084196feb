/** AdamW and the clipping of gradients in float64, as the papers write them. All work in place. */

export interface AdamWSettings {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** λ, decoupled from the gradient. */
  readonly weightDecay: number;
  /** The step's number, from 1. */
  readonly t: number;
}

/**
 * One step (Loshchilov and Hutter 2019, algorithm 2), on θ = p and the moments m and v:
 *
 *     m ← β₁ m + (1 - β₁) g        v ← β₂ v + (1 - β₂) g²
 *     θ ← θ - lr · (m̂ / (√v̂ + ε) + λ θ),   m̂ = m / (1 - β₁ᵗ),   v̂ = v / (1 - β₂ᵗ)
 */
export function adamwStep(
  p: Float64Array,
  g: Float64Array,
  m: Float64Array,
  v: Float64Array,
  { lr, beta1, beta2, eps, weightDecay, t }: AdamWSettings,
): void {
  for (let i = 0; i < p.length; i += 1) {
    m[i] = beta1 * m[i]! + (1 - beta1) * g[i]!;
    v[i] = beta2 * v[i]! + (1 - beta2) * g[i]! ** 2;
    const mHat = m[i]! / (1 - beta1 ** t);
    const vHat = v[i]! / (1 - beta2 ** t);
    p[i]! -= lr * (mHat / (Math.sqrt(vHat) + eps) + weightDecay * p[i]!);
  }
}

/**
 * Scales all gradients such that their common norm is at most `maxNorm` (Pascanu et al. 2013, algorithm 1).
 *
 * @returns the norm before.
 */
export function clipGlobalNorm(gradients: Readonly<Record<string, Float64Array>>, maxNorm: number): number {
  let squares = 0;
  for (const gradient of Object.values(gradients)) {
    for (const value of gradient) squares += value * value;
  }
  const norm = Math.sqrt(squares);
  if (norm <= maxNorm) return norm;
  for (const gradient of Object.values(gradients)) {
    for (let i = 0; i < gradient.length; i += 1) gradient[i]! *= maxNorm / norm;
  }
  return norm;
}
