/** Where a run of PPO stands: what `run.json` keeps of it. */

import { join } from "node:path";
import { checkpointName } from "../train/checkpoint.ts";
import type { Updates } from "./learner.ts";

export interface PpoState {
  /** Iterations that are done. */
  readonly step: number;
  readonly updates: Updates;
  /** The iteration of the last measurement of the held-out reward. */
  readonly validated?: number;
  readonly best?: { readonly step: number; readonly score: number };
  /** Measurements since the best. */
  readonly worse: number;
  /** Why there is nothing more to do. */
  readonly ended?: string;
}

/** The state after a measurement of the held-out reward. */
export function progressAfter(state: PpoState, score: number): PpoState {
  const { step, best } = state;
  const isBest = best === undefined || score > best.score;
  return {
    ...state,
    validated: step,
    ...(isBest ? { best: { step, score }, worse: 0 } : { worse: state.worse + 1 }),
  };
}

export function checkpointOf(folder: string, step: number): string {
  return join(folder, checkpointName(step));
}
