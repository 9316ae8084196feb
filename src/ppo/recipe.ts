/**
 * The recipe of PPO. Defaults are Llama 2 §3.2.3 unless a line says that Meta has not published them; those are
 * InstructGPT's (Ouyang et al. 2022, C.4) or TRL's, as the line says, or ours.
 */

import { z } from "zod";
import { rewardFields } from "../rejection/recipe.ts";
import { adamwFields, runFields } from "../train/recipe-fields.ts";

const { lr: _, min_lr_ratio: __, ...adamw } = adamwFields;
const { sample_every: ___, ...run } = runFields;

/** What a version of the driver does not set by itself. */
export const ppoFields = {
  /** A model of its own (InstructGPT, Stiennon et al. 2020), or a head on the policy's trunk: half the memory. */
  value: z.enum(["separate", "shared"]).default("separate"),

  /** "We train for between 200 and 400 iterations for all our models". */
  iterations: z.int().positive().default(400),
  /** "For each PPO iteration we use a batch size of 512": answers, one to a prompt. */
  batch_size: z.int().positive().default(512),
  /** "and a mini-batch size of 64, and take one gradient step per mini-batch". */
  mini_batch_size: z.int().positive().default(64),
  /** Answers computed at once: memory's choice, it changes the result only by rounding. */
  micro_batch_size: z.int().positive().default(1),
  /** Answers sampled at once: the same. */
  max_sequences: z.int().positive().default(64),

  /** "a constant learning rate of 10⁻⁶". */
  lr: z.number().positive().default(1e-6),
  /** Of a separate value function. Unpublished; InstructGPT's for models up to 6B. */
  value_lr: z.number().positive().default(9e-6),
  ...adamw,
  /** "a PPO clip threshold of 0.2". */
  epsilon: z.number().positive().default(0.2),
  /** How far a value may gain by moving in an iteration. Unpublished; TRL's. */
  value_epsilon: z.number().positive().default(0.2),
  /** What the value's loss counts on a shared trunk. Unpublished; TRL's. */
  value_coefficient: z.number().positive().default(0.1),
  /** KL penalty: "β = 0.01 for 7B and 13B, 0.005 for 34B and 70B". */
  beta: z.number().nonnegative().default(0.01),
  /** γ. Unpublished; InstructGPT and TRL do not discount. */
  gamma: z.number().min(0).max(1).default(1),
  /** λ. Unpublished; TRL's. */
  lambda: z.number().min(0).max(1).default(0.95),
  /** "we find it important to whiten the final linear scores": over the batch, which is our reading. */
  whiten_scores: z.boolean().default(true),
  /**
   * Whitens the scores of safety prompts by themselves: the other reward model gave them, and whichever of the two
   * spreads its scores more would drown the other. Ours, off in the paper as far as it says.
   */
  whiten_apart: z.boolean().default(false),
  /** Taken from the whitened score of an answer that reaches max_tokens. Unpublished; none, as in TRL. */
  missing_eos_penalty: z.number().nonnegative().default(0),

  /** At most so many tokens an answer. Unpublished. */
  max_tokens: z.int().positive().default(256),
  /** Of sampling and of log-probabilities alike. Unpublished; InstructGPT's. */
  temperature: z.number().default(1),
  // What would bias the KL: each is refused unless it is off.
  top_k: z.int().nonnegative().default(0),
  top_p: z.number().positive().max(1).default(1),
  min_p: z.number().min(0).max(1).default(0),
  typical_p: z.number().positive().max(1).default(1),
  repeat_penalty: z.number().positive().default(1),
  presence_penalty: z.number().default(0),
  frequency_penalty: z.number().default(0),

  /** Measurements of the held-out reward without a better one that end the run; 0 for never. Unpublished. */
  patience: z.int().nonnegative().default(5),
  /** The run ends at an iteration whose KL to the reference is above this, in nats an answer. Ours. */
  max_kl: z.number().positive().default(50),
} as const;

export const PpoRecipe = z.strictObject({
  /** The policy to start from, and the reference: a chat checkpoint. */
  model: z.string().min(1),
  /** Prompts, a line each; `"safety": true` tags those that may provoke unsafe answers. */
  prompts: z.string().min(1),
  /** "use evaluations on held-out prompts for early stopping". Without them the last policy is the result. */
  held_out: z.string().min(1).optional(),
  reward: z.strictObject(rewardFields).prefault({}),
  ...ppoFields,
  ...run,
  /** Iterations between measurements of the held-out reward. */
  validation_every: z.int().nonnegative().default(20),
  /** Iterations between checkpoints. */
  checkpoint_every: z.int().nonnegative().default(20),
});

export type PpoRecipe = z.infer<typeof PpoRecipe>;
