/**
 * The losses of proximal policy optimisation (Schulman et al. 2017), over the tokens of answers, in the graph.
 * Meta publishes ε = 0.2; the clipped value loss and its bound are those of InstructGPT's and TRL's code.
 */

import type { Graph } from "../tensor/graph.ts";
import { add, mul, scale, sum } from "../tensor/ops.ts";
import { clamp, exp, maximum, minimum, sub } from "../tensor/pointwise.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What is known of each token before the update. All `[batch · seq]` */
export interface PolicyInputs {
  readonly oldLogprobs: Tensor;
  readonly advantages: Tensor;
  /** What each token counts in the mean; 0 where there is no token of an answer. */
  readonly shares: Tensor;
}

/**
 * The clipped surrogate objective, negated for descent (Schulman et al. 2017, eq. 7):
 *
 *     L = -E[min(ρ A, clip(ρ, 1 - ε, 1 + ε) A)],     ρ = π_θ / π_old
 *
 * @param logprobs log π_θ of each token. `[batch · seq]`
 * @param epsilon  ε; infinite for the plain policy gradient.
 */
export function policyLoss(g: Graph, logprobs: Tensor, inputs: PolicyInputs, epsilon: number): Tensor {
  const ratio = exp(g, sub(g, logprobs, inputs.oldLogprobs));
  const unclipped = mul(g, ratio, inputs.advantages);
  const clipped = mul(g, clamp(g, ratio, 1 - epsilon, 1 + epsilon), inputs.advantages);
  return scale(g, sum(g, mul(g, minimum(g, unclipped, clipped), inputs.shares)), -1);
}

/** All `[batch · seq]` */
export interface ValueInputs {
  readonly oldValues: Tensor;
  readonly returns: Tensor;
  readonly shares: Tensor;
}

/**
 * The squared error of the value function, which gains nothing by leaving ε of what it was:
 *
 *     L = ½ E[max((V - R)², (V_old + clip(V - V_old, -ε, ε) - R)²)]
 *
 * @param values V before each token. `[batch · seq]`
 */
export function valueLoss(g: Graph, values: Tensor, inputs: ValueInputs, epsilon: number): Tensor {
  const { oldValues, returns, shares } = inputs;
  const moved = clamp(g, sub(g, values, oldValues), -epsilon, epsilon);
  const error = sub(g, values, returns);
  const clippedError = sub(g, add(g, oldValues, moved), returns);
  const larger = maximum(g, mul(g, error, error), mul(g, clippedError, clippedError));
  return scale(g, sum(g, mul(g, larger, shares)), 0.5);
}
