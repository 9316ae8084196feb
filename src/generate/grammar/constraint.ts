/**
 * A grammar as a constraint on tokens. The text is what the tokens' bytes spell, so a character that is put together
 * from byte tokens fits as well as one that is a token; the end of the text is allowed exactly where the grammar can end.
 */

import { ConfigError } from "../../errors/errors.ts";
import type { TokenConstraint } from "../sampling/options.ts";
import { deadState } from "./automaton.ts";
import { compileGrammar, type Program } from "./program.ts";
import type { Grammar } from "./grammar.ts";
import { TokenMasks } from "./token-masks.ts";
import type { TokenTrie } from "./token-trie.ts";

export interface ConstraintOptions {
  /** Tokens that end the text, allowed where the grammar can end: EOS, and the end of a turn where a model has one. */
  readonly endIds: readonly number[];
  /**
   * Whether one space may stand before the text without being of it: where the text begins a document, or answers in
   * a format like Llama 2's, the first piece brings a space that is dropped.
   */
  readonly dropsLeadingSpace?: boolean;
}

export interface GrammarConstraint extends TokenConstraint {
  allowed(): Uint32Array;
  /** @throws {ConfigError} for a token that is not allowed. */
  accept(id: number): void;
  /** Whether the text so far is of the grammar. */
  readonly isComplete: boolean;
  /** A constraint of the same text, which goes its own way from here. */
  fork(): GrammarConstraint;
}

/** A grammar and a vocabulary: what is worked out for one text serves all others. */
export class TokenGrammar {
  readonly #program: Program;
  readonly #trie: TokenTrie;
  #masks: TokenMasks;

  /** @throws {ConfigError} when the grammar cannot be run: see {@link compileGrammar}. */
  constructor(grammar: Grammar, trie: TokenTrie) {
    this.#program = compileGrammar(grammar);
    this.#trie = trie;
    this.#masks = new TokenMasks(this.#program, trie);
  }

  /**
   * A constraint for one text, which starts empty.
   *
   * @throws {ConfigError} for an end that the model does not have.
   */
  start({ endIds, dropsLeadingSpace = false }: ConstraintOptions): GrammarConstraint {
    const { vocabSize } = this.#trie;
    const unknown = endIds.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (unknown !== undefined) {
      throw new ConfigError(`token ${unknown} is to end the text, and the model has ${vocabSize} tokens`, {
        mend: "Give the ids of the tokenizer's EOS, or of the end of a turn.",
      });
    }
    const masks = this.renewed();
    const state = dropsLeadingSpace ? masks.startAfterSpace : masks.start;
    return new TextConstraint(this, endIds, { masks, state });
  }

  /** The tables, or fresh ones where those have grown too large. */
  renewed(): TokenMasks {
    if (this.#masks.automaton.isFull) this.#masks = new TokenMasks(this.#program, this.#trie);
    return this.#masks;
  }
}

// --- internal ---

interface Place {
  readonly masks: TokenMasks;
  readonly state: number;
}

class TextConstraint implements GrammarConstraint {
  readonly #grammar: TokenGrammar;
  readonly #endIds: readonly number[];
  readonly #allowed: Uint32Array;
  #place: Place;
  #hasEnded: boolean;

  constructor(grammar: TokenGrammar, endIds: readonly number[], place: Place, hasEnded = false) {
    this.#grammar = grammar;
    this.#endIds = endIds;
    this.#allowed = new Uint32Array(Math.ceil(place.masks.trie.vocabSize / 32));
    this.#place = place;
    this.#hasEnded = hasEnded;
  }

  get isComplete(): boolean {
    return this.#hasEnded || this.#place.masks.automaton.isAccepting(this.#place.state);
  }

  allowed(): Uint32Array {
    const allowed = this.#allowed;
    if (this.#hasEnded) allowed.fill(0);
    else allowed.set(this.#place.masks.of(this.#place.state));
    const { isComplete } = this;
    for (const id of this.#endIds) {
      // An end that could be spelled as text is not: it would end the text.
      if (isComplete) allowed[id >>> 5]! |= 1 << (id & 31);
      else allowed[id >>> 5]! &= ~(1 << (id & 31));
    }
    return allowed;
  }

  accept(id: number): void {
    if (this.#endIds.includes(id) && this.isComplete) {
      this.#hasEnded = true;
      return;
    }
    const { masks } = this.#place;
    const text = this.#hasEnded ? undefined : masks.trie.texts[id];
    const state = text === undefined || text.length === 0 ? deadState : this.#read(text);
    if (state === deadState) {
      throw new ConfigError(`token ${id} does not go on with a text of the grammar`, {
        mend: "Draw only tokens that the constraint allows.",
      });
    }
    this.#place = { masks, state };
    if (!masks.automaton.isFull) return;
    const renewed = this.#grammar.renewed();
    this.#place = { masks: renewed, state: renewed.automaton.adopt(masks.automaton, state) };
  }

  fork(): GrammarConstraint {
    return new TextConstraint(this.#grammar, this.#endIds, this.#place, this.#hasEnded);
  }

  #read(text: Uint8Array): number {
    const { masks, state } = this.#place;
    const { automaton } = masks;
    automaton.resetEffort();
    let next = state;
    for (const byte of text) {
      next = automaton.step(next, automaton.program.classes[byte]!);
      if (next === deadState) break;
    }
    return next;
  }
}
