/** A directory and its parents. */

import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { unwritable } from "./atomic-file.ts";

/**
 * Makes what is missing. Always by an absolute path: where the working directory has been deleted under the process,
 * Node 20's recursive mkdir of a relative one never returns.
 *
 * @throws {ConfigError} when a file stands in the way or the place cannot be written.
 */
export function makeDirectory(path: string): void {
  try {
    mkdirSync(resolve(path), { recursive: true });
  } catch (cause) {
    throw unwritable(path, cause) ?? cause;
  }
}
