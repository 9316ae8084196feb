/** Where a stage of a run keeps what it makes. */

import { join } from "node:path";
import { makeDirectory } from "../../formats/make-directory.ts";
import type { RunFolder } from "../../train/run-folder.ts";

export interface StagePaths {
  /** The stage's own folder: its plan and its metrics. */
  readonly folder: string;
  readonly checkpoints: string;
  readonly samples: string;
}

/** Those of one of a pipeline's steps: folders of its own. */
export function stepPaths(
  run: Pick<RunFolder, "path" | "checkpoints" | "samples">,
  step: string,
): StagePaths {
  const paths = { folder: join(run.path, step), checkpoints: join(run.checkpoints, step) };
  for (const path of Object.values(paths)) makeDirectory(path);
  return { ...paths, samples: join(run.samples, step) };
}
