/** The models of a run: policy, value function and reference, opened together after their memory is estimated. */

import { join } from "node:path";
import { loadMasterWeights, readModelFiles, type ModelFiles } from "../model/load.ts";
import { spokenBy, type OwnedWeights } from "../model/weights.ts";
import { loadCheckpointWeights } from "../train/checkpoint.ts";
import type { Backend } from "../tensor/backend.ts";
import { separateLearner, sharedLearner, valueFolder, type Learner, type Updates } from "./learner.ts";
import { checkMemory, estimateMemory } from "./memory.ts";
import type { PpoInputs, PpoOptions } from "./options.ts";
import { openReferenceWeights, Reference } from "./reference.ts";
import { cacheTokens, type EncodedPrompt } from "./rollout.ts";
import { rowTokens, type LayoutOptions } from "./sequences.ts";
import { openValueHead } from "./value-head.ts";

export interface Models extends Disposable {
  readonly learner: Learner;
  readonly reference: Reference;
  readonly layout: Pick<LayoutOptions, "microBatchSize" | "maxTokens" | "padId">;
}

export interface ModelsStart {
  readonly files: ModelFiles;
  readonly prompts: readonly EncodedPrompt[];
  /** The checkpoint that the run goes on from. */
  readonly resumed: string | undefined;
  readonly updates: Updates | undefined;
}

/** The caller disposes them. @throws {EngineError} when the memory does not suffice. */
export function openModels(options: PpoOptions, inputs: PpoInputs, start: ModelsStart): Models {
  const { backend, tokenizer } = inputs;
  const { files, prompts, resumed, updates } = start;
  const valueFiles = options.value === "separate" ? valueModelFiles(inputs, files) : undefined;
  checkMemory(
    estimateMemory({
      files,
      valueConfig: valueFiles?.config,
      precision: options.precision,
      lanes: options.lanes ?? 1,
      cacheTokens: cacheTokens(prompts, options),
    }),
    process.availableMemory(),
  );
  const owned: Disposable[] = [];
  const own = <T extends Disposable>(thing: T): T => {
    owned.push(thing);
    return thing;
  };
  const dispose = (): void => {
    for (const thing of owned.toReversed()) thing[Symbol.dispose]();
  };
  try {
    const longest = prompts.reduce((most, { tokens }) => Math.max(most, tokens.length), 1);
    const seq = rowTokens(longest + options.maxTokens, files.config.maxSeqLen);
    const batch = options.microBatchSize;
    // Rollouts are drawn from the tokens that there are, so log-probabilities are normalised over these.
    const policy = spokenBy(own(loadCheckpointWeights(backend, resumed ?? inputs.model)), tokenizer);
    const parts = { backend, tokenizer, policy, options: { ...options, batch, seq } };
    const learner = own(
      valueFiles === undefined
        ? sharedLearner(parts, own(openValueHead(backend, files.config.dim, resumed)))
        : separateLearner(parts, own(openValue(backend, valueFiles, resumed))),
    );
    if (resumed !== undefined && updates !== undefined) learner.restore(resumed, updates);
    const weights = spokenBy(own(openReferenceWeights(backend, files, options.precision)), tokenizer);
    const { precision, temperature } = options;
    const reference = own(new Reference(backend, weights, { batch, precision, temperature }));
    const layout = { microBatchSize: batch, maxTokens: seq, padId: tokenizer.eosId };
    return { learner, reference, layout, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

// --- internal ---

/** A reward model, or the policy's files, read for a scalar head that they do not have. */
function valueModelFiles({ valueModel }: PpoInputs, policy: ModelFiles): ModelFiles {
  return valueModel === undefined ? policy : readModelFiles(valueModel, "scalar");
}

/** A policy's head is replaced by zeros: a value function that has learnt nothing expects nothing. */
function openValue(backend: Backend, files: ModelFiles, resumed: string | undefined): OwnedWeights {
  if (resumed === undefined) return loadMasterWeights(backend, files, "scalar");
  return loadCheckpointWeights(backend, join(resumed, valueFolder), "scalar");
}
