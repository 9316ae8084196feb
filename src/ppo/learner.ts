/**
 * The policy and its value function, as what is trained: two models, each with its own AdamW, or one trunk with two
 * heads.
 *
 * InstructGPT's value function is a model of its own that starts as the reward model (Ouyang et al. 2022, C.4), and so
 * is that of Stiennon et al. 2020, whose scheme Llama 2 takes over. A shared trunk needs half the memory.
 */

import { join } from "node:path";
import type { LlamaWeights } from "../model/weights.ts";
import type { AdamWState } from "../tensor/adamw.ts";
import type { Backend } from "../tensor/backend.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { restoreOptimizer, saveCheckpoint } from "../train/checkpoint.ts";
import { Trainer, type StepResult, type TrainerOptions } from "../train/step.ts";
import {
  policyObjective,
  sharedObjective,
  valueObjective,
  type PolicyObjectiveOptions,
  type ValueObjectiveOptions,
} from "./objective.ts";
import { blankBatch, type PpoBatch, type Sequences } from "./sequences.ts";

export interface LearnerOptions extends TrainerOptions, PolicyObjectiveOptions, ValueObjectiveOptions {
  readonly lr: number;
  /** Of a value function that is a model of its own. */
  readonly valueLr: number;
  /** What the value's loss counts on a shared trunk. */
  readonly valueCoefficient: number;
}

/** By micro-batch. `[batch · seq]` each */
export interface Measured {
  readonly logprobs: readonly Float32Array[];
  readonly values: readonly Float32Array[];
}

export interface Updated extends Measured {
  /** ‖g‖₂ before clipping: of the policy, or of the shared trunk with both heads. */
  readonly gradientNorm: number;
  /** The loss or the gradient was not finite, of either: what it was of is as it was. */
  readonly isSkipped: boolean;
}

/** Updates that were made, for AdamW's bias correction: skipped steps are none. */
export interface Updates {
  readonly policy: number;
  readonly value: number;
}

export interface Learner extends Disposable {
  readonly updates: Updates;
  readonly policy: LlamaWeights;
  readonly optimizer: AdamWState;
  measure(batches: readonly Sequences[], signal?: AbortSignal): Promise<Measured>;
  /** One gradient step over the micro-batches of a mini-batch. */
  step(batches: readonly PpoBatch[]): Promise<Updated>;
  /** Writes what a checkpoint of the policy lacks. */
  saveBeside(directory: string): void;
  restore(directory: string, updates: Updates): void;
}

export interface LearnerParts {
  readonly backend: Backend;
  readonly tokenizer: Tokenizer;
  readonly policy: LlamaWeights;
  readonly options: LearnerOptions;
}

/** Two models; the caller disposes it, before both weights. */
export function separateLearner(parts: LearnerParts, value: LlamaWeights): Learner {
  const { backend, policy, options, tokenizer } = parts;
  const policyTrainer = new Trainer(backend, policy, policyObjective(options), options);
  let valueTrainer: Trainer<PpoBatch>;
  try {
    valueTrainer = new Trainer(backend, value, valueObjective(options), options);
  } catch (error) {
    policyTrainer[Symbol.dispose]();
    throw error;
  }
  let updates: Updates = { policy: 0, value: 0 };
  return {
    policy,
    optimizer: policyTrainer.state,
    get updates() {
      return updates;
    },
    async measure(batches, signal) {
      const blank = batches.map(blankBatch);
      const { outputs } = await policyTrainer.evaluate(blank, signal);
      const valued = await valueTrainer.evaluate(blank, signal);
      return measuredOf(outputs, valued.outputs);
    },
    async step(batches) {
      const moved = await policyTrainer.step(batches, options.lr, updates.policy + 1);
      const learnt = await valueTrainer.step(batches, options.valueLr, updates.value + 1);
      updates = {
        policy: updates.policy + (moved.isSkipped ? 0 : 1),
        value: updates.value + (learnt.isSkipped ? 0 : 1),
      };
      return {
        ...measuredOf(moved.outputs, learnt.outputs),
        gradientNorm: moved.gradientNorm,
        isSkipped: moved.isSkipped || learnt.isSkipped,
      };
    },
    saveBeside(directory) {
      const run = { stage: "ppo value function", step: updates.value };
      saveCheckpoint(join(directory, valueFolder), {
        weights: value,
        tokenizer,
        optimizer: valueTrainer.state,
        run,
      });
    },
    restore(directory, done) {
      restoreOptimizer(directory, policyTrainer.state);
      restoreOptimizer(join(directory, valueFolder), valueTrainer.state);
      updates = done;
    },
    [Symbol.dispose]() {
      valueTrainer[Symbol.dispose]();
      policyTrainer[Symbol.dispose]();
    },
  };
}

/** The folder of the value function in a checkpoint, where it is a model of its own. */
export const valueFolder = "value";

/**
 * One trunk; the caller disposes it, before the weights and the head.
 *
 * @param head `[1, dim]`
 */
export function sharedLearner(parts: LearnerParts, head: ValueHead): Learner {
  const { backend, policy, options } = parts;
  const both = { ...policy, byName: { ...policy.byName, [valueHeadName]: head.tensor } };
  const trainer = new Trainer(backend, both, sharedObjective(options, head.tensor), options);
  let updates: Updates = { policy: 0, value: 0 };
  return {
    policy,
    optimizer: trainer.state,
    get updates() {
      return updates;
    },
    async measure(batches, signal) {
      const { outputs } = await trainer.evaluate(batches.map(blankBatch), signal);
      return measuredOf(outputs, outputs);
    },
    async step(batches) {
      const result = await trainer.step(batches, options.lr, updates.policy + 1);
      const count = updates.policy + (result.isSkipped ? 0 : 1);
      updates = { policy: count, value: count };
      const { gradientNorm, isSkipped, outputs } = result;
      return { ...measuredOf(outputs, outputs), gradientNorm, isSkipped };
    },
    saveBeside: (directory) => head.save(directory),
    restore(directory, done) {
      restoreOptimizer(directory, trainer.state);
      updates = done;
    },
    [Symbol.dispose]: () => trainer[Symbol.dispose](),
  };
}

/** The head of a value function on the policy's trunk. */
export interface ValueHead {
  /** `[1, dim]` */
  readonly tensor: Tensor;
  readonly save: (directory: string) => void;
}

// --- internal ---

const valueHeadName = "value_head.weight";

function measuredOf(policy: StepResult["outputs"], value: StepResult["outputs"]): Measured {
  return {
    logprobs: policy.map((outputs) => outputs["logprobs"]!),
    values: value.map((outputs) => outputs["values"]!),
  };
}
