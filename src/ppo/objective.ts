/** What the policy and the value function are trained for, apart or on one trunk. */

import { scalars, unusedBias } from "../model/heads.ts";
import type { Graph } from "../tensor/graph.ts";
import { tokenLogprobs } from "../tensor/logprobs.ts";
import { add, scale } from "../tensor/ops.ts";
import { createTargetTokens, writeTargetTokens } from "../tensor/targets.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { BuiltObjective, Objective, ObjectivePass } from "../train/objective.ts";
import { policyLoss, valueLoss } from "./loss.ts";
import type { PpoBatch } from "./sequences.ts";

export interface PolicyObjectiveOptions {
  readonly epsilon: number;
  /** That answers are sampled at: log-probabilities are of the logits divided by it. */
  readonly temperature: number;
}

/** The policy's loss, over the tokens that it can draw. Outputs: `logprobs` `[batch · seq]`. */
export function policyObjective(options: PolicyObjectiveOptions): Objective<PpoBatch> {
  return { tokensOf, weightOf, build: (g, pass) => buildPolicy(g, pass, options) };
}

export interface ValueObjectiveOptions {
  readonly valueEpsilon: number;
}

/** The loss of a value function that is a model of its own, with a scalar head. Outputs: `values` `[batch · seq]`. */
export function valueObjective(options: ValueObjectiveOptions): Objective<PpoBatch> {
  return { tokensOf, weightOf, build: (g, pass) => buildValue(g, pass, pass.weights.head, options) };
}

/**
 * Both losses on the policy's trunk, the value's times a coefficient.
 *
 * @param valueHead `[1, dim]`
 */
export function sharedObjective(
  options: PolicyObjectiveOptions & ValueObjectiveOptions & { readonly valueCoefficient: number },
  valueHead: Tensor,
): Objective<PpoBatch> {
  return {
    tokensOf,
    weightOf,
    build(g, pass) {
      const policy = buildPolicy(g, pass, options);
      const value = buildValue(g, pass, valueHead, options);
      return {
        loss: add(g, policy.loss, scale(g, value.loss, options.valueCoefficient)),
        write(batch, total) {
          policy.write(batch, total);
          value.write(batch, total);
        },
        outputs: { ...policy.outputs, ...value.outputs },
      };
    },
  };
}

// --- internal ---

const tokensOf = ({ tokens }: PpoBatch): Int32Array => tokens;

/** Every token of every answer of a mini-batch counts alike. */
const weightOf = ({ mask }: PpoBatch): number => mask.reduce((a, b) => a + b, 0);

function sharesOf({ mask }: PpoBatch, total: number): Float32Array {
  return mask.map((on) => on / total);
}

function buildPolicy(
  g: Graph,
  { weights, states, batch, seq }: ObjectivePass,
  { epsilon, temperature }: PolicyObjectiveOptions,
): BuiltObjective<PpoBatch> {
  const tokens = batch * seq;
  const targets = createTargetTokens(g, tokens, weights.head.shape[0]!);
  const [oldLogprobs, advantages, shares] = [g.input([tokens]), g.input([tokens]), g.input([tokens])];
  const x = temperature === 1 ? states : scale(g, states, 1 / temperature);
  const logprobs = tokenLogprobs(g, { x, head: weights.head, targets, bias: unusedBias(g, weights) });
  return {
    loss: policyLoss(g, logprobs, { oldLogprobs, advantages, shares }, epsilon),
    write(micro, total) {
      writeTargetTokens(targets, micro.targets);
      oldLogprobs.write(micro.oldLogprobs);
      advantages.write(micro.advantages);
      shares.write(sharesOf(micro, total));
    },
    outputs: { logprobs },
  };
}

function buildValue(
  g: Graph,
  { states, batch, seq }: ObjectivePass,
  head: Tensor,
  { valueEpsilon }: ValueObjectiveOptions,
): BuiltObjective<PpoBatch> {
  const tokens = batch * seq;
  const [oldValues, returns, shares] = [g.input([tokens]), g.input([tokens]), g.input([tokens])];
  const values = scalars(g, states, head);
  return {
    loss: valueLoss(g, values, { oldValues, returns, shares }, valueEpsilon),
    write(micro, total) {
      oldValues.write(micro.oldValues);
      returns.write(micro.returns);
      shares.write(sharesOf(micro, total));
    },
    outputs: { values },
  };
}
