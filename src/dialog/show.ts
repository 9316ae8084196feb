/** A training example for the eye: what the loss sees, and what it does not. */

import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Example } from "./llama2-chat.ts";

/**
 * The text of the tokens, those trained on in green and the others in grey.
 *
 * @param useColour false, where escape codes would be text (a file, a pipe), sets trained tokens in ⟦ ⟧.
 */
export function colouredByMask(example: Example, tokenizer: Tokenizer, useColour = true): string {
  const [trained, other, end] = useColour ? ["\u001b[32m", "\u001b[90m", "\u001b[39m"] : ["⟦", "", "⟧"];
  const { tokens, lossMask } = example;
  const parts: string[] = [];
  for (let start = 0; start < tokens.length;) {
    const isTrained = lossMask[start] === 1;
    let stop = start + 1;
    while (stop < tokens.length && (lossMask[stop] === 1) === isTrained) stop += 1;
    const text = visibleText(tokens.subarray(start, stop), tokenizer);
    parts.push(isTrained || useColour ? (isTrained ? trained : other) + text + end : text);
    start = stop;
  }
  return parts.join("");
}

// --- internal ---

/** Spelled out piece by piece: `decode` would leave out BOS, EOS and the first space. */
function visibleText(ids: Int32Array, tokenizer: Tokenizer): string {
  const pieces: string[] = [];
  const bytes: number[] = [];
  const flush = (): void => {
    pieces.push(new TextDecoder().decode(Uint8Array.from(bytes)));
    bytes.length = 0;
  };
  for (const id of ids) {
    const mark = markOf(id, tokenizer);
    if (mark === undefined) {
      bytes.push(...tokenizer.pieceBytes(id));
    } else {
      flush();
      pieces.push(mark);
    }
  }
  flush();
  return escapeControls(pieces.join(""));
}

function markOf(id: number, { bosId, eosId, unkId }: Tokenizer): string | undefined {
  if (id === bosId) return "<s>";
  if (id === eosId) return "</s>";
  return id === unkId ? "<unk>" : undefined;
}

/** Text of others must not command the terminal. */
function escapeControls(text: string): string {
  return text.replaceAll(/(?!\n)\p{Cc}/gu, (control) => {
    return `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}
