/** What PPO holds in memory, estimated before any of it is taken. */

import { EngineError } from "../errors/errors.ts";
import type { ModelFiles } from "../model/load.ts";
import { parameterCount, type LlamaConfig } from "../model/config.ts";
import type { Precision } from "../tensor/graph.ts";
import { isMappable } from "./reference.ts";

export interface MemoryPlan {
  readonly files: ModelFiles;
  /** Of the value function, where it is a model of its own. */
  readonly valueConfig: LlamaConfig | undefined;
  readonly precision: Precision;
  readonly lanes: number;
  /** Tokens that all answers that are sampled at once can hold. */
  readonly cacheTokens: number;
}

/** Bytes by what they are for. Frozen weights that are mapped from their file cost none. */
export type MemoryEstimate = Readonly<Record<"policy" | "value function" | "reference" | "cache", number>>;

/** The intermediate values of graphs are not in it: a graph asks for them, and is refused, when it is built. */
export function estimateMemory(plan: MemoryPlan): MemoryEstimate {
  const { files, valueConfig, precision, lanes, cacheTokens } = plan;
  // Weight, two moments, and a gradient for each lane; f32.
  const trained = (config: LlamaConfig): number => 4 * (3 + lanes) * parameterCount(config);
  const { nLayers, nKvHeads, headDim } = files.config;
  return {
    policy: trained(files.config),
    "value function": valueConfig === undefined ? 0 : trained(valueConfig),
    reference: isMappable(files, precision) ? 0 : 4 * parameterCount(files.config),
    cache: 4 * 2 * nLayers * nKvHeads * headDim * cacheTokens,
  };
}

/** @throws {EngineError} when it is more than is free. */
export function checkMemory(estimate: MemoryEstimate, free: number): void {
  const parts = Object.entries(estimate).filter(([, bytes]) => bytes > 0);
  const total = parts.reduce((sum, [, bytes]) => sum + bytes, 0);
  if (total <= free) return;
  const shown = parts.map(([name, bytes]) => `${name} ${inGB(bytes)}`).join(", ");
  throw new EngineError(`PPO needs ${inGB(total)} GB (${shown}), ${inGB(free)} GB are free`, {
    mend: "Set value to shared, use fewer lanes, shorter answers or a smaller model.",
  });
}

// --- internal ---

function inGB(bytes: number): string {
  return (bytes / 1e9).toFixed(1);
}
