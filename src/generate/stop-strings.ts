/**
 * Stop strings in a text that comes in pieces: the text ends before the first of them, wherever the pieces' borders
 * are. One automaton (Aho & Corasick 1975) reads each character once for all strings, and its depth is how much of
 * the text could still become a stop string: only that is held back.
 */

import { ConfigError } from "../errors/errors.ts";

export interface StopStrings {
  /** @returns what may be shown now, and whether the text ends there. */
  push(piece: string): { readonly text: string; readonly stopped: boolean };
  /** What was held back, when the text ends for another reason. */
  end(): string;
  /** The stop string that was found. */
  readonly found: string | undefined;
}

/**
 * The text ends where a stop string is first complete; of several that are complete there, before the longest.
 *
 * @throws {ConfigError} for an empty stop string, half a character, or more of them than are sensible.
 */
export function createStopStrings(stops: readonly string[]): StopStrings {
  checkStopStrings(stops);
  return new StopStringFinder(buildAutomaton(stops));
}

/** @throws {ConfigError} as {@link createStopStrings} does. */
export function checkStopStrings(stops: readonly string[]): void {
  let length = 0;
  for (const stop of stops) {
    length += stop.length;
    if (stop === "") {
      throw new ConfigError("a stop string is empty", {
        mend: "Leave it out: it would end any text at once.",
      });
    }
    if (/\p{Surrogate}/u.test(stop)) {
      throw new ConfigError(`the stop string ${JSON.stringify(stop)} has half a character`, {
        mend: "Do not cut texts between the two halves of a surrogate pair.",
      });
    }
  }
  if (length <= longestStops) return;
  throw new ConfigError(`the stop strings have ${length} characters, and ${longestStops} are the most`, {
    mend: "Stop strings are short marks, such as a name and a colon.",
  });
}

// --- internal ---

/** Each character of the stop strings is a state of about a hundred bytes. */
const longestStops = 65_536;

interface State {
  readonly next: Map<number, State>;
  /** Length of the text that the state stands for, which ends at the last character read. */
  readonly depth: number;
  /** The longest stop string that ends here. */
  stop: string | undefined;
  /** The state of the longest shorter ending that begins a stop string; undefined at the root. */
  fallback: State | undefined;
}

class StopStringFinder implements StopStrings {
  readonly #root: State;
  #state: State;
  #held = "";
  #found: string | undefined;

  constructor(root: State) {
    this.#root = root;
    this.#state = root;
  }

  get found(): string | undefined {
    return this.#found;
  }

  push(piece: string): { text: string; stopped: boolean } {
    if (this.#found !== undefined) return { text: "", stopped: true };
    let state = this.#state;
    for (let i = 0; i < piece.length; i += 1) {
      state = step(state, piece.charCodeAt(i), this.#root);
      if (state.stop === undefined) continue;
      this.#found = state.stop;
      const text = this.#held + piece.slice(0, i + 1);
      this.#held = "";
      return { text: text.slice(0, text.length - state.stop.length), stopped: true };
    }
    this.#state = state;
    const text = this.#held + piece;
    this.#held = text.slice(text.length - state.depth);
    return { text: text.slice(0, text.length - state.depth), stopped: false };
  }

  end(): string {
    const held = this.#held;
    this.#held = "";
    this.#state = this.#root;
    return held;
  }
}

function step(state: State, unit: number, root: State): State {
  for (let from: State | undefined = state; from !== undefined; from = from.fallback) {
    const next = from.next.get(unit);
    if (next !== undefined) return next;
  }
  return root;
}

function buildAutomaton(stops: readonly string[]): State {
  const root = newState(0);
  for (const stop of stops) {
    let state = root;
    for (let i = 0; i < stop.length; i += 1) {
      const unit = stop.charCodeAt(i);
      const known = state.next.get(unit);
      const next = known ?? newState(state.depth + 1);
      if (known === undefined) state.next.set(unit, next);
      state = next;
    }
    state.stop = stop;
  }
  // Breadth first: a fallback is shorter than its state, so it is finished before.
  const queue = [...root.next.values()];
  for (const state of queue) state.fallback = root;
  for (let i = 0; i < queue.length; i += 1) {
    const state = queue[i]!;
    state.stop ??= state.fallback!.stop;
    for (const [unit, child] of state.next) {
      child.fallback = step(state.fallback!, unit, root);
      queue.push(child);
    }
  }
  return root;
}

function newState(depth: number): State {
  return { next: new Map(), depth, stop: undefined, fallback: undefined };
}
