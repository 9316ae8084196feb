/** Where annotations are kept, for the commands that open them, and how variants are named. */

import { resolve } from "node:path";
import { ConfigError } from "../errors/errors.ts";
import { listBatches, type Variant } from "../preference/annotation/batches.ts";
import { openStore } from "../preference/annotation/store.ts";
import { isEmbedded, type Database } from "../preference/database.ts";
import { modelId, type ServerOptions } from "../serve/start.ts";
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

/** The same of a store that is to be read. @throws {ConfigError} where there is none. */
export async function openKnownStore(folder: string): Promise<Database> {
  if ((process.env["DATABASE_URL"] ?? "") !== "" || isEmbedded(folder)) return openNamedStore(folder);
  throw new ConfigError(`there is no annotation store in ${folder}`, {
    mend: "Name the folder that `cria annotate` keeps by --store, or set DATABASE_URL.",
  });
}

/** @throws {ConfigError} for a name that no batch of the store has. */
export async function checkBatches(database: Database, names: readonly string[]): Promise<void> {
  const known = (await listBatches(database)).map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new ConfigError(`there is no batch ${JSON.stringify(unknown)} in ${database.name}`, {
    mend: known.length === 0 ? "There is none at all yet." : `There are ${known.join(", ")}.`,
  });
}

/**
 * `PATH@TEMPERATURE` each.
 *
 * @throws {ConfigError} for a temperature that is none, or two variants that are one.
 */
export function variantsOf(texts: readonly string[]): NewVariant[] {
  return differing(texts.map((text) => variantOf(text, (path) => resolve(path))));
}

/**
 * `NAME@TEMPERATURE` each, of models that a server has; each of them once where there is none.
 *
 * @throws {ConfigError} also for a name that no model has, and for fewer than two variants.
 */
export function servedVariants(texts: readonly string[], models: ServerOptions["models"]): NewVariant[] {
  const paths = new Map(models.map((model) => [modelId(model), resolve(model.path)]));
  const pathOf = (name: string): string => {
    const path = paths.get(name);
    if (path !== undefined) return path;
    throw new ConfigError(`no model is served by the name ${JSON.stringify(name)}`, {
      mend: `Give --variant one of ${[...paths.keys()].join(", ")}.`,
    });
  };
  const named = texts.length > 0 ? texts : [...paths.keys()];
  const variants = differing(named.map((text) => variantOf(text, pathOf)));
  if (variants.length >= 2) return variants;
  const [only] = paths.keys();
  throw new ConfigError(`annotators compare two variants, and there is ${variants[0]!.name} alone`, {
    mend: `Serve two models, or give --variant ${only}@0.7 --variant ${only}@1.`,
  });
}

// --- internal ---

const defaultTemperature = 0.8;

type NewVariant = Omit<Variant, "place">;

function variantOf(text: string, pathOf: (name: string) => string): NewVariant {
  const [, name = "", heat] = /^(.+?)(?:@([^@/\\]*))?$/.exec(text) ?? [];
  const temperature = heat === undefined ? defaultTemperature : Number(heat === "" ? Number.NaN : heat);
  if (temperature >= 0 && temperature <= 5) {
    return { name: `${name}@${temperature}`, model: pathOf(name), temperature };
  }
  throw new ConfigError(`${JSON.stringify(text)} names no temperature after the @`, {
    mend: `Write for instance ${name}@0.8.`,
  });
}

function differing(variants: NewVariant[]): NewVariant[] {
  const keys = variants.map(({ model, temperature }) => `${temperature} ${model}`);
  if (new Set(keys).size === variants.length) return variants;
  throw new ConfigError("two of the variants are the same model at the same temperature", {
    mend: "Give each another temperature, such as model@0.5 model@1.",
  });
}
