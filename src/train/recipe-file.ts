/**
 * Recipes on disk: YAML 1.2 read against a strict schema, and written back whole.
 *
 * A recipe has no key that its schema does not know, at any depth: a misspelt setting is an error, not a silence.
 * The schema's own JSON Schema (https://json-schema.org/draft/2020-12) says what a key expects, so that no message
 * is written by hand for a setting.
 */

import {
  LineCounter,
  isMap,
  isNode,
  isScalar,
  isSeq,
  parse,
  parseDocument,
  stringify,
  YAMLParseError,
  type Document,
} from "yaml";
import { z } from "zod";
import { ConfigError } from "../errors/errors.ts";
import { nearestName } from "../errors/nearest.ts";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import { openFile } from "../formats/file-source.ts";
import { describeSchema, memberSchema, memberNames, type JsonSchema } from "./recipe-schema.ts";

/** Plain data, as YAML and JSON have it. */
export type RecipeRecord = Readonly<Record<string, unknown>>;

/**
 * @param path      a YAML file; without it, the schema's defaults.
 * @param overrides `key=value`, keys dotted (`tokenizer.vocab_size=512`), values in YAML; the last of two wins.
 * @throws {ConfigError} for YAML that is none, an unknown key, or a value its key does not take; with file and line.
 */
export function readRecipe<Schema extends z.ZodObject>(
  schema: Schema,
  path: string | undefined,
  overrides: readonly string[] = [],
): z.infer<Schema> {
  const shape = z.toJSONSchema(schema, { io: "input" }) as JsonSchema;
  const source: Source = path === undefined ? { value: {}, lineOf: () => "the recipe" } : readYaml(path);
  const settings = overrides.map((text) => parseOverride(text, shape));
  for (const setting of settings) assign(source.value, setting);

  const placeOf = (keys: Keys): string => {
    const setting = settings.findLast(({ keys: set }) => set.every((key, i) => key === String(keys[i])));
    return setting === undefined ? source.lineOf(keys) : `--set ${setting.text}`;
  };
  refuseUnknownKeys(source.value, shape, [], placeOf);
  const parsed = schema.safeParse(source.value);
  if (parsed.success) return parsed.data;
  throw valueError(firstIssue(parsed.error.issues), { shape, value: source.value, placeOf });
}

/** Canonical YAML: keys in the order of the value, one line per scalar, undefined left out. */
export function recipeText(value: RecipeRecord): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

export function writeRecipe(path: string, value: RecipeRecord): void {
  writeFileAtomically(path, recipeText(value));
}

/** The record in a YAML file, unchecked. @throws {ConfigError} when it is not YAML or not a map. */
export function readRecipeRecord(path: string): RecipeRecord {
  return readYaml(path).value;
}

// --- internal ---

type Keys = readonly PropertyKey[];

interface Source {
  readonly value: Record<string, unknown>;
  /** `file:line` of a key; of the nearest key above it where it is not in the file. */
  readonly lineOf: (keys: Keys) => string;
}

/** A recipe is a page long; a megabyte of YAML is a mistake or an attack. */
const MAX_BYTES = 2 ** 20;

function readYaml(path: string): Source {
  using file = openFile(path);
  if (file.size > MAX_BYTES) {
    throw new ConfigError(`${path} has ${file.size} bytes, which is no recipe`, {
      mend: "Give a recipe in YAML, such as recipes/speedrun.yaml.",
    });
  }
  const text = new TextDecoder().decode(file.read(0, file.size));
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const problem = document.errors[0];
    if (problem !== undefined) throw yamlError(`${path}:${lines.linePos(problem.pos[0]).line}`, problem);
    const lineOf = (keys: Keys): string => {
      const offset = offsetOf(document.contents, keys);
      return offset === undefined ? path : `${path}:${lines.linePos(offset).line}`;
    };
    return { value: recordIn(document, path), lineOf };
  } catch (error) {
    // Too deep a nesting overflows the parser's stack; too many aliases are a ReferenceError.
    if (error instanceof ConfigError) throw error;
    throw yamlError(path, error);
  }
}

function yamlError(place: string, cause: unknown): ConfigError {
  if (cause instanceof YAMLParseError && cause.code === "DUPLICATE_KEY") {
    return new ConfigError(`${place}: this setting is there twice`, { mend: "Keep one of the two.", cause });
  }
  const reason = cause instanceof Error ? cause.message.split("\n")[0]! : String(cause);
  return new ConfigError(`${place}: this is not YAML: ${reason}`, {
    mend: "A recipe has one `key: value` on a line, with two spaces of indent for each level.",
    cause,
  });
}

function recordIn(document: Document, path: string): Record<string, unknown> {
  const value: unknown = document.toJS();
  if (value === null || value === undefined) return {};
  if (isRecord(value) && isMap(document.contents)) return value;
  throw new ConfigError(`${path}: a recipe is a map of settings, and this is ${shown(value)}`, {
    mend: "Write one `key: value` on a line.",
  });
}

/** Where the innermost of `keys` that the text has begins; undefined where it has none. */
function offsetOf(root: unknown, keys: Keys): number | undefined {
  let node = root;
  let offset: number | undefined;
  for (const key of keys) {
    let start: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      [start, node] = [pair?.key, pair?.value];
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      start = node;
    } else break;
    if (isNode(start)) offset = start.range?.[0] ?? offset;
  }
  return offset;
}

interface Setting {
  readonly text: string;
  readonly keys: readonly string[];
  readonly value: unknown;
}

function parseOverride(text: string, shape: JsonSchema): Setting {
  const equals = text.indexOf("=");
  if (equals < 1) {
    throw new ConfigError(`--set ${text}: there is no "key=value" in it`, {
      mend: "Write for instance --set lr=1e-4 or --set tokenizer.vocab_size=512.",
    });
  }
  const keys = text.slice(0, equals).split(".");
  // Known before it is assigned: no override creates a key that the schema lacks.
  for (const [depth, key] of keys.entries()) {
    const known = memberSchema(shape, keys.slice(0, depth + 1));
    if (known === undefined) throw unknownKey(`--set ${text}`, keys.slice(0, depth), { key, shape });
  }
  try {
    return { text, keys, value: parse(text.slice(equals + 1), { prettyErrors: false, logLevel: "error" }) };
  } catch (error) {
    throw yamlError(`--set ${text}`, error);
  }
}

function assign(root: Record<string, unknown>, { keys, value, text }: Setting): void {
  let target = root;
  for (const [depth, key] of keys.entries()) {
    refuseGap(target, key, text);
    if (depth === keys.length - 1) {
      target[key] = value;
      return;
    }
    const member = (target[key] ??= {});
    if (typeof member !== "object") {
      const name = keys.slice(0, depth + 1).join(".");
      throw new ConfigError(`--set ${text}: ${name} is ${shown(member)}, which has no keys`, {
        mend: `Set ${name} as a whole: --set '${name}={${keys.slice(depth + 1).join(".")}: …}'.`,
      });
    }
    target = member as Record<string, unknown>;
  }
}

/** A list grows by one item at a time: an item a billion places on would leave a billion holes. */
function refuseGap(target: unknown, key: string, text: string): void {
  if (!Array.isArray(target) || Number(key) <= target.length) return;
  throw new ConfigError(`--set ${text}: the list has only ${target.length} items`, {
    mend: `Items count from 0: a new one is number ${target.length}.`,
  });
}

/** Before the values, so that a misspelt key is called misspelt and not its right spelling missing. */
function refuseUnknownKeys(
  value: unknown,
  shape: JsonSchema,
  path: Keys,
  placeOf: (keys: Keys) => string,
): void {
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) refuseUnknownKeys(item, shape, [...path, i], placeOf);
  }
  if (!isRecord(value) || memberNames(shape, path) === undefined) return;
  for (const [key, member] of Object.entries(value)) {
    const keys = [...path, key];
    if (memberSchema(shape, keys) === undefined) throw unknownKey(placeOf(keys), path, { key, shape });
    refuseUnknownKeys(member, shape, keys, placeOf);
  }
}

function unknownKey(
  place: string,
  path: Keys,
  { key, shape }: { key: string; shape: JsonSchema },
): ConfigError {
  const names = memberNames(shape, path) ?? [];
  const nearest = nearestName(key, names);
  const settings = names.length === 0 ? "It has none below it." : `There are ${names.join(", ")}.`;
  return new ConfigError(`${place}: no setting is called ${JSON.stringify(dotted([...path, key]))}`, {
    mend: nearest === undefined ? settings : `Did you mean ${dotted([...path, nearest])}?`,
  });
}

type Issue = z.core.$ZodIssue;

/** Of a union, the issue of the alternative that got furthest. */
function firstIssue(issues: readonly Issue[]): Issue {
  const issue = issues[0]!;
  if (issue.code !== "invalid_union") return issue;
  const inner = issue.errors
    .filter((alternative) => alternative.length > 0)
    .map((alternative) => firstIssue(alternative))
    .filter(({ path }) => path.length > 0)
    .toSorted((a, b) => b.path.length - a.path.length)[0];
  return inner === undefined ? issue : { ...inner, path: [...issue.path, ...inner.path] };
}

function valueError(
  issue: Issue,
  context: { shape: JsonSchema; value: unknown; placeOf: (keys: Keys) => string },
): ConfigError {
  const { path } = issue;
  const place = context.placeOf(path);
  if (issue.code === "custom") return new ConfigError(`${place}: ${issue.message}`, mendOf(issue));
  const found = valueAt(context.value, path);
  const schema = memberSchema(context.shape, path) ?? {};
  const expected = describeSchema(schema);
  const ofDefault = "default" in schema ? ` The default is ${shown(schema.default)}.` : "";
  if (found === undefined) {
    return new ConfigError(`${place}: ${dotted(path)} is missing`, { mend: `Set it to ${expected}.` });
  }
  return new ConfigError(`${place}: ${dotted(path)} is ${shown(found)}, not ${expected}`, {
    mend: `Set ${dotted(path)} to ${expected}.${ofDefault}`,
  });
}

function mendOf(issue: Issue & { code: "custom" }): { mend?: string } {
  const mend: unknown = issue.params?.["mend"];
  return typeof mend === "string" ? { mend } : {};
}

function valueAt(root: unknown, path: Keys): unknown {
  let value = root;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[key];
  return value;
}

function dotted(path: Keys): string {
  return path.map(String).join(".");
}

function shown(value: unknown): string {
  if (typeof value === "number") return String(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
