/** Log-probabilities with the tokens' texts, as OpenAI's API reports them. */

import type { TokenLogprob, TokenLogprobs } from "../../generate/logprobs.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { TokenChance, TokenReport } from "../engine.ts";

export function tokenReports(tokenizer: Tokenizer): (logprobs: TokenLogprobs) => TokenReport {
  const utf8 = new TextDecoder();
  const chance = ({ id, logprob }: TokenLogprob): TokenChance => {
    // Rows beyond the tokenizer's pieces are padding, without text.
    const piece = tokenizer.model.pieces[id];
    const bytes = piece === undefined ? new Uint8Array(0) : tokenizer.pieceBytes(id);
    const text = piece?.type === "control" ? piece.piece : utf8.decode(bytes);
    return { id, text, bytes: [...bytes], logprob: Math.max(logprob, lowest) };
  };
  return (logprobs) => ({ ...chance(logprobs), top: logprobs.top.map(chance) });
}

// --- internal ---

/** JSON has no -Infinity; OpenAI's API writes this for what is as good as impossible. */
const lowest = -9999;
