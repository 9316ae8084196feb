/** A JSON Schema as data: where a part of it stands, which keywords there are, and how one is refused. */

import { ConfigError } from "../../errors/errors.ts";

export type SchemaObject = Readonly<Record<string, unknown>>;

export type JsonType = "null" | "boolean" | "string" | "integer" | "number" | "array" | "object";

/** A schema, or what stands where one is expected, and the JSON pointer to it. */
export interface Place {
  readonly schema: unknown;
  readonly path: string;
}

/** Keyword -> the types that it speaks of; of all when it names none. */
const keywordTypes: Readonly<Record<string, readonly JsonType[]>> = {
  type: [],
  enum: [],
  const: [],
  anyOf: [],
  oneOf: [],
  allOf: [],
  $ref: [],
  properties: ["object"],
  required: ["object"],
  additionalProperties: ["object"],
  propertyNames: ["object"],
  minProperties: ["object"],
  maxProperties: ["object"],
  items: ["array"],
  prefixItems: ["array"],
  minItems: ["array"],
  maxItems: ["array"],
  uniqueItems: ["array"],
  minLength: ["string"],
  maxLength: ["string"],
  pattern: ["string"],
  format: ["string"],
  minimum: ["number"],
  maximum: ["number"],
  exclusiveMinimum: ["number"],
  exclusiveMaximum: ["number"],
  multipleOf: ["number"],
};

export const keywords: readonly string[] = Object.keys(keywordTypes);

/** Keywords that assert nothing about a text, or hold what others refer to. */
export const annotations: readonly string[] = (
  "$schema $id $comment $defs definitions $anchor title description default examples example deprecated " +
  "readOnly writeOnly contentEncoding contentMediaType"
).split(" ");

/** The types that the keywords of a schema without `type` speak of; undefined when they speak of none. */
export function impliedTypes(schema: SchemaObject): JsonType[] | undefined {
  const types = new Set(Object.keys(schema).flatMap((key) => keywordTypes[key] ?? []));
  return types.size === 0 ? undefined : [...types];
}

export function child({ schema, path }: Place, key: string): Place {
  const inner = typeof schema === "object" && schema !== null && Object.hasOwn(schema, key);
  return {
    schema: inner ? (schema as Readonly<Record<string, unknown>>)[key] : undefined,
    path: `${path}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`,
  };
}

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws {ConfigError} for a count that is not a whole number from 0 up. */
export function numberAt(schema: SchemaObject, keyword: string, place: Place): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw refuse(child(place, keyword), JSON.stringify(value), "Write a whole number from 0 up.");
}

/** @param what stands there. */
export function refuse({ path }: Place, what: string, mend: string): ConfigError {
  return new ConfigError(`JSON schema, ${path}: ${what}`, { mend });
}
