/** The recipe of `cria rlhf`: the versions, and the settings of each stage. What a stage works on, its version says. */

import { z } from "zod";
import { gattFields } from "../gatt/recipe.ts";
import { PpoRecipe } from "../ppo/recipe.ts";
import { RewardRecipe } from "../reward/recipe.ts";
import { DistilRecipe } from "../rejection/recipe-distil.ts";
import { samplingFields } from "../rejection/recipe.ts";
import { stageNames, type StageName } from "../rlhf/rlhf.ts";
import { SftRecipe } from "../sft/recipe.ts";
import { answerFields, runFields } from "../train/recipe-fields.ts";

const { data_share: dataShare } = RewardRecipe.shape;
const sft = SftRecipe.omit({ model: true, data: true });

interface VersionInput {
  name: string;
  stages: StageName[];
  preferences: string[];
}

function versionInput(name: string, ...further: StageName[]): VersionInput {
  return { name, stages: ["collect", "reward", "reject", ...further, "evaluate"], preferences: [] };
}

/** Llama 2 §3.2.3 and §3.3: rejection sampling up to V4, Ghost Attention after V3, PPO on top in V5. */
const paperVersions = [
  versionInput("V1"),
  versionInput("V2"),
  versionInput("V3", "gatt"),
  versionInput("V4"),
  versionInput("V5", "ppo"),
];

/** What a stage's own recipe says and the driver's says once for all. */
const ofTheRun = {
  model: true,
  prompts: true,
  reward: true,
  seed: true,
  device: true,
  threads: true,
  out: true,
} as const;

export const RlhfFields = z.strictObject({
  /** Prompts, a line each; `"safety": true` tags those that may provoke unsafe answers. */
  prompts: z.string().min(1),
  /** What versions are measured on. */
  held_out: z.string().min(1),
  /** What stands in for people: `scripted`, or a JavaScript file whose default export judges an answer. */
  judge: z.string().min(1).default("scripted"),
  versions: z
    .array(
      z.strictObject({
        name: z.string().regex(/^\w[\w.]*$/),
        /** In the order that they are run in. */
        stages: z.array(z.enum(stageNames)),
        /** Files of preferences that people gave. */
        preferences: z.array(z.string().min(1)).default([]),
      }),
    )
    .min(1)
    .default(paperVersions),
  /** The first version, from 1, that learns from earlier versions' winners too: after V3 in the paper. */
  pool_from: z.int().positive().default(4),

  collect: z
    .strictObject({
      /** For each prompt. */
      pairs: z.int().positive().default(1),
      /** Of the newest policy, and of the one before it. */
      temperatures: z.tuple([answerFields.temperature, answerFields.temperature]).default([0.8, 1.1]),
      top_p: samplingFields.top_p,
      max_tokens: samplingFields.max_tokens,
      /** The share of prompts whose pairs reward models are tested on. */
      test_fraction: z.number().min(0).lt(1).default(0.1),
    })
    .prefault({}),
  reward: RewardRecipe.omit({
    model: true,
    quality: true,
    data: true,
    other_data: true,
    test_data: true,
    data_share: true,
    seed: true,
    device: true,
    threads: true,
    out: true,
  })
    .extend({
      /** Part of a model's pairs that is of its own kind, of both or of each; the paper's where it is left out. */
      data_share: z
        .union([z.number().positive().max(1), z.strictObject({ helpfulness: dataShare, safety: dataShare })])
        .default({}),
    })
    .prefault({}),
  /** Its held-out prompts are for early stopping: others than those that versions are measured on. */
  ppo: PpoRecipe.omit(ofTheRun).prefault({}),
  reject: z
    .strictObject({
      ...samplingFields,
      /** Files of dialogs that each version is fine-tuned on as well. */
      beside: z.array(z.string().min(1)).default([]),
      sft: sft.prefault({}),
    })
    .prefault({}),
  distil: DistilRecipe.omit(ofTheRun).prefault({}),
  gatt: z
    .strictObject({ ...gattFields, questions: gattFields.questions.default("data/rlhf-prompts.jsonl") })
    .prefault({}),
  evaluate: z
    .strictObject({
      /** Answers to each held-out prompt. */
      samples: answerFields.samples.default(4),
      /** Meta's reference settings, as in a chat. */
      temperature: answerFields.temperature.default(0.6),
      top_p: z.number().positive().max(1).default(0.9),
      max_tokens: samplingFields.max_tokens,
    })
    .prefault({}),

  seed: runFields.seed,
  device: runFields.device,
  threads: runFields.threads,
});

export const RlhfRecipe = z.strictObject({
  /** The fine-tuned model that everything starts from. */
  model: z.string().min(1),
  /** What rejection sampling restarts from; `model` when left out. The paper's is the base model. */
  restart: z.string().min(1).optional(),
  ...RlhfFields.shape,
  out: runFields.out,
});

export type RlhfFields = z.infer<typeof RlhfFields>;
export type RlhfRecipe = z.infer<typeof RlhfRecipe>;
