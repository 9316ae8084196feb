/** What a run of PPO is given, and what it tells. */

import type { Prompt } from "../dialog/prompts.ts";
import type { SamplingOptions } from "../generate/sampling/options.ts";
import type { RewardFunction } from "../reward/reward-function.ts";
import type { Backend } from "../tensor/backend.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { IterationOptions, IterationResult } from "./iteration.ts";
import type { LearnerOptions } from "./learner.ts";

export interface PpoOptions
  extends Omit<LearnerOptions, "batch" | "seq">, Omit<IterationOptions, "maxTokens" | "padId"> {
  readonly iterations: number;
  /** Answers to an iteration. */
  readonly batchSize: number;
  /** Most tokens of an answer. */
  readonly maxTokens: number;
  /** Answers that are sampled at once. */
  readonly maxSequences: number;
  /** Must be the policy's own distribution at `temperature`. */
  readonly sampling: SamplingOptions;
  /** Whether the value function is a model of its own. */
  readonly value: "separate" | "shared";
  readonly seed: number;
  /** Iterations between measurements of the held-out reward; 0 for at the ends only. */
  readonly validationEvery: number;
  /** So many measurements without a better one end the run; 0 for never. */
  readonly patience: number;
  /** The run ends at an iteration whose KL is above this, in nats an answer. */
  readonly maxKl: number;
  /** In iterations; 0 for at the end only. */
  readonly checkpointEvery: number;
  readonly keepCheckpoints: number;
}

export interface PpoInputs {
  readonly backend: Backend;
  /** The policy to start from, and the reference: a model's directory. */
  readonly model: string;
  /** What a separate value function starts as: a reward model's directory; the policy when left out. */
  readonly valueModel?: string | undefined;
  readonly tokenizer: Tokenizer;
  readonly prompts: readonly Prompt[];
  /** Prompts whose reward says which policy was best; it is the last one when there are none. */
  readonly heldOut: readonly Prompt[];
  readonly reward: RewardFunction;
  /** Where checkpoints are kept. */
  readonly folder: string;
  readonly onEvent: (event: PpoEvent) => void;
  readonly signal?: AbortSignal;
}

export type PpoEvent =
  | { readonly type: "resumed"; readonly step: number; readonly checkpoint: string }
  | {
      readonly type: "started";
      readonly step: number;
      readonly iterations: number;
      /** That are short enough, and those that are not. */
      readonly prompts: number;
      readonly left: number;
    }
  | ({
      readonly type: "iteration";
      readonly step: number;
      readonly seconds: IterationSeconds;
    } & IterationResult)
  /** Mean reward of held-out prompts, and whether none was better before. */
  | {
      readonly type: "validation";
      readonly step: number;
      readonly score: number;
      readonly tokens: number;
      readonly isBest: boolean;
    }
  | { readonly type: "ended"; readonly step: number; readonly reason: string }
  | { readonly type: "checkpoint"; readonly step: number; readonly checkpoint: string };

export interface IterationSeconds {
  readonly rollout: number;
  /** Log-probabilities, values and rewards. */
  readonly scoring: number;
  readonly update: number;
}
