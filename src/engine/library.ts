/**
 * Finds and opens ggml: the prebuilt libraries that npm installed for this platform.
 *
 * The packages `@node-llama-cpp/<platform>` carry them; `getBinsDir()` is their public export. GPU packages
 * are not installed by default and are taken when present and asked for.
 */

import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { EngineError } from "../errors/errors.ts";
import { openLibrary } from "./ffi.ts";
import { routeNativeLog } from "./log.ts";
import { bindGgml, type Ggml } from "./signatures.ts";

/** The version of the prebuilt packages that `signatures.ts` was written against. */
export const engineVersion = "3.22.1";

export interface EngineLibrary {
  readonly ggml: Ggml;
  /** The npm package that the libraries come from. */
  readonly packageName: string;
  readonly directory: string;
  /** Owners of native memory that are not yet disposed; a leak check reads it. */
  readonly live: Set<{ readonly name: string }>;
}

/** Prebuilt packages by platform and architecture, GPU builds first. */
const packages: Readonly<Record<string, readonly string[]>> = {
  "linux-x64": ["linux-x64-cuda", "linux-x64-cuda-ext", "linux-x64-vulkan", "linux-x64"],
  "linux-arm64": ["linux-arm64"],
  "darwin-arm64": ["mac-arm64-metal"],
  "darwin-x64": ["mac-x64"],
  "win32-x64": ["win-x64-cuda", "win-x64-cuda-ext", "win-x64-vulkan", "win-x64"],
  "win32-arm64": ["win-arm64"],
};

let opened: EngineLibrary | undefined;

/**
 * The engine, opened at the first call.
 *
 * @throws {EngineError} naming the package to install when there is none for this platform.
 */
export function engineLibrary(): EngineLibrary {
  opened ??= open();
  return opened;
}

/** Names of the owners of native memory that are still alive. */
export function liveArenas(): string[] {
  return opened === undefined ? [] : [...opened.live].map((owner) => owner.name);
}

// --- internal ---

function open(): EngineLibrary {
  const { packageName, directory } = findLibraries();
  const files = readdirSync(directory);
  const base = openLibrary(
    join(directory, libraryFile(files, /^(lib)?ggml-base\.(so|dylib|dll)$/, directory)),
  );
  const registry = openLibrary(
    join(directory, libraryFile(files, /^(lib)?ggml(\.v[\d.]+)?\.(so|dylib|dll)$/, directory)),
  );
  const ggml = bindGgml(base, registry);
  routeNativeLog(ggml);
  ggml.loadAllFromPath(directory);
  return { ggml, packageName, directory, live: new Set() };
}

function findLibraries(): { packageName: string; directory: string } {
  const platform = `${process.platform}-${process.arch}`;
  const names = packages[platform];
  if (names === undefined) {
    throw new EngineError(`there is no prebuilt engine for ${platform}`, {
      mend: `Run Cria on one of: ${Object.keys(packages).join(", ")}.`,
    });
  }
  for (const name of names) {
    const directory = binariesOf(`@node-llama-cpp/${name}`);
    if (directory !== undefined) return { packageName: `@node-llama-cpp/${name}`, directory };
  }
  const wanted = names.at(-1)!;
  throw new EngineError(`the engine's package @node-llama-cpp/${wanted} is not installed`, {
    mend: `Run "npm install @node-llama-cpp/${wanted}@${engineVersion}" (and do not omit optional dependencies).`,
  });
}

/** Where a package keeps its libraries: `bins/<folder>` beside its entry, which is what `getBinsDir()` names. */
function binariesOf(packageName: string): string | undefined {
  const require = createRequire(import.meta.url);
  try {
    const bins = join(dirname(require.resolve(packageName)), "..", "bins");
    const folder = existsSync(bins) ? readdirSync(bins)[0] : undefined;
    return folder === undefined ? undefined : join(bins, folder);
  } catch {
    return undefined;
  }
}

function libraryFile(files: readonly string[], pattern: RegExp, directory: string): string {
  const file = files.find((name) => pattern.test(name));
  if (file !== undefined) return file;
  throw new EngineError(`no library ${pattern.source} in ${directory}`, {
    mend: `Reinstall the engine's package at version ${engineVersion}.`,
  });
}
