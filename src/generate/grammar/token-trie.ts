/**
 * The texts of a vocabulary's tokens as a tree of bytes, so that tokens which begin alike are checked together. The
 * nodes lie in the order of a walk that goes down first: a subtree is a stretch of the arrays.
 */

import { ConfigError } from "../../errors/errors.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";

export interface TokenTrie {
  /** Rows of the model's head: at least the tokenizer's pieces. */
  readonly vocabSize: number;
  /** By node; node 0 is the root, which has no byte. */
  readonly bytes: Uint8Array;
  readonly depths: Uint16Array;
  readonly parents: Int32Array;
  /** The first node after the subtree. */
  readonly ends: Int32Array;
  /** The tokens whose text is exactly that of node i: `tokens` from `firstToken[i]` to `firstToken[i + 1]`. */
  readonly firstToken: Int32Array;
  readonly tokens: Int32Array;
  /** Bytes of the longest token. */
  readonly longest: number;
  /** The text of each token; undefined for those that are never text: control, unknown, unused. */
  readonly texts: readonly (Uint8Array | undefined)[];
}

/**
 * Takes some 50 ms for 32,000 tokens: built once for a model.
 *
 * @param vocabSize rows of the model's head, which may be more than the tokenizer has pieces.
 */
export function createTokenTrie(tokenizer: Tokenizer, vocabSize: number = tokenizer.vocabSize): TokenTrie {
  if (vocabSize < tokenizer.vocabSize) {
    throw new ConfigError(`the tokenizer has ${tokenizer.vocabSize} pieces, the model ${vocabSize} rows`, {
      mend: "Use the tokenizer that belongs to the model.",
    });
  }
  const texts = tokenizer.model.pieces.map(({ type }, id) =>
    type === "normal" || type === "byte" || type === "user_defined" ? tokenizer.pieceBytes(id) : undefined,
  );
  return { vocabSize, texts, ...treeOf(texts) };
}

// --- internal ---

/** Sorted by their bytes, texts are in the order of a walk that goes down first. */
function treeOf(texts: TokenTrie["texts"]): Omit<TokenTrie, "vocabSize" | "texts"> {
  const idsOf = new Map<string, number[]>();
  for (const [id, bytes] of texts.entries()) {
    if (bytes === undefined || bytes.length === 0) continue;
    // A character a byte, so that texts compare as their bytes do.
    const key = Buffer.from(bytes).toString("latin1");
    const same = idsOf.get(key);
    if (same === undefined) idsOf.set(key, [id]);
    else same.push(id);
  }
  const bytes = [0];
  const depths = [0];
  const parents = [-1];
  const ends = [0];
  const firstToken = [0];
  const tokens: number[] = [];
  const path = [0];
  let longest = 0;
  let before = "";
  for (const key of [...idsOf.keys()].sort()) {
    longest = Math.max(longest, key.length);
    let shared = 0;
    while (shared < before.length && before.charCodeAt(shared) === key.charCodeAt(shared)) shared += 1;
    while (path.length > shared + 1) ends[path.pop()!] = bytes.length;
    for (let i = shared; i < key.length; i += 1) {
      parents.push(path[i]!);
      path.push(bytes.length);
      bytes.push(key.charCodeAt(i));
      depths.push(i + 1);
      ends.push(0);
      firstToken.push(tokens.length);
    }
    tokens.push(...idsOf.get(key)!);
    before = key;
  }
  for (const open of path) ends[open] = bytes.length;
  firstToken.push(tokens.length);
  return {
    bytes: Uint8Array.from(bytes),
    depths: Uint16Array.from(depths),
    parents: Int32Array.from(parents),
    ends: Int32Array.from(ends),
    firstToken: Int32Array.from(firstToken),
    tokens: Int32Array.from(tokens),
    longest,
  };
}
