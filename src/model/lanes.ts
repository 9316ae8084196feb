/** In how many parts of the threads a model is best run side by side. */

import type { Backend } from "../tensor/backend.ts";
import type { LlamaWeights } from "./weights.ts";

/** A model smaller than this stays in the processor's caches: to read it once a lane costs nothing. */
const cachedBytes = 32 * 2 ** 20;

/**
 * One lane a thread for a small model, whose threads would wait for each other at every node; one in all for a model
 * whose weights each lane would read from memory.
 */
export function lanesFor({ threads, device }: Backend, { byName }: LlamaWeights): number {
  const bytes = Object.values(byName).reduce((sum, weight) => sum + weight.bytes, 0);
  return device.kind === "cpu" && bytes <= cachedBytes ? threads : 1;
}
