/**
 * How much goes through the model in one pass. A long prompt is read in pieces that take about as long as a reader
 * of the other texts does not notice; when nobody waits for a next token, in pieces as large as pay.
 */

/** A pass that was made. */
export interface PassTaken {
  readonly tokens: number;
  /** Of how many texts. */
  readonly texts: number;
  readonly ms: number;
}

export class PassBudget {
  /** Undefined before the first measure. */
  #msPerToken: number | undefined;
  #msPerJob: number | undefined;
  #lastFinished = performance.now();

  passed({ tokens, texts, ms }: PassTaken): void {
    // A pass of single tokens is as slow as the memory; what counts here is reading.
    if (tokens < texts + smallestRoom / 2) return;
    this.#msPerToken = smoothed(this.#msPerToken, ms / tokens);
  }

  /** A request was finished. */
  finished(): void {
    const now = performance.now();
    this.#msPerJob = smoothed(this.#msPerJob, now - this.#lastFinished);
    this.#lastFinished = now;
  }

  /** When so many requests are likely to be finished: what a client that is turned away is told to wait. */
  secondsToPass(jobs: number): number {
    return Math.min(60, Math.max(1, Math.ceil(((this.#msPerJob ?? 0) * jobs) / 1000)));
  }

  /**
   * @param writing how many texts want their next token in this pass.
   * @param unread  tokens that each of the other texts has to read.
   * @returns how many of them each reads: shares are equal, and what one does not need is the others'.
   */
  shares(writing: number, unread: readonly number[]): number[] {
    let room = writing === 0 ? largestRoom : this.#roomBesideWriting();
    const shares = unread.map(() => 0);
    const byLength = [...unread.keys()].sort((a, b) => unread[a]! - unread[b]!);
    for (const [i, place] of byLength.entries()) {
      const share = Math.ceil(room / (byLength.length - i));
      shares[place] = Math.min(unread[place]!, share);
      room -= shares[place];
    }
    return shares;
  }

  #roomBesideWriting(): number {
    if (this.#msPerToken === undefined) return smallestRoom;
    return Math.min(largestRoom, Math.max(smallestRoom, Math.round(longestPauseMs / this.#msPerToken)));
  }
}

// --- internal ---

/** In tokens; larger pieces gain nothing (bench/inference.ts). */
const largestRoom = 512;
const smallestRoom = 32;

/** Between two tokens of a text, because another reads its prompt. */
const longestPauseMs = 150;

/** An average of about the last ten. */
function smoothed(average: number | undefined, value: number): number {
  return average === undefined ? value : average + (value - average) / 10;
}
