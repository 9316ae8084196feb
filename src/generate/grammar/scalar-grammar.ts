/** JSON Schema's constants, strings and numbers as expressions. */

import { choice, rule, sequence, text, type Expression } from "./grammar.ts";
import { integer, literal, string } from "./json-text.ts";
import { integerRange, numberRange, type Bounds } from "./number-range.ts";
import { typesOf } from "./schema-exclusion.ts";
import {
  annotations,
  child,
  isObject,
  numberAt,
  refuse,
  type JsonType,
  type Place,
  type SchemaObject,
} from "./schema-source.ts";
import { stringFormats } from "./string-formats.ts";
import { patternCharacters } from "./string-pattern.ts";

export function enumeration(schema: SchemaObject, place: Place): Expression {
  const { const: constant, enum: values, type: _, ...rest } = schema;
  if (values !== undefined && (!Array.isArray(values) || values.length === 0)) {
    throw refuse(child(place, "enum"), "no list of values", "Write a list of at least one value.");
  }
  const other = Object.keys(rest).find((key) => !annotations.includes(key) && !key.startsWith("x-"));
  if (other !== undefined) {
    throw refuse(
      child(place, other),
      "a keyword beside a list of values",
      "List only the values that fit it.",
    );
  }
  const types = schema["type"] === undefined ? undefined : typesOf(schema, place);
  const listed: readonly unknown[] = (values as readonly unknown[] | undefined) ?? [constant];
  const fitting = listed.filter(
    (value) =>
      (constant === undefined || JSON.stringify(value) === JSON.stringify(constant)) &&
      (types === undefined || types.some((type) => isOfType(value, type))),
  );
  return choice(...fitting.map(literal));
}

export function stringExpression(schema: SchemaObject, place: Place): Expression {
  const { pattern, format } = schema;
  const min = numberAt(schema, "minLength", place);
  const max = numberAt(schema, "maxLength", place);
  const given = Object.entries({ pattern, format, minLength: min, maxLength: max })
    .filter(([, value]) => value !== undefined)
    .map(([key]) => key);
  const isLength = given.every((key) => key.endsWith("Length"));
  if (given.length > 1 && !isLength) {
    throw refuse(
      child(place, given[1]!),
      `${given[1]} together with ${given[0]}`,
      "Say both with one pattern, or leave one out and check the answer for it.",
    );
  }
  if (isLength) {
    if (given.length === 0) return rule("string");
    return (min ?? 0) > (max ?? Number.POSITIVE_INFINITY) ? choice() : string(min, max);
  }
  const source = format === undefined ? pattern : stringFormats[format as string];
  const at = child(place, given[0]!);
  if (typeof source !== "string") {
    throw refuse(
      at,
      format === undefined
        ? `${JSON.stringify(pattern)}, which is no text`
        : `the format ${JSON.stringify(format)}`,
      format === undefined
        ? "A pattern is a regular expression in quotes."
        : `There are ${Object.keys(stringFormats).join(", ")}; a pattern can say others.`,
    );
  }
  return sequence(text('"'), patternCharacters(source, `JSON schema, ${at.path}`), text('"'));
}

export function numeric(schema: SchemaObject, place: Place, type: "integer" | "number"): Expression {
  if (schema["multipleOf"] !== undefined && !(schema["multipleOf"] === 1 && type === "integer")) {
    throw refuse(
      child(place, "multipleOf"),
      JSON.stringify(schema["multipleOf"]),
      "Leave it out, and check the answer for it.",
    );
  }
  const bound = (keyword: string): number | undefined => {
    const value = schema[keyword];
    if (value === undefined || (typeof value === "number" && Number.isFinite(value))) return value;
    throw refuse(child(place, keyword), `${JSON.stringify(value)}, which is no number`, "Write a number.");
  };
  const [min, max] = [bound("minimum"), bound("maximum")];
  const [above, below] = [bound("exclusiveMinimum"), bound("exclusiveMaximum")];
  if ([min, max, above, below].every((value) => value === undefined)) {
    return type === "integer" ? integer : rule("number");
  }
  const least = Math.max(min ?? Number.NEGATIVE_INFINITY, above ?? Number.NEGATIVE_INFINITY);
  const most = Math.min(max ?? Number.POSITIVE_INFINITY, below ?? Number.POSITIVE_INFINITY);
  if (least > most) return choice();
  const bounds: Bounds = { min: least, max: most, excludesMin: least === above, excludesMax: most === below };
  return type === "integer" ? integerRange(bounds) : numberRange(bounds);
}

// --- internal ---

function isOfType(value: unknown, type: JsonType): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      return Number.isInteger(value);
    case "string":
    case "number":
    case "boolean":
      return typeof value === type;
  }
}
