/** Schemas that all must hold (allOf, or keywords beside a $ref) as one. */

import { annotations, child, isObject, refuse, type Place, type SchemaObject } from "./schema-source.ts";

/**
 * @param places resolved: without a $ref at their top.
 * @returns a schema at the place of the first.
 * @throws {ConfigError} for keywords that cannot be said as one.
 */
export function mergeSchemas(places: readonly Place[]): Place {
  return places.reduce((merged, place) => mergeTwo(merged, place));
}

// --- internal ---

function mergeTwo(a: Place, b: Place): Place {
  if (a.schema === false || b.schema === true) return a;
  if (b.schema === false || a.schema === true) return { schema: b.schema, path: a.path };
  if (!isObject(a.schema) || !isObject(b.schema)) {
    throw refuse(isObject(a.schema) ? b : a, "no schema", "A schema is an object, true or false.");
  }
  const merged = new Map<string, unknown>(Object.entries(a.schema));
  for (const [key, value] of Object.entries(b.schema)) {
    const own = merged.get(key);
    merged.set(key, own === undefined || equal(own, value) ? value : mergeKeyword(key, [a, b], [own, value]));
  }
  const properties = mergedProperties(a.schema, b.schema);
  if (properties !== undefined) merged.set("properties", properties);
  return { schema: Object.fromEntries(merged), path: a.path };
}

type Pair<T> = readonly [T, T];

function mergeKeyword(key: string, [a, b]: Pair<Place>, [own, other]: Pair<unknown>): unknown {
  if (annotations.includes(key) || key === "properties") return own;
  const merge = merges[key];
  if (merge !== undefined) return merge(own, other, child(b, key));
  throw refuse(
    child(b, key),
    `${JSON.stringify(other)}, and ${child(a, key).path} says ${JSON.stringify(own)}`,
    "Say both with one keyword, or leave one out and check the answer for it.",
  );
}

type Merge = (own: unknown, other: unknown, place: Place) => unknown;

const larger: Merge = (own, other) => Math.max(Number(own), Number(other));
const smaller: Merge = (own, other) => Math.min(Number(own), Number(other));
const both: Merge = (own, other) => ({ allOf: [own, other] });

/** What two values of a keyword say together. Properties are merged apart. */
const merges: Readonly<Record<string, Merge>> = {
  minimum: larger,
  exclusiveMinimum: larger,
  minLength: larger,
  minItems: larger,
  minProperties: larger,
  maximum: smaller,
  exclusiveMaximum: smaller,
  maxLength: smaller,
  maxItems: smaller,
  maxProperties: smaller,
  type: (own, other) => sharedTypes([own].flat(), [other].flat()),
  enum: sharedValues,
  required: (own, other) => [...new Set([own, other].flat())],
  items: both,
  additionalProperties: both,
  propertyNames: both,
  allOf: (own, other) => [own, other].flat(),
  anyOf: products,
  oneOf: products,
};

/** Integers are numbers. */
function sharedTypes(own: readonly unknown[], other: readonly unknown[]): unknown[] {
  return [
    ...new Set([...own.filter((type) => within(type, other)), ...other.filter((type) => within(type, own))]),
  ];
}

function sharedValues(own: unknown, other: unknown, place: Place): unknown[] {
  if (!Array.isArray(own) || !Array.isArray(other)) throw refuse(place, "no list of values", "Write a list.");
  return own.filter((value) => other.some((candidate) => equal(value, candidate)));
}

function within(type: unknown, types: readonly unknown[]): boolean {
  return types.includes(type) || (type === "integer" && types.includes("number"));
}

/** (a or b) and (c or d) is ac or ad or bc or bd. */
function products(own: unknown, other: unknown, place: Place): unknown[] {
  if (!Array.isArray(own) || !Array.isArray(other))
    throw refuse(place, "no list of schemas", "Write a list.");
  if (own.length * other.length > mostProducts) {
    throw refuse(place, `${own.length * other.length} combinations`, "Say the same with fewer alternatives.");
  }
  return own.flatMap((first) => other.map((second) => ({ allOf: [first, second] })));
}

const mostProducts = 1000;

/**
 * Properties that both list must be of both schemas; those that one does not list are of what it says of other
 * properties, where it says something.
 */
function mergedProperties(a: SchemaObject, b: SchemaObject): SchemaObject | undefined {
  const [own, other] = [a["properties"], b["properties"]].map((list) => (isObject(list) ? list : {}));
  const names = new Set([...Object.keys(own!), ...Object.keys(other!)]);
  if (names.size === 0 && a["properties"] === undefined && b["properties"] === undefined) return undefined;
  return Object.fromEntries(
    [...names].map((name) => {
      const parts = [propertyOf(own!, a, name), propertyOf(other!, b, name)].filter((part) => part !== true);
      return [name, parts.length === 1 ? parts[0] : { allOf: parts.length === 0 ? [true] : parts }];
    }),
  );
}

function propertyOf(listed: SchemaObject, schema: SchemaObject, name: string): unknown {
  return Object.hasOwn(listed, name) ? listed[name] : (schema["additionalProperties"] ?? true);
}

function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
