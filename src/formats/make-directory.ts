/** A directory and its parents. */

import { mkdirSync } from "node:fs";
import { resolve } from "node:path";

/**
 * Makes what is missing. Always by an absolute path: where the working directory has been deleted under the process,
 * Node 20's recursive mkdir of a relative one never returns.
 */
export function makeDirectory(path: string): void {
  mkdirSync(resolve(path), { recursive: true });
}
