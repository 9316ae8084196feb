/**
 * What a command is, and how its arguments are read.
 *
 * citty parses; before it, every argument is checked against the definitions, for citty lets unknown options pass
 * and keeps only the last of a repeated one.
 */

import { parseArgs, type ArgDef } from "citty";
import { ConfigError } from "../errors/errors.ts";
import { nearestName } from "../errors/nearest.ts";
import type { Style, TextStream } from "./terminal.ts";

/** One argument: citty's definition, and what it lacks. A value is a text unless `as` says otherwise. */
export interface Argument extends Omit<ArgDef, "type" | "default" | "options" | "alias"> {
  readonly type: "boolean" | "string" | "positional";
  readonly description: string;
  /** One letter, for `-s`. */
  readonly alias?: string;
  /** Shown in the help and used when the argument is left out; a flag may be on. */
  readonly default?: string;
  readonly as?: "integer" | "number";
  /** Smallest number that is taken. */
  readonly min?: number;
  /** Whether it may be given more than once; the value is then a list. */
  readonly multiple?: boolean;
  /** The only values that are taken. */
  readonly choices?: readonly string[];
}

export type Arguments = Readonly<Record<string, Argument>>;

type One<A extends Argument> = A extends { as: "integer" | "number" } ? number : string;

export type ArgumentValues<A extends Arguments> = {
  readonly [Name in keyof A]: A[Name] extends { type: "boolean" }
    ? boolean
    : A[Name] extends { multiple: true }
      ? readonly One<A[Name]>[]
      : A[Name] extends { required: true } | { default: string }
        ? One<A[Name]>
        : One<A[Name]> | undefined;
};

export interface CommandContext {
  /**
   * Aborted by the first Ctrl-C. From the first time that it is asked for, Ctrl-C does not end the process by
   * itself: a command that asks must stop when told.
   */
  readonly signal: AbortSignal;
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  /** Colours of stdout. */
  readonly style: Style;
}

export interface Command<A extends Arguments = Arguments> {
  readonly args: A;
  /** What the summary in the list of commands does not say; a paragraph at most. */
  readonly details?: string;
  /** Whole command lines. */
  readonly examples: readonly string[];
  run(args: ArgumentValues<A>, context: CommandContext): Promise<void> | void;
}

/** Infers the types of the arguments. */
export function defineCommand<const A extends Arguments>(command: Command<A>): Command<A> {
  return command;
}

/**
 * @param words what follows the command's name.
 * @param name  the command's, for messages.
 * @throws {ConfigError} for an unknown option, a missing argument, one too many, or a value of the wrong kind.
 */
export function parseArguments<A extends Arguments>(
  args: A,
  words: readonly string[],
  name: string,
): ArgumentValues<A> {
  const given = checkWords(args, words, name);
  const parsed = parseArgs([...words], cittyDefinitions(args));
  const positionals = [...given.positionals];
  const values: Record<string, unknown> = {};
  for (const [key, argument] of Object.entries(args)) {
    if (argument.type === "boolean") {
      values[key] = parsed[key] ?? argument.default === "true";
      continue;
    }
    const fallback = argument.default === undefined ? [] : [argument.default];
    const found =
      argument.type === "positional"
        ? positionals.splice(0, argument.multiple === true ? positionals.length : 1)
        : (given.options.get(key) ?? []);
    const texts = found.length > 0 ? found : fallback;
    if (argument.required === true && texts.length === 0) throw missing(key, argument, name);
    const converted = texts.map((text) => convert(text, key, argument));
    values[key] = argument.multiple === true ? converted : converted.at(-1);
  }
  if (positionals.length > 0) {
    throw new ConfigError(`${JSON.stringify(positionals[0])} is one argument too many`, {
      mend: `Quote a text that has spaces. \`${name} --help\` shows what is taken.`,
    });
  }
  return values as ArgumentValues<A>;
}

/** `--vocab-size` or `MODEL`, as messages and the help name an argument. */
export function argumentName(key: string, { type }: Argument): string {
  return type === "positional" ? key.toUpperCase() : `--${key}`;
}

// --- internal ---

interface Given {
  readonly positionals: readonly string[];
  readonly options: ReadonlyMap<string, readonly string[]>;
}

/** Walks the words by the rules of POSIX's long options; each must be one that the command knows. */
function checkWords(args: Arguments, words: readonly string[], name: string): Given {
  const positionals: string[] = [];
  const options = new Map<string, string[]>();
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") {
      positionals.push(...rest);
      break;
    }
    if (!/^-[-a-z]/i.test(word)) {
      positionals.push(word);
      continue;
    }
    const [option, inline] = splitOption(word);
    const key = optionKey(args, option);
    if (key === undefined) throw unknownOption(args, option, name);
    if (args[key]!.type === "boolean") continue;
    const value = inline ?? rest.shift();
    if (value === undefined || (inline === undefined && value.startsWith("--"))) {
      throw new ConfigError(`${option} wants a value`, {
        mend: `Write ${option} ${args[key]!.valueHint ?? "VALUE"}. ${helpHint(name)}`,
      });
    }
    options.set(key, [...(options.get(key) ?? []), value]);
  }
  return { positionals, options };
}

function splitOption(word: string): [option: string, inline: string | undefined] {
  const equals = word.indexOf("=");
  return equals < 0 ? [word, undefined] : [word.slice(0, equals), word.slice(equals + 1)];
}

function optionKey(args: Arguments, option: string): string | undefined {
  return Object.entries(args).find(([key, { type, alias }]) => {
    if (type === "positional") return false;
    return (
      option === `--${key}` || option === `-${alias}` || (type === "boolean" && option === `--no-${key}`)
    );
  })?.[0];
}

function unknownOption(args: Arguments, option: string, name: string): ConfigError {
  const known = Object.entries(args)
    .filter(([, { type }]) => type !== "positional")
    .map(([key]) => `--${key}`);
  const nearest = nearestName(option, [...known, "--help"]);
  const suggestion = nearest === undefined ? "" : `Did you mean ${nearest}? `;
  return new ConfigError(`${name} has no option ${option}`, { mend: suggestion + helpHint(name) });
}

function missing(key: string, argument: Argument, name: string): ConfigError {
  return new ConfigError(`${argumentName(key, argument)} is missing: ${argument.description}`, {
    mend: helpHint(name),
  });
}

function convert(text: string, key: string, argument: Argument): string | number {
  const { as, min = Number.NEGATIVE_INFINITY, choices } = argument;
  const name = argumentName(key, argument);
  if (choices !== undefined && !choices.includes(text)) {
    const nearest = nearestName(text, choices);
    const suggestion = nearest === undefined ? "" : `Did you mean ${nearest}? `;
    throw new ConfigError(`${name} is ${JSON.stringify(text)}, not one of ${choices.join(", ")}`, {
      mend: `${suggestion}Give one of ${choices.join(", ")}.`,
    });
  }
  if (as === undefined) return text;
  const number = text.trim() === "" ? Number.NaN : Number(text);
  const isGood = as === "integer" ? Number.isSafeInteger(number) : Number.isFinite(number);
  if (isGood && number >= min) return number;
  const kind = as === "integer" ? "a whole number" : "a number";
  const bound = Number.isFinite(min) ? ` of at least ${min}` : "";
  throw new ConfigError(`${name} is ${JSON.stringify(text)}, not ${kind}${bound}`, {
    mend: `Write for instance ${name} ${argument.default ?? Math.max(1, min)}.`,
  });
}

function helpHint(name: string): string {
  return `\`${name} --help\` lists what it takes.`;
}

function cittyDefinitions(args: Arguments): Record<string, ArgDef> {
  const definitions: Record<string, ArgDef> = {};
  for (const [key, { type, alias }] of Object.entries(args)) {
    // What is required is checked here, so that one message says it in one way.
    if (type === "positional") definitions[key] = { type, required: false };
    else definitions[key] = alias === undefined ? { type } : { type, alias };
  }
  return definitions;
}
