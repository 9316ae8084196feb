/** One iteration of PPO: rollouts, scores, advantages, and a gradient step for each mini-batch. */

import { createRandom } from "../corpus/random.ts";
import { EngineError } from "../errors/errors.ts";
import type { RewardFunction } from "../reward/reward-function.ts";
import { advantages, whiten } from "./advantages.ts";
import type { Learner, Measured } from "./learner.ts";
import { rolloutMetrics, updateMetrics, type Trajectory, type Update } from "./metrics.ts";
import type { Reference } from "./reference.ts";
import { klEstimate, shapedRewards, whitenedScoresApart } from "./reward-shaping.ts";
import type { Rollout } from "./rollout.ts";
import { scoresOf } from "./score.ts";
import { layOut, rowOf, type LayoutOptions, type PpoBatch, type Sequences } from "./sequences.ts";

export interface IterationOptions extends LayoutOptions {
  readonly beta: number;
  readonly gamma: number;
  readonly lambda: number;
  readonly epsilon: number;
  readonly valueEpsilon: number;
  /** Whether scores are whitened over the iteration, as in the paper. */
  readonly whitenScores: boolean;
  /** Whether those of safety prompts are whitened by themselves: another reward model gave them, on another scale. */
  readonly whitenApart?: boolean | undefined;
  /** Taken from the score, after whitening, of an answer that does not end by itself. */
  readonly missingEosPenalty: number;
}

export interface IterationParts {
  readonly learner: Learner;
  readonly reference: Reference;
  readonly reward: RewardFunction;
}

/** Rollouts in their mini-batches, and what was made of each. By rollout. */
export interface Scored {
  readonly layout: readonly (readonly Sequences[])[];
  readonly trajectories: readonly Trajectory[];
  /** Mean KL to the reference, in nats an answer. */
  readonly kl: number;
}

/** Log-probabilities, values and scores of rollouts. Changes nothing. */
export async function scoreRollouts(
  rollouts: readonly Rollout[],
  { learner, reference, reward }: IterationParts,
  options: IterationOptions & { readonly seed: number },
  signal?: AbortSignal,
): Promise<Scored> {
  const layout = layOut(rollouts, options, createRandom(options.seed));
  const all = layout.flat();
  const measured = await learner.measure(all, signal);
  const refLogprobs = await reference.logprobs(all, signal);
  const scores = await scoresOf(rollouts, reward, signal);
  const trajectories = new Array<Trajectory>(rollouts.length);
  for (const [i, { rows }] of all.entries()) {
    for (const row of rows) {
      trajectories[row.rollout] = {
        logprobs: rowOf(measured.logprobs[i]!, row),
        refLogprobs: rowOf(refLogprobs[i]!, row),
        values: rowOf(measured.values[i]!, row),
        score: scores[row.rollout]!,
        isSafety: rollouts[row.rollout]!.prompt.isSafety,
        isFinished: rollouts[row.rollout]!.isFinished,
      };
    }
  }
  const total = trajectories.reduce((sum, trajectory) => sum + klEstimate(trajectory).k1, 0);
  return { layout, trajectories, kl: total / trajectories.length };
}

export interface IterationResult {
  readonly metrics: Readonly<Record<string, number>>;
  /** Gradient steps whose loss or gradient was not finite. */
  readonly skipped: number;
}

/** Moves the policy and the value function: one gradient step for each mini-batch. */
export async function learn(
  { layout, trajectories }: Scored,
  learner: Pick<Learner, "step">,
  options: IterationOptions,
): Promise<IterationResult> {
  const scores = whiten([Float64Array.from(trajectories, ({ score }) => score)]);
  const whitenedScores = options.whitenApart === true ? whitenedScoresApart(trajectories) : scores.rows[0]!;
  const rewards = trajectories.map((trajectory, i) => {
    const score = options.whitenScores ? whitenedScores[i]! : trajectory.score;
    const penalty = trajectory.isFinished ? 0 : options.missingEosPenalty;
    return shapedRewards(trajectory, score - penalty, options.beta);
  });
  const raw = rewards.map((row, i) =>
    advantages(row, trajectories[i]!.values, options.gamma, options.lambda),
  );
  const whitened = whiten(raw);
  const goals = raw.map((row, i) => row.map((advantage, t) => advantage + trajectories[i]!.values[t]!));
  const updates: Update[] = [];
  for (const mini of layout) {
    const batches = mini.map((sequences) =>
      withAdvantages(sequences, trajectories, { advantages: whitened.rows, returns: goals }),
    );
    const updated = await learner.step(batches);
    if (updates.length === 0) checkRatio(batches, updated);
    updates.push({ batches, updated });
  }
  return {
    metrics: {
      ...rolloutMetrics(trajectories, options.beta),
      ...updateMetrics(updates, options),
      "whitening/score_mean": scores.mean,
      "whitening/score_std": scores.std,
      "whitening/advantage_mean": whitened.mean,
      "whitening/advantage_std": whitened.std,
    },
    skipped: updates.filter(({ updated }) => updated.isSkipped).length,
  };
}

// --- internal ---

/** By rollout. */
interface Goals {
  readonly advantages: readonly Float64Array[];
  readonly returns: readonly Float64Array[];
}

function withAdvantages(sequences: Sequences, trajectories: readonly Trajectory[], goals: Goals): PpoBatch {
  const spread = (of: (rollout: number) => ArrayLike<number>): Float32Array => {
    const numbers = new Float32Array(sequences.tokens.length);
    for (const { rollout, from } of sequences.rows) numbers.set(of(rollout), from);
    return numbers;
  };
  return {
    ...sequences,
    oldLogprobs: spread((i) => trajectories[i]!.logprobs),
    oldValues: spread((i) => trajectories[i]!.values),
    advantages: spread((i) => goals.advantages[i]!),
    returns: spread((i) => goals.returns[i]!),
  };
}

/** The policy of the first update is the one that was measured: any difference would be an error of ours. */
function checkRatio(batches: readonly PpoBatch[], { logprobs }: Measured): void {
  for (const [i, { rows, oldLogprobs }] of batches.entries()) {
    for (const row of rows) {
      const [now, before] = [rowOf(logprobs[i]!, row), rowOf(oldLogprobs, row)];
      const at = now.findIndex((logprob, t) => !Object.is(logprob, before[t]));
      if (at < 0) continue;
      throw new EngineError(
        `the ratio at the first update of an iteration is ${Math.exp(now[at]! - before[at]!)}, not exactly 1: ` +
          "the device computes the same graph twice and gets other bits",
        { mend: "Use --set device=cpu." },
      );
    }
  }
}
