/** Which Cria this is, for the lineage of what it makes. */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The commit of a checkout, else the version of the package. */
export function programCommit(): string {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { version: string };
  if (!existsSync(`${root}.git`)) return version;
  try {
    const words = ["-C", root, "rev-parse", "--short=12", "HEAD"];
    return execFileSync("git", words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    // No git on this machine.
    return version;
  }
}
