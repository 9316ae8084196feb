/** Whether two schemas can be told apart: no text that is made for one fits the other. */

import { nearestName } from "../../errors/nearest.ts";
import {
  child,
  impliedTypes,
  isObject,
  refuse,
  type JsonType,
  type Place,
  type SchemaObject,
} from "./schema-source.ts";

const allTypes: readonly JsonType[] = ["null", "boolean", "string", "integer", "number", "array", "object"];

/**
 * The types that a schema allows, or that its keywords speak of; undefined for all.
 *
 * @throws {ConfigError} for a type that JSON does not have.
 */
export function typesOf(schema: SchemaObject, place: Place): readonly JsonType[] | undefined {
  const { type } = schema;
  if (type === undefined) return impliedTypes(schema);
  const types: readonly unknown[] = Array.isArray(type) ? type : [type];
  for (const name of types) {
    if (allTypes.includes(name as JsonType)) continue;
    const nearest = nearestName(String(name), allTypes);
    throw refuse(
      child(place, "type"),
      `${JSON.stringify(name)}, which is no type`,
      nearest === undefined ? `There are ${allTypes.join(", ")}.` : `Did you mean ${nearest}?`,
    );
  }
  return [...new Set(types as readonly JsonType[])];
}

/** @param resolve follows a $ref. */
export function exclusive(a: Place, b: Place, resolve: (place: Place) => Place): boolean {
  const [one, other] = [a.schema, b.schema];
  if (one === false || other === false) return true;
  if (!isObject(one) || !isObject(other)) return false;
  const values = [valuesOf(one), valuesOf(other)] as const;
  if (values[0] !== undefined && values[1] !== undefined) {
    return values[0].every((value) => !values[1]!.includes(value));
  }
  const types = [typesIn(one, a), typesIn(other, b)] as const;
  if (types[0] !== undefined && types[1] !== undefined) {
    const shared = types[0].filter((type) => types[1]!.some((second) => overlaps(type, second)));
    if (shared.length === 0) return true;
    if (shared.some((type) => type !== "object")) return false;
    return haveOtherProperties(a, b, resolve);
  }
  return false;
}

// --- internal ---

function overlaps(a: JsonType, b: JsonType): boolean {
  const numbers: readonly JsonType[] = ["integer", "number"];
  return a === b || (numbers.includes(a) && numbers.includes(b));
}

/** As texts, which are equal when the values are. */
function valuesOf(schema: SchemaObject): readonly string[] | undefined {
  if (schema["const"] !== undefined) return [JSON.stringify(schema["const"])];
  return Array.isArray(schema["enum"]) ? schema["enum"].map((value) => JSON.stringify(value)) : undefined;
}

/** Where values are listed, their types. */
function typesIn(schema: SchemaObject, place: Place): readonly JsonType[] | undefined {
  const values = valuesOf(schema);
  if (values === undefined) return typesOf(schema, place);
  return values.map((text) => {
    const value = JSON.parse(text) as unknown;
    if (value === null) return "null";
    if (Array.isArray(value)) return "array";
    return typeof value as JsonType;
  });
}

/**
 * Either a required property of both tells them apart, or each requires one that the other, as it is written, has not.
 */
function haveOtherProperties(a: Place, b: Place, resolve: (place: Place) => Place): boolean {
  const [required, others] = [requiredOf(a), requiredOf(b)];
  const isTold = required
    .filter((name) => others.includes(name))
    .some((name) => {
      const [one, other] = [a, b].map((place) => child(child(place, "properties"), name));
      return exclusive(resolve(one!), resolve(other!), resolve);
    });
  return isTold || (lacksOne(a, others) && lacksOne(b, required));
}

function requiredOf({ schema }: Place): readonly string[] {
  const required = (schema as SchemaObject)["required"];
  return Array.isArray(required) ? required.filter((name) => typeof name === "string") : [];
}

/** Whether an object that is written for the schema never has one of these properties. */
function lacksOne(place: Place, names: readonly string[]): boolean {
  const schema = place.schema as SchemaObject;
  const own = Object.keys((schema["properties"] as object | undefined) ?? {});
  const extra = schema["additionalProperties"];
  if (own.length === 0 || (extra !== undefined && extra !== false)) return false;
  return names.some((name) => !own.includes(name) && !requiredOf(place).includes(name));
}
