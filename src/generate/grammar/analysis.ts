/**
 * What must be known of a grammar before it runs: which rules can be empty, which lead to a text at all, and which
 * may stand at the beginning of which. A rule that may begin with itself would be looked into for ever and is refused.
 */

import { ConfigError } from "../../errors/errors.ts";
import type { Expression, Grammar } from "./grammar.ts";

export interface Analysis {
  /** Without what leads to no text: whatever a text begins with, it can be completed. */
  readonly grammar: Grammar;
  readonly isNullable: (expression: Expression) => boolean;
  /** Rules in an order in which none begins with one before it. */
  readonly order: readonly string[];
}

/** @throws {ConfigError} for a rule that is missing or begins with itself, and when no text fits the grammar. */
export function analyse(grammar: Grammar): Analysis {
  checkNames(grammar);
  const productive = fixpoint(grammar, isProductiveBy);
  if (!productive.has(grammar.root)) {
    throw new ConfigError(`no text fits the rule ${grammar.root}`, {
      mend: "Give every rule that refers to itself a way out, an alternative that does not.",
    });
  }
  const pruned = prune(grammar, productive);
  const nullable = fixpoint(pruned, isNullableBy);
  const isNullable = (expression: Expression): boolean => isNullableBy(expression, nullable);
  return { grammar: pruned, isNullable, order: orderOf(pruned, isNullable) };
}

// --- internal ---

type Holds = (expression: Expression, rules: ReadonlySet<string>) => boolean;

/** The rules of which something holds, where it holds of a rule if it does of those that it refers to. */
function fixpoint({ rules }: Grammar, holds: Holds): Set<string> {
  const users = new Map<string, string[]>();
  for (const [name, expression] of rules) {
    for (const used of references(expression)) users.set(used, [...(users.get(used) ?? []), name]);
  }
  const found = new Set<string>();
  const open = [...rules.keys()];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name) || !holds(rules.get(name)!, found)) continue;
    found.add(name);
    open.push(...(users.get(name) ?? []));
  }
  return found;
}

function isNullableBy(expression: Expression, rules: ReadonlySet<string>): boolean {
  switch (expression.type) {
    case "text":
      return expression.text === "";
    case "class":
      return false;
    case "rule":
      return rules.has(expression.name);
    case "sequence":
      return expression.items.every((item) => isNullableBy(item, rules));
    case "choice":
      return expression.options.some((option) => isNullableBy(option, rules));
    case "repeat":
      return expression.min === 0 || isNullableBy(expression.item, rules);
  }
}

function isProductiveBy(expression: Expression, rules: ReadonlySet<string>): boolean {
  switch (expression.type) {
    case "text":
      return true;
    case "class":
      return expression.ranges.length > 0;
    case "rule":
      return rules.has(expression.name);
    case "sequence":
      return expression.items.every((item) => isProductiveBy(item, rules));
    case "choice":
      return expression.options.some((option) => isProductiveBy(option, rules));
    case "repeat":
      return expression.min === 0 || isProductiveBy(expression.item, rules);
  }
}

function prune({ rules, root }: Grammar, productive: ReadonlySet<string>): Grammar {
  const without = (expression: Expression): Expression => {
    switch (expression.type) {
      case "text":
      case "class":
      case "rule":
        return expression;
      case "sequence":
        return { type: "sequence", items: expression.items.map(without) };
      case "choice": {
        const options = expression.options.filter((option) => isProductiveBy(option, productive));
        return { type: "choice", options: options.map(without) };
      }
      case "repeat":
        return isProductiveBy(expression.item, productive)
          ? { ...expression, item: without(expression.item) }
          : { type: "text", text: "" };
    }
  };
  const kept = new Map<string, Expression>();
  for (const [name, expression] of rules) if (productive.has(name)) kept.set(name, without(expression));
  return { rules: kept, root };
}

/** Depth first from the root, without recursion: chains of rules may be long. */
function orderOf({ rules, root }: Grammar, isNullable: (expression: Expression) => boolean): string[] {
  const begins = new Map<string, readonly string[]>();
  for (const [name, expression] of rules) begins.set(name, [...beginnings(expression, isNullable)]);
  const finished: string[] = [];
  const state = new Map<string, "open" | "finished">();
  for (const start of [root, ...rules.keys()]) {
    const path: { name: string; next: number }[] = [];
    if (!state.has(start)) path.push({ name: start, next: 0 });
    while (path.length > 0) {
      const top = path.at(-1)!;
      state.set(top.name, "open");
      const child = begins.get(top.name)![top.next];
      top.next += 1;
      if (child === undefined) {
        state.set(top.name, "finished");
        finished.push(top.name);
        path.pop();
      } else if (state.get(child) === "open") {
        const names = path.map(({ name }) => name);
        throw leftRecursion([...names.slice(names.indexOf(child)), child]);
      } else if (!state.has(child)) {
        path.push({ name: child, next: 0 });
      }
    }
  }
  return finished.toReversed();
}

function leftRecursion(cycle: readonly string[]): ConfigError {
  const [name] = cycle;
  const way = cycle.length === 2 ? "" : ` (${cycle.join(" -> ")})`;
  return new ConfigError(`the rule ${name} begins with itself${way}`, {
    mend: `Write it as a repetition: ${name} ::= item ("," item)* instead of ${name} ::= ${name} "," item | item.`,
  });
}

/** The rules that an expression may begin with. */
function beginnings(
  expression: Expression,
  isNullable: (expression: Expression) => boolean,
  found = new Set<string>(),
): Set<string> {
  switch (expression.type) {
    case "text":
    case "class":
      break;
    case "rule":
      found.add(expression.name);
      break;
    case "sequence":
      for (const item of expression.items) {
        beginnings(item, isNullable, found);
        if (!isNullable(item)) break;
      }
      break;
    case "choice":
      for (const option of expression.options) beginnings(option, isNullable, found);
      break;
    case "repeat":
      beginnings(expression.item, isNullable, found);
      break;
  }
  return found;
}

function references(expression: Expression, found = new Set<string>()): Set<string> {
  switch (expression.type) {
    case "text":
    case "class":
      break;
    case "rule":
      found.add(expression.name);
      break;
    case "sequence":
      for (const item of expression.items) references(item, found);
      break;
    case "choice":
      for (const option of expression.options) references(option, found);
      break;
    case "repeat":
      references(expression.item, found);
      break;
  }
  return found;
}

function checkNames(grammar: Grammar): void {
  const { rules, root } = grammar;
  if (!rules.has(root)) {
    throw new ConfigError(`the grammar has no rule ${root}`, {
      mend: `Name the rule of the whole text ${root}.`,
    });
  }
  for (const [name, expression] of rules) {
    for (const used of references(expression)) {
      if (rules.has(used)) continue;
      throw new ConfigError(`the rule ${name} refers to ${used}, which is not defined`, {
        mend: `Add a rule ${used} ::= ...`,
      });
    }
  }
}
