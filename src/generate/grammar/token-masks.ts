/**
 * Which tokens may come next, for each state of a grammar: one walk through the tree of the vocabulary, along which
 * the grammar's automaton reads the bytes.
 *
 * Most tokens are decided by the rules that the text is in, whatever those were called from. So the walk is done on
 * a stack that is cut below a few returns, and kept for all states that are equal down to there; only tokens that
 * reach below are checked again on the whole stack, of which there are few (the split of XGrammar, Dong et al. 2024).
 * Counts of repetitions are clamped to what the longest token can use up, so a long text does not make new states.
 */

import { Automaton, deadState, deepestReturns, unknownState } from "./automaton.ts";
import type { Program } from "./program.ts";
import type { TokenTrie } from "./token-trie.ts";

/** One bit a token. `[⌈vocab / 32⌉]` */
export type TokenMask = Uint32Array;

export class TokenMasks {
  readonly automaton: Automaton;
  readonly trie: TokenTrie;
  /** The state before the text. */
  readonly start: number;
  /** The same where one space may stand before the text without being of it. */
  readonly startAfterSpace: number;
  readonly #full = new Map<number, TokenMask>();
  readonly #local = new Map<number, WalkedMask>();
  /** The state after each byte of the token that the walk is in. */
  readonly #path: Int32Array;
  /** Class of each node's byte, to save a look-up in the walk. */
  readonly #nodeClasses: Uint8Array;

  constructor(program: Program, trie: TokenTrie) {
    this.automaton = new Automaton(program);
    this.trie = trie;
    this.#path = new Int32Array(trie.longest + 1);
    this.#nodeClasses = trie.bytes.map((byte) => program.classes[byte]!);
    this.start = this.automaton.start();
    this.startAfterSpace = this.automaton.copyOf(this.start);
    this.automaton.table[this.startAfterSpace * program.classCount + program.classes[0x20]!] = this.start;
  }

  /** @returns the tokens that may follow in this state; the caller does not change it. */
  of(state: number): TokenMask {
    this.automaton.resetEffort();
    // The step over a space is not one of its positions', so nothing else is equal to it.
    const clamped = state === this.startAfterSpace ? state : this.automaton.clamp(state, this.trie.longest);
    const known = this.#full.get(clamped);
    if (known !== undefined) return known;
    const mask = state === this.startAfterSpace ? this.#walked(state).mask : this.#combinedMask(clamped);
    this.#keep(this.#full, clamped, mask);
    return mask;
  }

  #combinedMask(state: number): TokenMask {
    const { mask: local, exits, depth } = this.#localMask(state);
    // Near the limit of nesting the whole stack matters.
    if (this.automaton.depthOf(state) + depth > deepestReturns) return this.#walked(state).mask;
    if (exits.length === 0) return local;
    const mask = local.slice();
    for (const node of exits) {
      this.#path[this.trie.depths[node]!] = this.#stateAt(node, state);
      this.#walk(node, mask);
    }
    return mask;
  }

  #localMask(state: number): WalkedMask {
    const cut = this.automaton.cut(state, returnsKept);
    const known = this.#local.get(cut);
    if (known !== undefined) return known;
    const local = this.#walked(cut);
    this.#keep(this.#local, cut, local);
    return local;
  }

  #walked(state: number): WalkedMask {
    const mask = new Uint32Array(Math.ceil(this.trie.vocabSize / 32));
    this.#path[0] = state;
    return { mask, ...this.#walk(0, mask) };
  }

  /** The state after the bytes of a node. */
  #stateAt(node: number, from: number): number {
    const parent = this.trie.parents[node]!;
    if (parent === -1) return from;
    return this.automaton.step(this.#stateAt(parent, from), this.#nodeClasses[node]!);
  }

  /**
   * Sets the bits of the tokens below a node that fit.
   *
   * @param node its state lies in the path.
   * @returns the nodes below at which the text may leave what is known of the stack; what is below those is not set.
   *          And how deep the deepest state is.
   */
  #walk(node: number, mask: TokenMask): { readonly exits: readonly number[]; readonly depth: number } {
    const { depths, ends, firstToken, tokens } = this.trie;
    const { classCount } = this.automaton.program;
    const classes = this.#nodeClasses;
    const path = this.#path;
    const exits: number[] = [];
    let deepest = 0;
    let last = deadState;
    let isOpen = false;
    let { table } = this.automaton;
    const end = ends[node]!;
    for (let i = node + 1; i < end;) {
      const depth = depths[i]!;
      const from = path[depth - 1]!;
      let to = table[from * classCount + classes[i]!]!;
      if (to === unknownState) {
        to = this.automaton.step(from, classes[i]!);
        table = this.automaton.table;
      }
      if (to === deadState) {
        i = ends[i]!;
        continue;
      }
      for (let t = firstToken[i]!; t < firstToken[i + 1]!; t += 1) {
        const token = tokens[t]!;
        mask[token >>> 5]! |= 1 << (token & 31);
      }
      if (to !== last) {
        last = to;
        isOpen = this.automaton.isOpen(to);
        deepest = Math.max(deepest, this.automaton.depthOf(to));
      }
      if (isOpen) {
        exits.push(i);
        i = ends[i]!;
        continue;
      }
      path[depth] = to;
      i += 1;
    }
    return { exits, depth: deepest };
  }

  /** The oldest goes when there are too many. */
  #keep<T>(kept: Map<number, T>, key: number, value: T): void {
    if (kept.size >= mostMasks) kept.delete(kept.keys().next().value!);
    kept.set(key, value);
  }
}

// --- internal ---

interface WalkedMask {
  readonly mask: TokenMask;
  /** Nodes of the tree from which on the whole stack must be asked. */
  readonly exits: readonly number[];
  readonly depth: number;
}

/** With two, a text that is a value knows what may come after the value, but not what after that. */
const returnsKept = 2;

/** Of 4 KB each, at 32,000 tokens. */
const mostMasks = 1000;
