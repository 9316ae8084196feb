/**
 * The recipe of supervised fine-tuning. Defaults are Llama 2 §3.1 unless a line says that Meta has not published
 * them.
 */

import { z } from "zod";
import { adamwFields, runFields } from "../train/recipe-fields.ts";

export const SftRecipe = z.strictObject({
  /** The model to start from: a checkpoint or a Hugging Face folder. */
  model: z.string().min(1),
  /** Dialogs: messages, prompt/response, Alpaca or ShareGPT, in JSON or JSON lines. */
  data: z.string().min(1),
  /** Part of the dialogs held out to measure the loss on. Unpublished. */
  validation_fraction: z.number().min(0).lt(1).default(0.05),

  /** "a sequence length of 4096 tokens". */
  seq_len: z.int().positive().default(4096),
  /** "a batch size of 64", taken as sequences: the paper gives no unit. */
  batch_size: z.int().positive().default(64),
  /** Sequences computed at once: memory's choice, it does not change the result. A divisor of batch_size. */
  micro_batch_size: z.int().positive().default(1),
  /** "we fine-tune the model for 2 epochs". */
  epochs: z.int().positive().default(2),

  // β₁, β₂, ε, the gradient clip and the final learning rate are unpublished for fine-tuning: pretraining's.
  ...adamwFields,
  /** "a cosine learning rate schedule with an initial learning rate of 2 × 10⁻⁵". */
  lr: z.number().positive().default(2e-5),
  /** "a weight decay of 0.1". */
  weight_decay: z.number().nonnegative().default(0.1),
  /** Part of the steps spent warming up. Unpublished. */
  warmup_ratio: z.number().min(0).max(1).default(0.03),

  ...runFields,
  validation_every: z.int().nonnegative().default(50),
  checkpoint_every: z.int().nonnegative().default(100),
  sample_every: z.int().nonnegative().default(50),
  /** What the sampled answers answer. */
  sample_prompts: z.array(z.string()).default(["Who are you?"]),
});

export type SftRecipe = z.infer<typeof SftRecipe>;
