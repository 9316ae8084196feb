/** A context-free grammar over characters as plain data, whether it comes from GBNF or from a JSON Schema. */

/** Code points from `first` to `last`, both included. */
export type CodeRange = readonly [first: number, last: number];

export type Expression =
  | { readonly type: "text"; readonly text: string }
  /** One character of these. */
  | { readonly type: "class"; readonly ranges: readonly CodeRange[] }
  | { readonly type: "rule"; readonly name: string }
  | { readonly type: "sequence"; readonly items: readonly Expression[] }
  | { readonly type: "choice"; readonly options: readonly Expression[] }
  /** `max` may be Infinity. */
  | { readonly type: "repeat"; readonly item: Expression; readonly min: number; readonly max: number };

export interface Grammar {
  readonly rules: ReadonlyMap<string, Expression>;
  /** The rule that the whole text is of. */
  readonly root: string;
}

/** The text as it is; empty for no text at all. */
export function text(literal: string): Expression {
  return { type: "text", text: literal };
}

/** @param ranges in any order, and they may overlap. */
export function characters(...ranges: readonly CodeRange[]): Expression {
  return { type: "class", ranges: normalised(ranges) };
}

export function rule(name: string): Expression {
  return { type: "rule", name };
}

export function sequence(...items: readonly Expression[]): Expression {
  return items.length === 1 ? items[0]! : { type: "sequence", items };
}

/** One of these; of none, no text at all fits. */
export function choice(...options: readonly Expression[]): Expression {
  return options.length === 1 ? options[0]! : { type: "choice", options };
}

export function repeat(item: Expression, min: number, max = Number.POSITIVE_INFINITY): Expression {
  return min === 1 && max === 1 ? item : { type: "repeat", item, min, max };
}

export function optional(item: Expression): Expression {
  return repeat(item, 0, 1);
}

/** Every character but these. */
export function complement(ranges: readonly CodeRange[]): readonly CodeRange[] {
  const rest: CodeRange[] = [];
  let from = 0;
  for (const [first, last] of normalised(ranges)) {
    if (first > from) rest.push([from, first - 1]);
    from = last + 1;
  }
  if (from <= lastCode) rest.push([from, lastCode]);
  return rest;
}

export const lastCode = 0x10ffff;

/** The rules of a grammar under other names, so that they can stand beside those of another. */
export function renamed({ rules, root }: Grammar, rename: (name: string) => string): Grammar {
  const inside = (expression: Expression): Expression => {
    switch (expression.type) {
      case "text":
      case "class":
        return expression;
      case "rule":
        return rule(rename(expression.name));
      case "sequence":
        return { type: "sequence", items: expression.items.map(inside) };
      case "choice":
        return { type: "choice", options: expression.options.map(inside) };
      case "repeat":
        return { ...expression, item: inside(expression.item) };
    }
  };
  return {
    rules: new Map([...rules].map(([name, expression]) => [rename(name), inside(expression)])),
    root: rename(root),
  };
}

// --- internal ---

/** In order, those that touch joined. */
function normalised(ranges: readonly CodeRange[]): readonly CodeRange[] {
  const joined: [number, number][] = [];
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const before = joined.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else joined.push([first, last]);
  }
  return joined;
}
