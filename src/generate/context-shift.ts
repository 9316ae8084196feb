/**
 * A text longer than the context: when it is full, the first tokens stay (a system prompt, the beginning-of-text
 * token), the older half of the others is forgotten, and the newer half moves up.
 *
 * What moves up is read again. The other way, rotating its cached keys to their new positions, costs next to nothing,
 * but keys and values above the first layer were computed with the forgotten tokens in sight, so what comes out is what
 * no text gives; and keys of a quantised cache are rounded a second time. Read again, the model is where a fresh one
 * would be that had never seen the forgotten tokens. The price is one more prefilled token for each one that is
 * generated: half of the context is read each time that half of it has been written, and prefill is much the faster.
 * The first tokens are not read again, for they never saw the others.
 */

import { ConfigError } from "../errors/errors.ts";
import type { Decoder } from "../model/decoder.ts";

export interface ContextShift {
  /** So many tokens at the beginning are never forgotten. */
  readonly keep: number;
}

/**
 * Another way to make room.
 *
 * @param text what the decoder has read, and one token more, which is to be read next.
 * @returns what is left of it, shorter and with the same last token.
 */
export type Forget = (text: readonly number[]) => readonly number[];

/** @throws {ConfigError} unless there is room beside what is kept, and all that was read before is told. */
export function checkContextShift(
  shift: ContextShift | Forget | undefined,
  decoder: Decoder,
  history: ArrayLike<number>,
): void {
  if (shift === undefined) return;
  if (typeof shift !== "function") checkKept(shift, decoder);
  if (history.length === decoder.length) return;
  throw new ConfigError(
    `the decoder has read ${decoder.length} tokens, and the history has ${history.length}`,
    { mend: "To shift the context, give all that was read as `history`." },
  );
}

/** How many tokens go, the first after those that are kept, of so many that were read. */
export function shiftedOut(read: number, { keep }: ContextShift): number {
  return Math.ceil((read - keep) / 2);
}

/**
 * Makes room in a full context.
 *
 * @param text what the decoder has read, and one token more, which is to be read next.
 * @returns what is left of it, of which the decoder has again read all but the last.
 */
export async function shiftContext(
  decoder: Decoder,
  text: readonly number[],
  shift: ContextShift | Forget,
  signal?: AbortSignal,
): Promise<number[]> {
  const left = typeof shift === "function" ? [...shift(text)] : shifted(text, decoder.length, shift);
  let same = 0;
  while (same < left.length - 1 && left[same] === text[same]) same += 1;
  const moved = left.slice(same, -1);
  decoder.truncate(same);
  if (moved.length > 0) await decoder.read(moved, signal);
  return left;
}

// --- internal ---

function shifted(text: readonly number[], read: number, shift: ContextShift): number[] {
  return text.toSpliced(shift.keep, shiftedOut(read, shift));
}

function checkKept({ keep }: ContextShift, { contextTokens }: Decoder): void {
  if (Number.isInteger(keep) && keep >= 0 && keep < contextTokens) return;
  throw new ConfigError(`a context of ${contextTokens} tokens cannot shift with ${keep} kept`, {
    mend: "Keep fewer tokens, or open the model with a longer --context.",
  });
}
