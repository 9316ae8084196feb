/**
 * Examples packed into rows of equal length, without padding between them.
 *
 * Llama 2 §3.1: "To ensure the model sequence length is properly filled, we concatenate all the prompts
 * and answers from the training set." So the shuffled examples are one stream of tokens, cut into rows;
 * an example may begin in one row and end in the next, and attends to what stands before it in its row,
 * as in pretraining. The loss is spent on answers only, through the weights.
 */

import { createRandom, shuffle } from "../corpus/random.ts";
import type { Example } from "../dialog/llama2-chat.ts";
import { ConfigError } from "../errors/errors.ts";

export interface PackOptions {
  /** Tokens in a row; also the most an example may have. */
  readonly seqLen: number;
  readonly seed: number;
  /** Each epoch shuffles anew. */
  readonly epoch: number;
  /** Fills the last row, at weight 0. Llama 2 has no pad token (its pad id is -1): give any id, such as EOS. */
  readonly padId: number;
}

export interface PackedRows {
  readonly rows: number;
  readonly seqLen: number;
  /** [rows, seqLen] */
  readonly tokens: Int32Array;
  /** The token after each of `tokens`, the first of the next row at the end of a row. [rows, seqLen] */
  readonly targets: Int32Array;
  /** `lossMask` of the target: 1 where the loss counts, else 0. [rows, seqLen] */
  readonly weights: Float32Array;
  /** Examples longer than `seqLen`, of which only the first `seqLen` tokens are here. */
  readonly truncated: number;
}

/**
 * One epoch of `examples`, in an order that follows from `seed` and `epoch` alone.
 *
 * Every token is in `tokens` once and, but for the first of all, in `targets` once.
 *
 * @throws {ConfigError} if there is no example, or an option or an example cannot be right.
 */
export function packExamples(examples: readonly Example[], options: PackOptions): PackedRows {
  checkOptions(options);
  const { seqLen, padId } = options;
  let length = 0;
  let truncated = 0;
  for (const [i, { tokens, lossMask }] of examples.entries()) {
    if (tokens.length === 0 || tokens.length !== lossMask.length) {
      throw new ConfigError(`example ${i + 1} has ${tokens.length} tokens and a mask of ${lossMask.length}`, {
        mend: "Give one mask entry per token, and at least one token.",
      });
    }
    length += Math.min(tokens.length, seqLen);
    truncated += tokens.length > seqLen ? 1 : 0;
  }
  if (length === 0) throw new ConfigError("no examples to pack", { mend: "Give at least one dialog." });

  const rows = Math.ceil(length / seqLen);
  const tokens = new Int32Array(rows * seqLen).fill(padId);
  const targets = new Int32Array(rows * seqLen).fill(padId);
  const weights = new Float32Array(rows * seqLen);
  let at = 0;
  for (const example of shuffle(examples, orderOf(options))) {
    const kept = example.tokens.subarray(0, seqLen);
    tokens.set(kept, at);
    // A token is the target of the position before it; the first of all has none.
    const skipped = at === 0 ? 1 : 0;
    targets.set(kept.subarray(skipped), at + skipped - 1);
    weights.set(example.lossMask.subarray(skipped, seqLen), at + skipped - 1);
    at += kept.length;
  }
  return { rows, seqLen, tokens, targets, weights, truncated };
}

// --- internal ---

/** Longer rows than any Llama has positions for are a mistake, and would be allocated. */
const MAX_SEQ_LEN = 2 ** 20;

function checkOptions({ seqLen, padId, epoch }: PackOptions): void {
  if (!Number.isInteger(seqLen) || seqLen < 2 || seqLen > MAX_SEQ_LEN) {
    throw new ConfigError(`seqLen (${seqLen}) is not a whole number from 2 to ${MAX_SEQ_LEN}`, {
      mend: "Set it to the model's context length or less.",
    });
  }
  if (!Number.isInteger(padId) || padId < 0 || padId >= 2 ** 31) {
    throw new ConfigError(`padId (${padId}) is not a token id`, {
      mend: "Where the tokenizer has no pad token, give its EOS id: padding has weight 0.",
    });
  }
  if (!Number.isSafeInteger(epoch) || epoch < 0) {
    throw new ConfigError(`epoch (${epoch}) is not a whole number from 0`, { mend: "Count epochs from 0." });
  }
}

/** Drawn from the seed's own generator first, so that epoch 1 of seed 1 is not epoch 0 of seed 2. */
function orderOf({ seed, epoch }: PackOptions): ReturnType<typeof createRandom> {
  return createRandom(createRandom(seed).int(2 ** 52) + (epoch % 2 ** 52));
}
