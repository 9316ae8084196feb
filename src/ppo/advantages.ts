/**
 * Advantages by generalised estimation (Schulman et al. 2016, eq. 16), and whitening. Meta has not published its
 * settings; λ 0.95 and whitening over the batch are those of TRL, which follows Stiennon et al. 2020.
 */

/**
 * The advantage of each token of one answer, from its last token backwards:
 *
 *     δₜ = rₜ + γ V(sₜ₊₁) - V(sₜ),     Aₜ = δₜ + γ λ Aₜ₊₁,     V and A are 0 after the last token
 *
 * An answer that was cut off at the limit counts as ended there, as in TRL.
 *
 * @param rewards `[tokens]`
 * @param values  V of the text before each token. `[tokens]`
 */
export function advantages(
  rewards: ArrayLike<number>,
  values: ArrayLike<number>,
  gamma: number,
  lambda: number,
): Float64Array {
  const result = new Float64Array(rewards.length);
  let next = 0;
  let nextValue = 0;
  for (let t = rewards.length - 1; t >= 0; t -= 1) {
    const delta = rewards[t]! + gamma * nextValue - values[t]!;
    next = delta + gamma * lambda * next;
    nextValue = values[t]!;
    result[t] = next;
  }
  return result;
}

export interface Whitened {
  /** In the rows that they came in. */
  readonly rows: readonly Float64Array[];
  readonly mean: number;
  /** Standard deviation of the population. */
  readonly std: number;
}

/**
 * (x - mean) / √(variance + 1e-8), over the numbers of all rows together. The variance is the population's, so that one
 * number whitens to 0; TRL divides it by one less than the count, which makes its numbers smaller by √((n - 1) / n).
 */
export function whiten(rows: readonly Float64Array[]): Whitened {
  const count = rows.reduce((total, row) => total + row.length, 0);
  const total = (of: (x: number) => number): number =>
    rows.reduce((sum, row) => row.reduce((part, x) => part + of(x), sum), 0);
  const mean = count === 0 ? 0 : total((x) => x) / count;
  const variance = count === 0 ? 0 : total((x) => (x - mean) ** 2) / count;
  const scale = 1 / Math.sqrt(variance + 1e-8);
  return { rows: rows.map((row) => row.map((x) => (x - mean) * scale)), mean, std: Math.sqrt(variance) };
}
