/** Where annotations are kept, for the commands that open them, and how variants are named. */

import { resolve } from "node:path";
import { ConfigError } from "../errors/errors.ts";
import { openStore } from "../preference/annotation/store.ts";
import type { Variant } from "../preference/annotation/batches.ts";
import type { Database } from "../preference/database.ts";
import type { Arguments } from "./command.ts";

export const storeArguments = {
  store: {
    type: "string",
    default: "annotations",
    valueHint: "DIR",
    description: "The embedded database; DATABASE_URL names a server instead",
  },
} as const satisfies Arguments;

/** The caller disposes it. */
export function openNamedStore(folder: string): Promise<Database> {
  const url = process.env["DATABASE_URL"];
  return openStore({ folder, ...(url === undefined ? {} : { url }) });
}

/**
 * `PATH@TEMPERATURE` each.
 *
 * @throws {ConfigError} for a temperature that is none, or two variants that are one.
 */
export function variantsOf(texts: readonly string[]): Omit<Variant, "place">[] {
  const variants = texts.map((text) => {
    const [, path = "", heat] = /^(.+?)(?:@([^@/\\]*))?$/.exec(text) ?? [];
    const temperature = heat === undefined ? defaultTemperature : Number(heat === "" ? Number.NaN : heat);
    if (!(temperature >= 0 && temperature <= 5)) {
      throw new ConfigError(`${JSON.stringify(text)} names no temperature after the @`, {
        mend: "Write for instance runs/v2/model@0.8.",
      });
    }
    return { name: `${path}@${temperature}`, model: resolve(path), temperature };
  });
  if (new Set(variants.map(({ name }) => name)).size === variants.length) return variants;
  throw new ConfigError("two of the variants are the same model at the same temperature", {
    mend: "Give each another temperature, such as model@0.5 model@1.",
  });
}

// --- internal ---

const defaultTemperature = 0.8;
