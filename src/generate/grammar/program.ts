/**
 * A grammar as positions over bytes: an automaton that calls rules. What stands after an expression is known when the
 * expression is laid out, so each position says where the text goes on, and equal endings are one position.
 */

import { ConfigError } from "../../errors/errors.ts";
import { analyse } from "./analysis.ts";
import type { Expression, Grammar } from "./grammar.ts";
import { utf8Ranges, type ByteRanges } from "./utf8-ranges.ts";

export type Position =
  /** Reads a byte. Triples: first and last class of bytes, and the position after. */
  | { readonly type: "bytes"; readonly edges: readonly number[] }
  | { readonly type: "split"; readonly targets: readonly number[] }
  | { readonly type: "call"; readonly rule: number; readonly next: number }
  /** `item` between `min` and `max` times. */
  | {
      readonly type: "repeat";
      readonly item: number;
      readonly min: number;
      readonly max: number;
      readonly next: number;
    }
  /** The rule ends: the text goes on where it was called. */
  | { readonly type: "end" }
  /** The text may end. */
  | { readonly type: "accept" }
  /** A stack was cut off here: what comes next is not known. */
  | { readonly type: "hole" };

export interface Program {
  readonly positions: readonly Position[];
  /** Position -> its place in an order in which no rule begins with one before it. */
  readonly ranks: readonly number[];
  /** Rule -> its first position. */
  readonly starts: readonly number[];
  /** The rule of the whole text. */
  readonly root: number;
  /** Byte -> class; all bytes of a class lead to the same place from everywhere. */
  readonly classes: Uint8Array;
  readonly classCount: number;
}

/** The positions that every program has. */
export const endPosition = 0;
export const acceptPosition = 1;
export const holePosition = 2;

/** @throws {ConfigError} when the grammar cannot be run ({@link analyse}) or is too large. */
export function compileGrammar(grammar: Grammar): Program {
  const { grammar: pruned, isNullable, order } = analyse(grammar);
  const layout = new Layout(order, isNullable);
  const starts = order.map((name, i) => layout.addRule(pruned.rules.get(name)!, i));
  const root = order.indexOf(pruned.root);
  const { classes, count } = byteClasses(layout.positions);
  const positions = layout.positions.map((position) => inClasses(position, classes));
  return { positions, ranks: layout.ranks, starts, root, classes, classCount: count };
}

// --- internal ---

/** A position takes some hundred bytes; what is larger than this is not meant for one text. */
const mostPositions = 200_000;

/** So many positions at most are laid out anew for each turn of a repetition; longer ones are counted. */
const mostUnrolled = 16;

class Layout {
  readonly positions: Position[] = [{ type: "end" }, { type: "accept" }, { type: "hole" }];
  readonly ranks: number[] = [-1, -1, -1];
  readonly #rules: ReadonlyMap<string, number>;
  readonly #isNullable: (expression: Expression) => boolean;
  readonly #known = new Map<string, number>();
  #rank = 0;

  constructor(order: readonly string[], isNullable: (expression: Expression) => boolean) {
    this.#rules = new Map(order.map((name, i) => [name, i]));
    this.#isNullable = isNullable;
  }

  addRule(expression: Expression, rank: number): number {
    this.#rank = rank;
    // Positions are shared within a rule, for its rank is theirs.
    this.#known.clear();
    return this.#add(expression, endPosition);
  }

  /** @returns the position of the expression, after which the text goes on at `next`. */
  #add(expression: Expression, next: number): number {
    switch (expression.type) {
      case "text":
        return this.#addText(expression.text, next);
      case "class":
        return this.#addClass(utf8Ranges(expression.ranges), next);
      case "rule":
        return this.#push({ type: "call", rule: this.#rules.get(expression.name)!, next });
      case "sequence":
        return expression.items.reduceRight((after, item) => this.#add(item, after), next);
      case "choice": {
        const targets = [...new Set(expression.options.map((option) => this.#add(option, next)))];
        return targets.length === 1 ? targets[0]! : this.#push({ type: "split", targets });
      }
      case "repeat":
        return this.#addRepeat(expression, next);
    }
  }

  #addText(literal: string, next: number): number {
    let at = next;
    for (const byte of new TextEncoder().encode(literal).toReversed()) {
      at = this.#push({ type: "bytes", edges: [byte, byte, at] });
    }
    return at;
  }

  /** Sequences that begin with the same bytes share them, and so do those that end with the same. */
  #addClass(sequences: readonly ByteRanges[], next: number): number {
    const edges: number[] = [];
    for (let i = 0; i < sequences.length;) {
      const [[first, last]] = sequences[i] as [readonly [number, number]];
      let end = i + 1;
      while (end < sequences.length && sequences[end]![0]![0] === first && sequences[end]![0]![1] === last)
        end += 1;
      const rest = sequences.slice(i, end).map((ranges) => ranges.slice(1));
      edges.push(first, last, rest[0]!.length === 0 ? next : this.#addClass(rest, next));
      i = end;
    }
    return this.#push({ type: "bytes", edges });
  }

  #addRepeat(expression: Extract<Expression, { type: "repeat" }>, next: number): number {
    const { item, max } = expression;
    const min = this.#isNullable(item) ? 0 : expression.min;
    if (max === Number.POSITIVE_INFINITY && min <= 1) {
      const loop = this.#reserve();
      const body = this.#add(item, loop);
      this.positions[loop] = { type: "split", targets: [body, next] };
      return min === 0 ? loop : body;
    }
    const turns = max === Number.POSITIVE_INFINITY ? min : max;
    if (turns * sizeOf(item) > mostUnrolled && turns > 1) {
      return this.#push({ type: "repeat", item: this.#add(item, endPosition), min, max, next });
    }
    let at = next;
    if (max === Number.POSITIVE_INFINITY) at = this.#addRepeat({ ...expression, min: 0 }, next);
    else
      for (let i = min; i < max; i += 1)
        at = this.#push({ type: "split", targets: [this.#add(item, at), next] });
    for (let i = 0; i < min; i += 1) at = this.#add(item, at);
    return at;
  }

  #push(position: Position): number {
    const key = JSON.stringify(position);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const id = this.#reserve();
    this.positions[id] = position;
    this.#known.set(key, id);
    return id;
  }

  #reserve(): number {
    if (this.positions.length >= mostPositions) {
      throw new ConfigError(`the grammar has more than ${mostPositions} positions`, {
        mend: "Write long lists of texts shorter, or as a class of characters.",
      });
    }
    this.ranks.push(this.#rank);
    return this.positions.push({ type: "end" }) - 1;
  }
}

/** About how many positions it takes; rules that it calls count as one. */
function sizeOf(expression: Expression): number {
  switch (expression.type) {
    case "text":
      return expression.text.length;
    case "class":
      return (expression.ranges.at(-1)?.[1] ?? 0) > 0x7f ? 4 : 1;
    case "rule":
      return 1;
    case "sequence":
      return expression.items.reduce((sum, item) => sum + sizeOf(item), 0);
    case "choice":
      return expression.options.reduce((sum, option) => sum + sizeOf(option), 1);
    case "repeat":
      return (
        1 + sizeOf(expression.item) * (Number.isFinite(expression.max) ? expression.max : expression.min + 1)
      );
  }
}

/** Bytes between whose neighbours no edge begins or ends are one class. A space is a class of its own. */
function byteClasses(positions: readonly Position[]): { classes: Uint8Array; count: number } {
  const isFirst = new Uint8Array(257);
  isFirst[0x20] = 1;
  isFirst[0x21] = 1;
  for (const position of positions) {
    if (position.type !== "bytes") continue;
    for (let i = 0; i < position.edges.length; i += 3) {
      isFirst[position.edges[i]!] = 1;
      isFirst[position.edges[i + 1]! + 1] = 1;
    }
  }
  const classes = new Uint8Array(256);
  let count = 0;
  for (let byte = 0; byte < 256; byte += 1) {
    if (byte > 0 && isFirst[byte] === 1) count += 1;
    classes[byte] = count;
  }
  return { classes, count: count + 1 };
}

function inClasses(position: Position, classes: Uint8Array): Position {
  if (position.type !== "bytes") return position;
  const edges = position.edges.map((value, i) => (i % 3 === 2 ? value : classes[value]!));
  return { type: "bytes", edges };
}
