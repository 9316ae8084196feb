/** Numbers that TRL's PPO made, and Cria's arithmetic on the same inputs. See `tests/fixtures/trl/PROVENANCE.md`. */

import { advantages, whiten } from "../../src/ppo/advantages.ts";
import { policyLoss, valueLoss } from "../../src/ppo/loss.ts";
import { rolloutMetrics, updateMetrics } from "../../src/ppo/metrics.ts";
import { shapedRewards } from "../../src/ppo/reward-shaping.ts";
import type { PpoBatch } from "../../src/ppo/sequences.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { Graph } from "../../src/tensor/graph.ts";

/** By answer, and by token. */
type Rows = readonly (readonly number[])[];

/** What both make of a case. */
export interface PpoNumbers {
  readonly rewards: Rows;
  readonly kl: number;
  readonly returns: Rows;
  /** Whitened over all tokens. */
  readonly advantages: Rows;
  readonly policyLoss: number;
  readonly valueLoss: number;
  readonly clipfrac: number;
  readonly valueClipfrac: number;
  readonly approxkl: number;
  readonly ratio: number;
}

export interface TrlCase {
  readonly settings: Readonly<Record<"gamma" | "lam" | "epsilon" | "valueEpsilon" | "beta", number>>;
  readonly logprobs: Rows;
  readonly refLogprobs: Rows;
  readonly values: Rows;
  readonly scores: readonly number[];
  /** After a step. */
  readonly newLogprobs: Rows;
  readonly newValues: Rows;
  readonly trl: PpoNumbers;
}

/** Losses are of TRL's advantages, so that they are compared by themselves. */
export async function arithmeticOf(known: TrlCase): Promise<PpoNumbers> {
  const { gamma, lam, epsilon, valueEpsilon, beta } = known.settings;
  const trajectories = known.logprobs.map((logprobs, i) => ({
    logprobs: Float32Array.from(logprobs),
    refLogprobs: Float32Array.from(known.refLogprobs[i]!),
    values: Float32Array.from(known.values[i]!),
    score: known.scores[i]!,
    isSafety: false,
    isFinished: true,
  }));
  const rewards = trajectories.map((trajectory) => shapedRewards(trajectory, trajectory.score, beta));
  const raw = rewards.map((row, i) => advantages(row, known.values[i]!, gamma, lam));
  const batch = batchOf(known);
  const [newLogprobs, newValues] = [known.newLogprobs, known.newValues].map(flat) as [
    Float32Array,
    Float32Array,
  ];
  const updated = { logprobs: [newLogprobs], values: [newValues], gradientNorm: 0, isSkipped: false };
  const measured = updateMetrics([{ batches: [batch], updated }], { epsilon, valueEpsilon });
  return {
    rewards: rewards.map((row) => Array.from(row)),
    kl: rolloutMetrics(trajectories, beta)["objective/kl"]!,
    returns: raw.map((row, i) => Array.from(row, (advantage, t) => advantage + known.values[i]![t]!)),
    advantages: whiten(raw).rows.map((row) => Array.from(row)),
    ...(await lossesOf(batch, { newLogprobs, newValues }, { epsilon, valueEpsilon })),
    clipfrac: measured["policy/clipfrac_avg"]!,
    valueClipfrac: measured["val/clipfrac_avg"]!,
    approxkl: measured["policy/approxkl_avg"]!,
    ratio: measured["val/ratio"]!,
  };
}

/** Whitened numbers, as if by the variance that divides by one less: TRL's. */
export function unbiased(rows: Rows): Rows {
  const count = rows.flat().length;
  return rows.map((row) => row.map((x) => x * Math.sqrt((count - 1) / count)));
}

// --- internal ---

function flat(rows: Rows): Float32Array {
  return Float32Array.from(rows.flat());
}

/** All answers in one row, without padding: only their tokens count. */
function batchOf({ logprobs, values, trl }: TrlCase): PpoBatch {
  const length = logprobs.flat().length;
  return {
    tokens: new Int32Array(length),
    targets: new Int32Array(length),
    mask: new Float32Array(length).fill(1),
    rows: [{ rollout: 0, from: 0, length }],
    oldLogprobs: flat(logprobs),
    advantages: flat(trl.advantages),
    oldValues: flat(values),
    returns: flat(trl.returns),
  };
}

async function lossesOf(
  batch: PpoBatch,
  { newLogprobs, newValues }: Readonly<Record<"newLogprobs" | "newValues", Float32Array>>,
  { epsilon, valueEpsilon }: { readonly epsilon: number; readonly valueEpsilon: number },
): Promise<Pick<PpoNumbers, "policyLoss" | "valueLoss">> {
  const count = newLogprobs.length;
  using backend = openBackend({ threads: 1 });
  using g = new Graph("losses", backend);
  const constant = (numbers: Float32Array) => g.constant(numbers, [count]);
  const shares = constant(new Float32Array(count).fill(1 / count));
  const { oldLogprobs, advantages: advantage, oldValues, returns } = batch;
  const policyInputs = { oldLogprobs: constant(oldLogprobs), advantages: constant(advantage), shares };
  const valueInputs = { oldValues: constant(oldValues), returns: constant(returns), shares };
  const policy = g.output(policyLoss(g, constant(newLogprobs), policyInputs, epsilon));
  const value = g.output(valueLoss(g, constant(newValues), valueInputs, valueEpsilon));
  g.allocate();
  await g.compute();
  return { policyLoss: policy.readF32()[0]!, valueLoss: value.readF32()[0]! };
}
