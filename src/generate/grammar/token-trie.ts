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
  const tokens = Int32Array.from(
    texts.flatMap((bytes, id) => (bytes === undefined || bytes.length === 0 ? [] : [id])),
  ).sort((a, b) => Buffer.compare(texts[a]!, texts[b]!) || a - b);
  return { vocabSize, texts, tokens, ...nodesOf(tokens, texts) };
}

// --- internal ---

type Nodes = Omit<TokenTrie, "vocabSize" | "texts" | "tokens">;

/** Tokens come in the order of their bytes, in which the nodes' order is the same as theirs. */
function nodesOf(tokens: Int32Array, texts: readonly (Uint8Array | undefined)[]): Nodes {
  const bytes = [0];
  const depths = [0];
  const parents = [-1];
  const ends = [0];
  const firstToken = [0];
  let path = [0];
  let longest = 0;
  for (const [i, id] of tokens.entries()) {
    const text = texts[id]!;
    longest = Math.max(longest, text.length);
    let shared = 0;
    while (shared + 1 < path.length && shared < text.length && bytes[path[shared + 1]!] === text[shared])
      shared += 1;
    for (const closed of path.slice(shared + 1)) ends[closed] = bytes.length;
    path = path.slice(0, shared + 1);
    for (const byte of text.subarray(shared)) {
      parents.push(path.at(-1)!);
      path.push(bytes.length);
      bytes.push(byte);
      depths.push(path.length - 1);
      ends.push(0);
      firstToken.push(i);
    }
  }
  for (const closed of path) ends[closed] = bytes.length;
  firstToken.push(tokens.length);
  return {
    bytes: Uint8Array.from(bytes),
    depths: Uint16Array.from(depths),
    parents: Int32Array.from(parents),
    ends: Int32Array.from(ends),
    firstToken: Int32Array.from(firstToken),
    longest,
  };
}
