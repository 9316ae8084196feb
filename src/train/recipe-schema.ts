/**
 * What a recipe's JSON Schema says of a key: which keys are below it, and what it expects, in words.
 * Only the part of JSON Schema (draft 2020-12) that our recipes use.
 */

export interface JsonSchema {
  readonly type?: "integer" | "number" | "boolean" | "string" | "array" | "object";
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly exclusiveMaximum?: number;
  readonly minItems?: number;
  readonly minLength?: number;
}

/** The schema at a path; of a union, all alternatives that have it. Undefined where the path leads nowhere. */
export function memberSchema(schema: JsonSchema, path: readonly PropertyKey[]): JsonSchema | undefined {
  let schemas: readonly JsonSchema[] = [schema];
  for (const key of path) {
    schemas = schemas.flatMap(alternatives).flatMap((alternative) => memberOf(alternative, key) ?? []);
  }
  return schemas.length > 1 ? { anyOf: schemas } : schemas[0];
}

/** The keys below a path; undefined where no map is expected. */
export function memberNames(schema: JsonSchema, path: readonly PropertyKey[]): readonly string[] | undefined {
  const maps = alternatives(memberSchema(schema, path) ?? {}).flatMap(({ properties }) => properties ?? []);
  return maps.length === 0 ? undefined : [...new Set(maps.flatMap((map) => Object.keys(map)))];
}

/** "a whole number of at least 1", to stand after "not" or "to". */
export function describeSchema(schema: JsonSchema): string {
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(describeSchema))].join(" or ");
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  switch (schema.type) {
    case "integer":
      return `a whole number${range(schema)}`;
    case "number":
      return `a number${range(schema)}`;
    case "boolean":
      return "true or false";
    case "string":
      return `a text${notEmpty(schema.minLength)}`;
    case "array":
      return `a list${notEmpty(schema.minItems)}`;
    case "object":
      return `a map of ${Object.keys(schema.properties ?? {}).join(", ")}`;
    case undefined:
  }
  return "something else";
}

// --- internal ---

function alternatives(schema: JsonSchema): readonly JsonSchema[] {
  return schema.anyOf?.flatMap(alternatives) ?? [schema];
}

function memberOf({ properties, items }: JsonSchema, key: PropertyKey): JsonSchema | undefined {
  if (items !== undefined && /^\d+$/.test(String(key))) return items;
  return properties !== undefined && Object.hasOwn(properties, key)
    ? properties[key as keyof typeof properties]
    : undefined;
}

function notEmpty(least = 0): string {
  return least > 0 ? " that is not empty" : "";
}

function range({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): string {
  // Every whole number is bounded by 2⁵³; the reader need not be told.
  const bounds = [
    exclusiveMinimum === undefined ? "" : ` above ${exclusiveMinimum}`,
    minimum === undefined || minimum === Number.MIN_SAFE_INTEGER ? "" : ` of at least ${minimum}`,
    exclusiveMaximum === undefined ? "" : ` below ${exclusiveMaximum}`,
    maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? "" : ` of at most ${maximum}`,
  ].filter((bound) => bound !== "");
  return bounds.join(" and").replace(" of at most", bounds.length > 1 ? " at most" : " of at most");
}
