/**
 * JSON Schema (2020-12) -> grammar of the JSON texts that fit it.
 *
 * Keywords: type, enum, const, properties, required, additionalProperties, propertyNames, minProperties and
 * maxProperties (of objects without properties), items, prefixItems, minItems, maxItems, minLength, maxLength, pattern,
 * format, minimum, maximum and their exclusive forms, anyOf, oneOf (where no text can fit two), allOf, $ref into the
 * same schema, recursive ones too. What a keyword says that is not among them is refused, never dropped.
 *
 * A grammar must choose where a schema leaves open: properties come in the schema's order, others after them; an
 * object with properties has no others unless additionalProperties asks for them, an array with prefixItems no items
 * after them unless items does, and all of them unless minItems asks for fewer.
 */

import { nearestName } from "../../errors/nearest.ts";
import { choice, repeat, rule, sequence, text, type Expression, type Grammar } from "./grammar.ts";
import { jsonRules, list, spaced, whiteSpace } from "./json-text.ts";
import { objectGrammar } from "./object-grammar.ts";
import { enumeration, numeric, stringExpression } from "./scalar-grammar.ts";
import { exclusive, typesOf } from "./schema-exclusion.ts";
import { mergeSchemas } from "./schema-merge.ts";
import {
  annotations,
  child,
  isObject,
  keywords,
  numberAt,
  refuse,
  type JsonType,
  type Place,
  type SchemaObject,
} from "./schema-source.ts";

/**
 * @param schema as `JSON.parse` gives it.
 * @throws {ConfigError} for what is not supported, naming where it stands, and when no text fits the schema.
 */
export function grammarOfSchema(schema: unknown): Grammar {
  const converter = new SchemaConverter(schema);
  const rules = new Map(jsonRules);
  rules.set("root", converter.expression({ schema, path: "#" }));
  for (const [name, expression] of converter.rules) rules.set(name, expression);
  return { rules, root: "root" };
}

/** Any JSON object, as `response_format: { type: "json_object" }` asks for. */
export function grammarOfJsonObject(): Grammar {
  return grammarOfSchema({ type: "object" });
}

// --- internal ---

/** Each schema is an expression of its own; a schema inside a schema is a call of the converter inside a call. */
const mostSchemas = 20_000;
const deepestSchema = 100;

class SchemaConverter {
  readonly #document: unknown;
  /** By the pointer of a $ref. */
  readonly rules = new Map<string, Expression>();
  #count = 0;
  #depth = 0;

  constructor(document: unknown) {
    this.#document = document;
  }

  expression(place: Place): Expression {
    this.#count += 1;
    if (this.#count > mostSchemas) {
      throw refuse(
        place,
        `more than ${mostSchemas} schemas`,
        "Put what is repeated into $defs, and refer to it.",
      );
    }
    this.#depth += 1;
    if (this.#depth > deepestSchema) {
      throw refuse(
        place,
        `more than ${deepestSchema} schemas inside each other`,
        "Put the inner ones into $defs.",
      );
    }
    const expression = this.#any(place);
    this.#depth -= 1;
    return expression;
  }

  #any(place: Place): Expression {
    const { schema } = place;
    if (schema === true) return rule("value");
    if (schema === false) return choice();
    if (!isObject(schema)) {
      throw refuse(
        place,
        `${JSON.stringify(schema)}, which is no schema`,
        "A schema is an object, true or false.",
      );
    }
    checkKeywords(schema, place);
    const { $ref, allOf, anyOf, oneOf, ...rest } = schema;
    if ($ref !== undefined) return this.#reference(place, { ...rest, ...defined({ allOf, anyOf, oneOf }) });
    if (allOf !== undefined) {
      const parts = this.#members(place, "allOf").map((part) => this.#resolved(part));
      const own = { schema: { ...rest, ...defined({ anyOf, oneOf }) }, path: place.path };
      return this.expression(mergeSchemas([own, ...parts]));
    }
    if (anyOf !== undefined) return this.#union(place, "anyOf", { ...rest, ...defined({ oneOf }) });
    if (oneOf !== undefined) return this.#union(place, "oneOf", rest);
    return this.#plain(rest, place);
  }

  #reference(place: Place, rest: SchemaObject): Expression {
    const pointer = (place.schema as SchemaObject)["$ref"];
    if (hasAssertions(rest)) {
      return this.expression(
        mergeSchemas([{ schema: rest, path: place.path }, this.#resolved(place, "$ref")]),
      );
    }
    const target = this.#target(pointer, place);
    const name = target.path;
    if (!this.rules.has(name)) {
      // So that a schema which refers to itself finds its rule.
      this.rules.set(name, choice());
      this.rules.set(name, this.expression(target));
    }
    return rule(name);
  }

  #union(place: Place, keyword: "anyOf" | "oneOf", rest: SchemaObject): Expression {
    const own: Place = { schema: rest, path: place.path };
    const members = this.#members(place, keyword);
    const whole = hasAssertions(rest)
      ? members.map((part) => mergeSchemas([own, this.#resolved(part)]))
      : members;
    if (keyword === "oneOf") this.#checkExclusive(whole);
    return choice(...whole.map((member) => this.expression(member)));
  }

  #checkExclusive(members: readonly Place[]): void {
    const resolved = members.map((member) => this.#resolved(member));
    for (const [i, one] of resolved.entries()) {
      for (const [j, other] of resolved.entries()) {
        if (j >= i || exclusive(one, other, (place) => this.#resolved(place))) continue;
        throw refuse(
          members[i]!,
          `an alternative of oneOf that a text could fit together with number ${j}`,
          "Write anyOf, or tell them apart by a required property with a const of its own.",
        );
      }
    }
  }

  #plain(schema: SchemaObject, place: Place): Expression {
    if (schema["const"] !== undefined || schema["enum"] !== undefined) return enumeration(schema, place);
    const types = typesOf(schema, place);
    if (types === undefined) return rule("value");
    const options = types.map((type) => this.#typed(type, schema, place));
    return choice(...options);
  }

  #typed(type: JsonType, schema: SchemaObject, place: Place): Expression {
    switch (type) {
      case "null":
        return text("null");
      case "boolean":
        return choice(text("true"), text("false"));
      case "string":
        return stringExpression(schema, place);
      case "integer":
        return numeric(schema, place, "integer");
      case "number":
        return numeric(schema, place, "number");
      case "array":
        return this.#array(schema, place);
      case "object":
        return objectGrammar(schema, place, (member) => this.expression(member), this.rules);
    }
  }

  #array(schema: SchemaObject, place: Place): Expression {
    const min = numberAt(schema, "minItems", place) ?? 0;
    const max = numberAt(schema, "maxItems", place) ?? Number.POSITIVE_INFINITY;
    if (schema["uniqueItems"] === true) {
      throw refuse(
        child(place, "uniqueItems"),
        "true",
        "Leave it out, and check the answer for repetitions.",
      );
    }
    const items = child(place, "items");
    if (schema["prefixItems"] === undefined) {
      if (items.schema === undefined && min === 0 && max === Number.POSITIVE_INFINITY) return rule("array");
      if (min > max) return choice();
      const item = items.schema === undefined ? rule("value") : this.expression(items);
      return list(["[", "]"], item, min, max);
    }
    const prefix = this.#members(place, "prefixItems");
    const rest = items.schema === undefined || items.schema === false ? choice() : this.expression(items);
    const least = schema["minItems"] === undefined ? Math.min(prefix.length, max) : min;
    return tuple(
      prefix.map((member) => this.expression(member)),
      rest,
      { least, most: max },
    );
  }

  #members(place: Place, keyword: string): Place[] {
    const members = child(place, keyword);
    if (!Array.isArray(members.schema) || members.schema.length === 0) {
      throw refuse(members, "no list of schemas", "Write a list of at least one schema.");
    }
    return members.schema.map((_, i) => child(members, String(i)));
  }

  /** A schema without $ref at its top. */
  #resolved(place: Place, keyword?: "$ref"): Place {
    const seen = new Set<string>();
    let at = place;
    while (isObject(at.schema) && at.schema["$ref"] !== undefined) {
      const target = this.#target(at.schema["$ref"], at);
      if (seen.has(target.path)) {
        throw refuse(
          place,
          "a $ref that leads back to itself",
          "Let it refer to a schema that says something.",
        );
      }
      seen.add(target.path);
      const { $ref: _, ...rest } = at.schema;
      at =
        hasAssertions(rest) && keyword === undefined
          ? mergeSchemas([{ schema: rest, path: at.path }, target])
          : target;
    }
    return at;
  }

  #target(pointer: unknown, place: Place): Place {
    const at = child(place, "$ref");
    if (typeof pointer !== "string" || !(pointer === "#" || pointer.startsWith("#/"))) {
      throw refuse(
        at,
        JSON.stringify(pointer),
        'Refer to a part of the same schema, such as "#/$defs/name".',
      );
    }
    let target: Place = { schema: this.#document, path: "#" };
    for (const part of pointer.split("/").slice(1)) {
      const key = percentDecoded(part).replaceAll("~1", "/").replaceAll("~0", "~");
      target = child(target, key);
      if (target.schema === undefined) {
        const names = isObject(this.#document)
          ? Object.keys((this.#document["$defs"] as object | undefined) ?? {})
          : [];
        const nearest = nearestName(key, names);
        throw refuse(
          at,
          `${JSON.stringify(pointer)}, which is not there`,
          nearest === undefined ? "Add it to $defs." : `Did you mean #/$defs/${nearest}?`,
        );
      }
    }
    return { schema: target.schema, path: pointer };
  }
}

function checkKeywords(schema: SchemaObject, place: Place): void {
  for (const key of Object.keys(schema)) {
    if (keywords.includes(key) || annotations.includes(key) || key.startsWith("x-")) continue;
    const nearest = nearestName(key, keywords);
    throw refuse(
      child(place, key),
      "a keyword that is not supported",
      nearest === undefined || nearest === key
        ? "Leave it out, and check the answer for it; or say the same with other keywords."
        : `Did you mean ${nearest}?`,
    );
  }
}

/** What does not spell UTF-8 stays as it is: a name may have a percent sign. */
function percentDecoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function hasAssertions(schema: SchemaObject): boolean {
  return Object.keys(schema).some((key) => !annotations.includes(key) && !key.startsWith("x-"));
}

function defined(members: SchemaObject): SchemaObject {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

function tuple(
  items: readonly Expression[],
  rest: Expression,
  { least, most }: { readonly least: number; readonly most: number },
): Expression {
  const extra = Math.max(0, most - items.length);
  let after = repeat(sequence(spaced(","), rest), Math.max(0, least - items.length), extra);
  for (let i = Math.min(items.length, most) - 1; i >= 0; i -= 1) {
    const item = i === 0 ? items[i]! : sequence(spaced(","), items[i]!);
    const whole = sequence(item, after);
    after = i < least ? whole : repeat(whole, 0, 1);
  }
  return sequence(text("["), whiteSpace, after, whiteSpace, text("]"));
}
