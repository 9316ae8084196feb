/** The losses of PPO in float64, as the papers write them (Schulman et al. 2017, eq. 7; Ouyang et al. 2022). */

export interface PolicyBatch {
  readonly oldLogprobs: ArrayLike<number>;
  readonly advantages: ArrayLike<number>;
  /** What each token counts in the mean. */
  readonly shares: ArrayLike<number>;
}

/** -Σ w min(ρ A, clip(ρ, 1 - ε, 1 + ε) A), ρ = exp(logprob - oldLogprob). */
export function policyLoss(logprobs: Float64Array, batch: PolicyBatch, epsilon: number): number {
  return logprobs.reduce((sum, logprob, t) => {
    const ratio = Math.exp(logprob - batch.oldLogprobs[t]!);
    const clipped = Math.min(Math.max(ratio, 1 - epsilon), 1 + epsilon);
    const advantage = batch.advantages[t]!;
    return sum - batch.shares[t]! * Math.min(ratio * advantage, clipped * advantage);
  }, 0);
}

/** By each log-probability: -w ρ A, and 0 where the clipped term is the smaller one. */
export function policyLossBackward(
  logprobs: Float64Array,
  batch: PolicyBatch,
  epsilon: number,
): Float64Array {
  return logprobs.map((logprob, t) => {
    const ratio = Math.exp(logprob - batch.oldLogprobs[t]!);
    const advantage = batch.advantages[t]!;
    const isClipped = advantage > 0 ? ratio > 1 + epsilon : ratio < 1 - epsilon;
    return isClipped ? 0 : -batch.shares[t]! * ratio * advantage;
  });
}

export interface ValueBatch {
  readonly oldValues: ArrayLike<number>;
  readonly returns: ArrayLike<number>;
  readonly shares: ArrayLike<number>;
}

/** ½ Σ w max((V - R)², (V_old + clip(V - V_old, -ε, ε) - R)²). */
export function valueLoss(values: Float64Array, batch: ValueBatch, epsilon: number): number {
  return values.reduce((sum, value, t) => {
    const [old, goal] = [batch.oldValues[t]!, batch.returns[t]!];
    const near = old + Math.min(Math.max(value - old, -epsilon), epsilon);
    return sum + 0.5 * batch.shares[t]! * Math.max((value - goal) ** 2, (near - goal) ** 2);
  }, 0);
}

/** By each value: w (V - R), and 0 where the clipped error is the larger one. */
export function valueLossBackward(values: Float64Array, batch: ValueBatch, epsilon: number): Float64Array {
  return values.map((value, t) => {
    const [old, goal] = [batch.oldValues[t]!, batch.returns[t]!];
    const near = old + Math.min(Math.max(value - old, -epsilon), epsilon);
    return (near - goal) ** 2 > (value - goal) ** 2 ? 0 : batch.shares[t]! * (value - goal);
  });
}
