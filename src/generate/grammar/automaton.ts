/**
 * Runs a program on bytes. What a text so far can be part of is a set of positions, each with what comes after the
 * rule that it is in: again such a set, of the positions that rules return to. Equal sets are one node, so a state
 * is a number and each step from it is worked out once; sets of the same position are joined, so ambiguity does not
 * multiply them (the graph-structured stack of Tomita 1987, with shared nodes).
 */

import { ConfigError } from "../../errors/errors.ts";
import { acceptPosition, endPosition, holePosition, type Position, type Program } from "./program.ts";
import { RankQueue } from "./rank-queue.ts";

/** The state of a text that fits no longer. */
export const deadState = 0;

/** What is not worked out yet, in {@link Automaton.table}. */
export const unknownState = -1;

/**
 * Returns that a text may wait for, such as brackets that are open: sets are joined by recursion. A chain of rules
 * that begin with each other may go as far again.
 */
export const deepestReturns = 1000;

export class Automaton {
  readonly program: Program;
  /** State and class of a byte -> state, {@link unknownState} where {@link step} must be asked. `[states, classes]` */
  table: Int32Array;
  /** Nodes: pairs of a position and the node of what comes after its rule, by position. The first is empty. */
  readonly #entries: (readonly number[])[] = [[]];
  readonly #depths: number[] = [0];
  readonly #nodes = new Map<string, number>([["", 0]]);
  /** State -> node, and the reverse. */
  readonly #nodeOf: number[] = [];
  readonly #stateOf = new Map<number, number>();
  /** Counted repetitions, which have positions of their own for each pair of bounds that is left. */
  readonly #counted: { readonly at: number; readonly min: number; readonly max: number }[] = [];
  readonly #countedIds = new Map<string, number>();
  readonly #unions = new Map<number, number>();
  #effort = 0;

  constructor(program: Program) {
    this.program = program;
    this.table = new Int32Array(64 * program.classCount);
    this.#state(0);
  }

  /** Bounds what is kept; a full automaton is replaced by a new one ({@link adopt}). */
  get isFull(): boolean {
    return (
      this.#nodeOf.length > mostStates || this.#entries.length > mostNodes || this.#unions.size > mostNodes
    );
  }

  get stateCount(): number {
    return this.#nodeOf.length;
  }

  /** Before the first byte. */
  start(): number {
    const { starts, root } = this.program;
    const after = this.#node([acceptPosition, 0]);
    return this.#state(this.#close([[starts[root]!, after]]));
  }

  /** The same as a state, but a number of its own: its steps may be set in {@link table}. */
  copyOf(state: number): number {
    return this.#addState(this.#nodeOf[state]!);
  }

  /** Whether the text may end here. */
  isAccepting(state: number): boolean {
    return this.#has(state, acceptPosition);
  }

  /** Whether the state depends on what {@link cut} removed. */
  isOpen(state: number): boolean {
    return this.#has(state, holePosition);
  }

  /** How many returns are open at most. */
  depthOf(state: number): number {
    return this.#depths[this.#nodeOf[state]!]!;
  }

  /**
   * @param byteClass the class of the next byte
   * @throws {ConfigError} when the grammar is so ambiguous that this is more work than is sensible.
   */
  step(state: number, byteClass: number): number {
    const at = state * this.program.classCount + byteClass;
    const known = this.table[at]!;
    if (known !== unknownState) return known;
    const read: [number, number][] = [];
    const entries = this.#entries[this.#nodeOf[state]!]!;
    // The classes around it that the same edges read lead to the same state.
    let [first, last] = [0, this.program.classCount - 1];
    for (let i = 0; i < entries.length; i += 2) {
      const position = this.program.positions[entries[i]!]!;
      if (position.type !== "bytes") continue;
      const { edges } = position;
      for (let e = 0; e < edges.length; e += 3) {
        const [low, high] = [edges[e]!, edges[e + 1]!];
        if (byteClass < low) last = Math.min(last, low - 1);
        else if (byteClass > high) first = Math.max(first, high + 1);
        else {
          read.push([edges[e + 2]!, entries[i + 1]!]);
          first = Math.max(first, low);
          last = Math.min(last, high);
        }
      }
      this.#spend(edges.length);
    }
    const next = read.length === 0 ? deadState : this.#state(this.#close(read));
    const row = state * this.program.classCount;
    // What was set apart, the step over a dropped space, stays.
    for (let i = first; i <= last; i += 1) {
      if (this.table[row + i] === unknownState) this.table[row + i] = next;
    }
    return next;
  }

  /** Begins to count the work anew, of which one token may cost so much and no more. */
  resetEffort(): void {
    this.#effort = 0;
  }

  /**
   * A state that reads the same texts of at most `length` bytes, with counts no larger than can matter to them: a
   * repetition that may go on a thousand times or a million is then one.
   */
  clamp(state: number, length: number): number {
    return this.#mapped(state, (node) => this.#clampNode(node, length, new Map()));
  }

  /** A state that knows `depth` returns of the stack, and has a hole for those below. */
  cut(state: number, depth: number): number {
    return this.#mapped(state, (node) => this.#cutNode(node, depth + 1, new Map()));
  }

  /** The state of another automaton of the same program. */
  adopt(other: Automaton, state: number): number {
    const copied = new Map<number, number>([[0, 0]]);
    const copy = (node: number): number => {
      const known = copied.get(node);
      if (known !== undefined) return known;
      const entries: [number, number][] = [];
      for (const [position, tail] of other.#pairs(node)) {
        const counted = other.#counted[position - this.program.positions.length];
        const own = counted === undefined ? position : this.#countedPosition(counted.at, counted);
        entries.push([own, copy(tail)]);
      }
      const id = this.#join(entries);
      copied.set(node, id);
      return id;
    };
    return this.#state(copy(other.#nodeOf[state]!));
  }

  #has(state: number, position: number): boolean {
    const entries = this.#entries[this.#nodeOf[state]!]!;
    // By position, and these two come first.
    return entries[0] === position || entries[2] === position;
  }

  #mapped(state: number, map: (node: number) => number): number {
    const node = this.#nodeOf[state]!;
    const mapped = map(node);
    return mapped === node ? state : this.#state(mapped);
  }

  #clampNode(node: number, length: number, known: Map<number, number>): number {
    if (node === 0) return 0;
    const before = known.get(node);
    if (before !== undefined) return before;
    const entries = this.#pairs(node).map(([position, tail]): [number, number] => {
      const counted = this.#counted[position - this.program.positions.length];
      const clamped =
        counted === undefined
          ? position
          : this.#countedPosition(counted.at, {
              min: Math.min(counted.min, length),
              max: Math.min(counted.max, length + 1),
            });
      return [clamped, this.#clampNode(tail, length, known)];
    });
    const mapped = this.#join(entries);
    known.set(node, mapped);
    return mapped;
  }

  #cutNode(node: number, depth: number, known: Map<number, number>): number {
    if (node === 0) return 0;
    if (depth === 0) return this.#node([holePosition, 0]);
    const key = node * 64 + depth;
    const before = known.get(key);
    if (before !== undefined) return before;
    const entries = this.#pairs(node).map(([position, tail]): [number, number] => [
      position,
      this.#cutNode(tail, depth - 1, known),
    ]);
    const mapped = this.#join(entries);
    known.set(key, mapped);
    return mapped;
  }

  /** Follows everything that reads nothing. @returns the node of positions that read a byte, or end the text. */
  #close(seeds: readonly (readonly [position: number, tail: number])[]): number {
    const tails = new Map<number, number>();
    const queue = new RankQueue();
    /** The longest count of a repetition that may end, by the repetition and what comes after. */
    const longest = new Map<string, number>();
    const add = (position: number, tail: number): void => {
      this.#spend(1);
      // A rule with nothing to return to is nested too deep.
      if (tail === 0 && position > holePosition) return;
      const known = tails.get(position);
      const joined = known === undefined ? tail : this.#union(known, tail);
      if (joined === known) return;
      const counted = this.#counted[position - this.program.positions.length];
      if (counted?.min === 0) {
        // Fewer turns of the same repetition are among more of them.
        const key = `${counted.at}:${tail}`;
        if (counted.max <= (longest.get(key) ?? -1)) return;
        longest.set(key, counted.max);
      }
      tails.set(position, joined);
      if (this.#isWaiting(position)) return;
      queue.push(position, this.program.ranks[counted?.at ?? position]!);
    };
    for (const [position, tail] of seeds) add(position, tail);
    for (let position = queue.pop(); position !== undefined; position = queue.pop()) {
      this.#follow(position, tails.get(position)!, add);
    }
    const entries: [number, number][] = [];
    for (const [position, tail] of tails) {
      // What nests deeper than the limit does not begin: the text must come back from there.
      if (this.#isWaiting(position) && this.#depths[tail]! <= deepestReturns) entries.push([position, tail]);
    }
    return this.#join(entries);
  }

  #isWaiting(position: number): boolean {
    const type = this.program.positions[position]?.type;
    return type === "bytes" || type === "accept" || type === "hole";
  }

  #follow(position: number, tail: number, add: (position: number, tail: number) => void): void {
    if (position === endPosition) {
      const entries = this.#entries[tail]!;
      for (let i = 0; i < entries.length; i += 2) add(entries[i]!, entries[i + 1]!);
      return;
    }
    const counted = this.#counted[position - this.program.positions.length];
    if (counted !== undefined) {
      this.#followCounted(counted, tail, add);
      return;
    }
    const what = this.program.positions[position]!;
    switch (what.type) {
      case "split":
        for (const target of what.targets) add(target, tail);
        break;
      case "call":
        add(this.program.starts[what.rule]!, this.#after(what.next, tail));
        break;
      case "repeat":
        add(this.#countedPosition(position, what), tail);
        break;
      case "bytes":
      case "end":
      case "accept":
      case "hole":
        break;
    }
  }

  #followCounted(
    { at, min, max }: { readonly at: number; readonly min: number; readonly max: number },
    tail: number,
    add: (position: number, tail: number) => void,
  ): void {
    const { item, next } = this.program.positions[at] as Extract<Position, { type: "repeat" }>;
    if (min === 0) add(next, tail);
    if (max === 0) return;
    const left = this.#countedPosition(at, { min: Math.max(0, min - 1), max: max - 1 });
    add(item, this.#after(left, tail));
  }

  /** The stack with one more return. At the end of a rule there is none to add: what follows is the caller's. */
  #after(next: number, tail: number): number {
    if (next === endPosition) return tail;
    return this.#depths[tail]! >= 2 * deepestReturns ? 0 : this.#node([next, tail]);
  }

  #countedPosition(at: number, { min, max }: { readonly min: number; readonly max: number }): number {
    const key = `${at},${min},${max}`;
    const known = this.#countedIds.get(key);
    if (known !== undefined) return known;
    const id = this.program.positions.length + this.#counted.push({ at, min, max }) - 1;
    this.#countedIds.set(key, id);
    return id;
  }

  #union(a: number, b: number): number {
    if (a === b || b === 0) return a;
    if (a === 0) return b;
    const key = Math.min(a, b) * 2 ** 26 + Math.max(a, b);
    const known = this.#unions.get(key);
    if (known !== undefined) return known;
    const joined = this.#join([...this.#pairs(a), ...this.#pairs(b)]);
    this.#unions.set(key, joined);
    return joined;
  }

  /** The node of these, what comes after one position joined. */
  #join(pairs: readonly (readonly [position: number, tail: number])[]): number {
    this.#spend(pairs.length);
    const tails = new Map<number, number>();
    for (const [position, tail] of pairs) {
      const known = tails.get(position);
      tails.set(position, known === undefined ? tail : this.#union(known, tail));
    }
    const sorted = [...tails].sort((a, b) => a[0] - b[0]);
    return this.#node(sorted.flat());
  }

  #node(entries: readonly number[]): number {
    const key = entries.join(",");
    const known = this.#nodes.get(key);
    if (known !== undefined) return known;
    let depth = 0;
    for (let i = 1; i < entries.length; i += 2) depth = Math.max(depth, this.#depths[entries[i]!]!);
    const id = this.#entries.push(entries) - 1;
    this.#depths.push(depth + 1);
    this.#nodes.set(key, id);
    return id;
  }

  #pairs(node: number): [position: number, tail: number][] {
    const entries = this.#entries[node]!;
    return Array.from({ length: entries.length / 2 }, (_, i) => [entries[2 * i]!, entries[2 * i + 1]!]);
  }

  #state(node: number): number {
    const known = this.#stateOf.get(node);
    if (known !== undefined) return known;
    const state = this.#addState(node);
    this.#stateOf.set(node, state);
    return state;
  }

  #addState(node: number): number {
    const state = this.#nodeOf.push(node) - 1;
    const { classCount } = this.program;
    if ((state + 1) * classCount > this.table.length) {
      const grown = new Int32Array(2 * this.table.length);
      grown.set(this.table);
      this.table = grown;
    }
    this.table.fill(node === 0 ? deadState : unknownState, state * classCount, (state + 1) * classCount);
    return state;
  }

  #spend(units: number): void {
    this.#effort += units;
    if (this.#effort <= mostEffort) return;
    throw new ConfigError("the grammar is too ambiguous: one token takes more than a second to check", {
      mend: "Write it so that one character tells which alternative a text is of.",
    });
  }
}

// --- internal ---

/** A state takes about 300 bytes, a node about 200. */
const mostStates = 20_000;
const mostNodes = 200_000;

/** Units of about 100 ns. */
const mostEffort = 10_000_000;
