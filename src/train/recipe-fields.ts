/**
 * Settings that the recipes of all stages share. A stage that differs says so after them.
 */

import { z } from "zod";

/** AdamW and the shape of the learning rate: Llama 2 §2.2. */
export const adamwFields = {
  /** Peak learning rate: 3.0e-4 for 7B and 13B, 1.5e-4 for 34B and 70B (Table 1). */
  lr: z.number().positive().default(3e-4),
  /** "decay final learning rate down to 10% of the peak learning rate". */
  min_lr_ratio: z.number().min(0).max(1).default(0.1),
  /** β₁. */
  beta1: z.number().min(0).lt(1).default(0.9),
  /** β₂. */
  beta2: z.number().min(0).lt(1).default(0.95),
  /** ε. */
  eps: z.number().positive().default(1e-5),
  /** Which tensors it touches is unpublished: matrices only, here. */
  weight_decay: z.number().nonnegative().default(0.1),
  /** "gradient clipping of 1.0", of the global norm. */
  grad_clip: z.number().positive().default(1),
};

/** How answers are sampled, of every stage that samples. */
export const answerFields = {
  /** K. The paper's figures go up to 100. */
  samples: z.int().min(1).max(10_000),
  /** The paper's go up to 1.5; far above, all tokens are alike. */
  temperature: z.number().min(0).max(10),
};

/** Where and how a run computes and what it keeps; none of it is in the paper. */
export const runFields = {
  /** Of matrix products; weights and AdamW stay f32. `auto` is bf16 where the device is fast at it. */
  precision: z.enum(["auto", "bf16", "f32"]).default("auto"),
  seed: z.int().default(42),
  /** `auto`, `cpu`, or a device that `cria doctor` lists. */
  device: z.string().min(1).default("auto"),
  /** CPU threads; all cores when left out. */
  threads: z.int().positive().optional(),
  /**
   * Micro-batches computed side by side, each on its share of the threads. Small models train faster so, at the cost of
   * memory; the sums of gradients round differently, so a run keeps the number it was begun with.
   */
  lanes: z.int().positive().default(1),
  /** Steps between measurements of the validation loss; 0 for only the last. */
  validation_every: z.int().nonnegative().default(250),
  /** Steps between checkpoints; 0 for only the last. */
  checkpoint_every: z.int().nonnegative().default(500),
  keep_checkpoints: z.int().positive().default(2),
  /** Steps between samples of text; 0 for only at the end. */
  sample_every: z.int().nonnegative().default(250),
  /** Folder that runs' folders are made in. */
  out: z.string().min(1).default("runs"),
};
