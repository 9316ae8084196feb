/**
 * The learning rate of a step (Llama 2 §2.2: "a cosine learning rate schedule, with warmup of 2000 steps, and
 * decay final learning rate down to 10% of the peak learning rate").
 *
 *     lr(t) = peak · t / warmup                                            t < warmup
 *     lr(t) = peak · (r + (1 - r) · ½ (1 + cos(π (t - warmup) / (T - warmup))))   warmup ≤ t ≤ T,  r = minRatio
 *     lr(t) = peak · r                                                     t > T
 *
 * The paper does not give the warm-up's shape; it is linear here, as in Llama 1's code and everybody's since.
 */

import { ConfigError } from "../errors/errors.ts";

export interface CosineOptions {
  /** Highest learning rate, reached at step `warmupSteps`. */
  readonly peak: number;
  readonly warmupSteps: number;
  /** T, the last step. */
  readonly steps: number;
  /** What is left of `peak` at step T. */
  readonly minRatio: number;
}

/**
 * @returns the rate of update t. The first update is t = 1, so that its rate is peak / warmup and not 0.
 * @throws {ConfigError} when a number is out of its range, or the warm-up outlasts the run.
 */
export function cosineSchedule(options: CosineOptions): (step: number) => number {
  checkOptions(options);
  const { peak, warmupSteps, steps, minRatio } = options;
  return (step) => {
    if (step < warmupSteps) return (peak * step) / warmupSteps;
    const progress = steps === warmupSteps ? 0 : Math.min(1, (step - warmupSteps) / (steps - warmupSteps));
    return peak * (minRatio + (1 - minRatio) * 0.5 * (1 + Math.cos(Math.PI * progress)));
  };
}

// --- internal ---

function checkOptions({ peak, warmupSteps, steps, minRatio }: CosineOptions): void {
  if (!(peak > 0 && Number.isFinite(peak))) {
    throw new ConfigError(`lr (${peak}) is not a number above 0`, { mend: "Llama 2 uses 3e-4 at 7B." });
  }
  if (!(minRatio >= 0 && minRatio <= 1)) {
    throw new ConfigError(`min_lr_ratio (${minRatio}) is not between 0 and 1`, { mend: "Llama 2 uses 0.1." });
  }
  if (!Number.isSafeInteger(steps) || steps < 1) {
    throw new ConfigError(`steps (${steps}) is not a whole number of at least 1`);
  }
  if (!Number.isSafeInteger(warmupSteps) || warmupSteps < 0) {
    throw new ConfigError(`warmup_steps (${warmupSteps}) is not a whole number of at least 0`);
  }
  if (warmupSteps > steps) {
    throw new ConfigError(`warmup_steps (${warmupSteps}) is more than the run's ${steps} steps`, {
      mend: `Set warmup_steps to a tenth of the run or less, such as ${Math.max(1, Math.floor(steps / 20))}.`,
    });
  }
}
