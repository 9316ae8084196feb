/** Help: of all commands, of the commands that begin with a word, and of one command. */

import { argumentName, type Argument, type Command } from "./command.ts";
import { commandGroups, type CommandRow } from "./commands.ts";
import { displayWidth, table, type Style } from "./terminal.ts";

export function generalHelp(rows: readonly CommandRow[], version: string, style: Style): string {
  return [
    `${style.bold("cria")} ${version}: the whole of Llama 2 in TypeScript, raw text in, a chat model out\n`,
    `${style.bold("Usage")}\n  cria <command> [options]\n`,
    ...groupLists(rows, style),
    `${style.bold("Example")}\n${examples(generalExamples, style)}`,
    `${style.dim("cria <command> --help says what a command takes.")}\n`,
  ].join("\n");
}

/** Help on `cria tokenizer`, where the commands are `cria tokenizer train` and others. */
export function familyHelp(word: string, rows: readonly CommandRow[], style: Style): string {
  return [
    `${style.bold("Usage")}\n  cria ${word} <command> [options]\n`,
    ...groupLists(rows, style),
    `${style.dim(`cria ${word} <command> --help says what a command takes.`)}\n`,
  ].join("\n");
}

export function commandHelp(row: CommandRow, command: Command, style: Style): string {
  const positionals = Object.entries(command.args).filter(([, { type }]) => type === "positional");
  const options = Object.entries(command.args).filter(([, { type }]) => type !== "positional");
  const usage = ["cria", row.name, ...positionals.map(([key, argument]) => usageOf(key, argument))];
  if (options.length > 0) usage.push("[options]");
  const parts = [`${style.bold(row.summary)}\n`];
  if (command.details !== undefined) parts.push(`${wrap(command.details, COLUMNS).join("\n")}\n`);
  parts.push(`${style.bold("Usage")}\n  ${usage.join(" ")}\n`);
  const positionalRows = positionals.map(([key, argument]): Labelled => [
    usageOf(key, argument),
    described(argument, style),
  ]);
  const optionRows = options.map(([key, argument]): Labelled => [
    optionLabel(key, argument),
    described(argument, style),
  ]);
  if (positionals.length > 0) parts.push(`${style.bold("Arguments")}\n${twoColumns(positionalRows)}`);
  parts.push(`${style.bold("Options")}\n${twoColumns([...optionRows, ["-h, --help", "Show this"]])}`);
  const heading = command.examples.length === 1 ? "Example" : "Examples";
  parts.push(`${style.bold(heading)}\n${examples(command.examples, style)}`);
  return parts.join("\n");
}

// --- internal ---

const generalExamples = [
  "cria tokenizer train book.txt --vocab-size 2048 --out book.model",
  'cria tokenizer encode book.model "Call me Ishmael."',
];

function groupLists(rows: readonly CommandRow[], style: Style): string[] {
  const width = Math.max(...rows.map(({ name }) => name.length));
  return commandGroups.flatMap((group) => {
    const members = rows.filter((row) => row.group === group);
    if (members.length === 0) return [];
    const lines = members.map(({ name, summary }) => [style.cyan(name.padEnd(width)), summary]);
    return [`${style.bold(group)}\n${table(lines, { indent: "  " })}`];
  });
}

function examples(lines: readonly string[], style: Style): string {
  return lines.map((line) => `  ${style.dim("$")} ${line}\n`).join("");
}

function usageOf(key: string, argument: Argument): string {
  const name = argumentName(key, argument) + (argument.multiple === true ? "..." : "");
  return argument.required === true ? name : `[${name}]`;
}

function optionLabel(key: string, argument: Argument): string {
  const short = argument.alias === undefined ? "    " : `-${argument.alias}, `;
  if (argument.type === "boolean") return `${short}--${key}${isOn(argument) ? `, --no-${key}` : ""}`;
  return `${short}--${key} ${argument.valueHint ?? "VALUE"}`;
}

/** A flag that is on by default. */
function isOn({ type, default: preset }: Argument): boolean {
  return type === "boolean" && preset === "true";
}

function described(argument: Argument, style: Style): string {
  const notes = [
    argument.type !== "positional" && argument.required === true ? "required" : "",
    argument.type !== "positional" && argument.multiple === true ? "may be repeated" : "",
    argument.choices === undefined ? "" : argument.choices.join(" | "),
    argument.default === undefined || isOn(argument) ? "" : `default ${argument.default}`,
  ].filter((note) => note !== "");
  return argument.description + (notes.length === 0 ? "" : ` ${style.dim(`(${notes.join(", ")})`)}`);
}

/** A label too long for its column stands on a line of its own; texts are wrapped in theirs. */
function twoColumns(rows: readonly Labelled[]): string {
  const width = Math.min(30, Math.max(...rows.map(([label]) => label.length)));
  return rows
    .map(([label, text]) => {
      const [first, ...more] = wrap(text, COLUMNS - width - 4);
      const head =
        label.length > width
          ? [`  ${label}`, `${" ".repeat(width + 4)}${first}`]
          : [`  ${label.padEnd(width)}  ${first}`];
      return [...head, ...more.map((line) => " ".repeat(width + 4) + line)]
        .map((line) => `${line}\n`)
        .join("");
    })
    .join("");
}

type Labelled = readonly [label: string, text: string];

const COLUMNS = 80;

function wrap(text: string, width: number): string[] {
  const lines: string[] = [""];
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1)!;
    if (line !== "" && displayWidth(line) + 1 + displayWidth(word) > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}
