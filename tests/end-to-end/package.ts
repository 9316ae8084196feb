/**
 * The package as it is published, built once for all end-to-end tests: they run what users install, and it starts in a
 * third of the time that the sources take.
 */

import { execFile } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { isNewer } from "../../src/cli/web-pages.ts";
import { fillDirectoryAtomically } from "../../src/formats/atomic-file.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const built = join(root, "node_modules", ".cache", "cria-package");

/** The command. */
export const bin = join(built, "bin", "cria.js");

/** Vitest calls it before the first file. */
export async function setup(): Promise<void> {
  const stamp = join(built, "built");
  if (["src", "web", "bin", "data", "recipes"].every((folder) => isNewer(stamp, join(root, folder)))) return;
  mkdirSync(dirname(built), { recursive: true });
  await fillDirectoryAtomically(built, async (folder) => {
    for (const name of ["package.json", "bin", "data", "recipes"])
      cpSync(join(root, name), join(folder, name), { recursive: true });
    await Promise.all([
      run("typescript", "bin/tsc", "-p", "tsconfig.build.json", "--outDir", join(folder, "dist")),
      run("vite", "bin/vite.js", "build", "web", "--outDir", join(folder, "dist", "web")),
    ]);
    writeFileSync(join(folder, "built"), "");
  });
}

/** A program of an installed package. */
async function run(name: string, program: string, ...words: readonly string[]): Promise<void> {
  const home = dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
  await promisify(execFile)(process.execPath, [join(home, program), ...words], { cwd: root });
}
