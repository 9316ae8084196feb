/**
 * The built web pages. An installed package brings them; a checkout, which runs the command from its sources, builds
 * them from theirs.
 */

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { fillDirectoryAtomically } from "../formats/atomic-file.ts";

/**
 * Their folder. In a checkout they are built first, where they are not there or older than their sources.
 *
 * @param report told where that fails; the server then shows the pages of before, or none.
 */
export async function webPages(report: (message: string) => void): Promise<string> {
  if (!existsSync(join(sources, "vite.config.ts")) || isNewer(join(built, "index.html"), sources))
    return built;
  try {
    await build();
  } catch (error) {
    report(`The web pages cannot be built: ${error instanceof Error ? error.message : String(error)}`);
  }
  return built;
}

/** Whether a file is there, and no file of a folder was changed after it. */
export function isNewer(file: string, folder: string): boolean {
  const time = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  if (time === undefined) return false;
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).every(
    (name) => statSync(join(folder, name)).mtimeMs <= time,
  );
}

// --- internal ---

const root = fileURLToPath(new URL("../..", import.meta.url));
const sources = join(root, "web");
const built = join(root, "dist", "web");

/** In a process of its own, whose memory goes with it. */
async function build(): Promise<void> {
  const vite = dirname(createRequire(join(root, "package.json")).resolve("vite/package.json"));
  mkdirSync(dirname(built), { recursive: true });
  await fillDirectoryAtomically(built, async (folder) => {
    const options = ["--outDir", folder, "--logLevel", "error"];
    await promisify(execFile)(process.execPath, [join(vite, "bin", "vite.js"), "build", sources, ...options]);
  });
}
