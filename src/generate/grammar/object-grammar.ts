/** JSON objects of a schema: properties in its order, the optional ones or not, then any others. */

import {
  characters,
  choice,
  complement,
  optional,
  repeat,
  rule,
  sequence,
  text,
  type Expression,
} from "./grammar.ts";
import { escapedCodes, list, oneOf, pair, spaced, whiteSpace } from "./json-text.ts";
import { child, isObject, numberAt, refuse, type Place, type SchemaObject } from "./schema-source.ts";

/**
 * @param convert a schema to its expression.
 * @param rules   gets rules of its own, for what comes after each property.
 */
export function objectGrammar(
  schema: SchemaObject,
  place: Place,
  convert: (place: Place) => Expression,
  rules: Map<string, Expression>,
): Expression {
  const properties = propertiesOf(schema, place);
  if (properties.length === 0) return map(schema, place, convert);
  checkCounts(schema, place, properties.length);
  const extra = child(place, "additionalProperties");
  const names = properties.map(({ name }) => name);
  const more =
    extra.schema === undefined || extra.schema === false ? undefined : pair(otherKey(names), convert(extra));
  const prefix = `${place.path}{${rules.size}}`;
  // From the last to the first: what may follow when a property has been written, and when none has.
  const anyMore = more === undefined ? text("") : repeat(sequence(spaced(","), more), 0);
  let after = anyMore;
  let first = more === undefined ? text("") : optional(sequence(more, anyMore));
  for (const [i, { name, isRequired, at }] of [...properties.entries()].toReversed()) {
    const own = define(rules, `${prefix}:${name}`, pair(text(JSON.stringify(name)), convert(at)));
    const rest = define(rules, `${prefix}>${i}`, after);
    const next = sequence(spaced(","), own, rest);
    after = isRequired ? next : choice(next, rest);
    first = isRequired
      ? sequence(own, rest)
      : choice(sequence(own, rest), define(rules, `${prefix}^${i}`, first));
  }
  return sequence(text("{"), whiteSpace, first, whiteSpace, text("}"));
}

// --- internal ---

interface Property {
  readonly name: string;
  readonly isRequired: boolean;
  readonly at: Place;
}

function propertiesOf(schema: SchemaObject, place: Place): Property[] {
  const at = child(place, "properties");
  if (at.schema !== undefined && !isObject(at.schema)) {
    throw refuse(at, "no object of schemas", 'Write { "name": schema, ... }.');
  }
  const required = schema["required"] ?? [];
  if (!Array.isArray(required) || required.some((name) => typeof name !== "string")) {
    throw refuse(child(place, "required"), "no list of names", 'Write ["name", ...].');
  }
  const names = Object.keys(at.schema ?? {});
  const extra = child(place, "additionalProperties");
  const undeclared = required.filter((name: string) => !names.includes(name));
  return [
    ...names.map((name) => ({ name, isRequired: required.includes(name), at: child(at, name) })),
    ...undeclared.map((name: string) => ({
      name,
      isRequired: true,
      at: extra.schema === undefined ? { schema: true, path: extra.path } : extra,
    })),
  ];
}

/** An object whose keys are not known. */
function map(schema: SchemaObject, place: Place, convert: (place: Place) => Expression): Expression {
  const extra = child(place, "additionalProperties");
  const names = child(place, "propertyNames");
  const min = numberAt(schema, "minProperties", place) ?? 0;
  const max = numberAt(schema, "maxProperties", place) ?? Number.POSITIVE_INFINITY;
  if (min > max) return choice();
  const isOpen = extra.schema === undefined || extra.schema === true;
  // An object with no properties listed is the one place where none are meant.
  if (schema["properties"] !== undefined && extra.schema === undefined)
    return list(["{", "}"], text(""), 0, 0);
  const value = isOpen ? rule("value") : convert(extra);
  const key = names.schema === undefined ? rule("string") : convert(asStrings(names));
  if (extra.schema === false) return min > 0 ? choice() : list(["{", "}"], value, 0, 0);
  return list(["{", "}"], pair(key, value), min, max);
}

function asStrings(names: Place): Place {
  if (!isObject(names.schema)) return names;
  return { schema: { type: "string", ...names.schema }, path: names.path };
}

function checkCounts(schema: SchemaObject, place: Place, count: number): void {
  const required = (schema["required"] as readonly string[] | undefined) ?? [];
  const min = numberAt(schema, "minProperties", place) ?? 0;
  const max = numberAt(schema, "maxProperties", place) ?? Number.POSITIVE_INFINITY;
  const isClosed = schema["additionalProperties"] === undefined || schema["additionalProperties"] === false;
  if (min > required.length) {
    throw refuse(
      child(place, "minProperties"),
      `${min}, and ${required.length} are required`,
      "Say which in required.",
    );
  }
  if (max < count || (!isClosed && max < Number.POSITIVE_INFINITY)) {
    throw refuse(
      child(place, "maxProperties"),
      `${max}, and there can be more`,
      "List only properties that may be there.",
    );
  }
  if (schema["propertyNames"] !== undefined) {
    throw refuse(child(place, "propertyNames"), "names beside properties", "List the properties instead.");
  }
}

function define(rules: Map<string, Expression>, name: string, expression: Expression): Expression {
  rules.set(name, expression);
  return rule(name);
}

/** Characters of a key that nothing else could spell: no \u escapes, nor \/. */
const plainCharacter = characters(...complement(escapedCodes));
const simpleEscape = sequence(text("\\"), oneOf('"\\bfnrt'));

/** A key that is none of these. */
function otherKey(names: readonly string[]): Expression {
  const units = names.map((name) => unitsOf(JSON.stringify(name).slice(1, -1)));
  return sequence(text('"'), otherThan(units), text('"'));
}

/** A character, or an escape. */
function unitsOf(escaped: string): string[] {
  return escaped.match(/\\u[0-9a-f]{4}|\\.|[^\\]/gsu) ?? [];
}

function otherThan(names: readonly (readonly string[])[]): Expression {
  const anyUnits = repeat(choice(plainCharacter, simpleEscape), 0);
  if (names.length === 0) return anyUnits;
  const isEndTaken = names.some((name) => name.length === 0);
  const byUnit = new Map<string, (readonly string[])[]>();
  for (const [unit, ...rest] of names) {
    if (unit !== undefined) byUnit.set(unit, [...(byUnit.get(unit) ?? []), rest]);
  }
  const options: Expression[] = isEndTaken ? [] : [text("")];
  for (const [unit, same] of byUnit) options.push(sequence(text(unit), otherThan(same)));
  const taken = [...byUnit.keys()];
  const single = taken.filter((unit) => !unit.startsWith("\\")).map((unit) => unit.codePointAt(0)!);
  const others = complement([...escapedCodes, ...single.map((code): [number, number] => [code, code])]);
  const escapes = Array.from('"\\bfnrt').filter((sign) => !taken.includes(`\\${sign}`));
  options.push(sequence(characters(...others), anyUnits));
  if (escapes.length > 0) options.push(sequence(text("\\"), oneOf(escapes.join("")), anyUnits));
  return choice(...options);
}
