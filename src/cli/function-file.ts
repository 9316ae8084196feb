/** Functions of the user's: a JavaScript file whose default export stands in for a reward model or a judge. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError, CriaError } from "../errors/errors.ts";

/**
 * @param what names the function in errors, such as "reward".
 * @throws {ConfigError} when the file is missing, cannot be loaded, or has no function as its default export.
 */
export async function loadFunctionFile<F extends (...args: never[]) => unknown>(
  path: string,
  what: string,
): Promise<F> {
  if (!existsSync(path)) throw new ConfigError(`${path}: no such file`, { mend: "Check the path." });
  let module: { readonly default?: unknown };
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as typeof module;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`${path} cannot be loaded: ${reason}`, {
      mend: "It must be a JavaScript module that Node can import.",
      cause,
    });
  }
  if (typeof module.default === "function") return named(module.default as F, path);
  throw new ConfigError(`${path} has no function as its default export`, {
    mend: `Write \`export default function ${what}(…) {…}\`.`,
  });
}

// --- internal ---

/** The function; what it throws names the file. */
function named<F extends (...args: never[]) => unknown>(call: F, path: string): F {
  const fail = (cause: unknown): never => {
    if (cause instanceof CriaError || (cause instanceof Error && cause.name === "AbortError")) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`the function of ${path} failed: ${reason}`, {
      mend: "Mend it; CRIA_DEBUG=1 shows where it failed.",
      cause,
    });
  };
  const guarded = (...args: never[]): unknown => {
    try {
      const result = call(...args);
      return result instanceof Promise ? result.catch(fail) : result;
    } catch (cause) {
      return fail(cause);
    }
  };
  return guarded as F;
}
