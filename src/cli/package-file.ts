/** Files that come with Cria: recipes and data. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A path as it is, when something is there, or else in Cria's own folder. */
export function packageFile(path: string): string {
  if (existsSync(path)) return path;
  const own = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  return existsSync(own) ? own : path;
}

export function packageFiles(paths: readonly string[]): string[] {
  return paths.map((path) => packageFile(path));
}
