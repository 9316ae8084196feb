/**
 * Sequences that are over and stay in the cache: what the next request has in common with one of them is not
 * computed again. They are kept as long as nobody needs the room, and each serves only the client it was written for.
 */

import type { BatchDecoder } from "../../model/batch-decoder.ts";

/** What a sequence has read. */
export interface ReadSequence {
  readonly client: string;
  /** Of the decoder. */
  readonly sequence: number;
  /** At least those that the decoder has read. */
  readonly tokens: readonly number[];
}

export class PrefixCache {
  readonly #decoder: BatchDecoder;
  readonly #maxEntries: number;
  /** The least recently used first. */
  #entries: ReadSequence[] = [];

  constructor(decoder: BatchDecoder, maxEntries = 64) {
    this.#decoder = decoder;
    this.#maxEntries = maxEntries;
  }

  /** A new sequence for these tokens, with as many read as another has read; at least one is left to read. */
  open(client: string, tokens: readonly number[], running: readonly ReadSequence[]): number {
    let best: ReadSequence | undefined;
    let most = 0;
    for (const candidate of [...this.#entries, ...running]) {
      if (candidate.client !== client) continue;
      const read = this.#decoder.length(candidate.sequence);
      const common = commonPrefix(candidate.tokens, tokens, Math.min(read, tokens.length - 1));
      if (common <= most) continue;
      most = common;
      best = candidate;
    }
    if (best === undefined) return this.#decoder.open();
    this.#touch(best);
    return this.#decoder.fork(best.sequence, most);
  }

  /** Keeps a sequence that is over; it is closed when its room is needed. */
  keep(entry: ReadSequence): void {
    const read = this.#decoder.length(entry.sequence);
    const tokens = entry.tokens.slice(0, read);
    // What it continues is part of it.
    const isPartOf = ({ client, tokens: others }: ReadSequence): boolean =>
      client === entry.client && commonPrefix(others, tokens, others.length) === others.length;
    for (const part of this.#entries.filter(isPartOf)) this.#close(part);
    this.#entries.push({ ...entry, tokens });
    while (this.#entries.length > this.#maxEntries) this.evict();
  }

  /** Lets go of the least recently used one. @returns whether there was one. */
  evict(): boolean {
    const [oldest] = this.#entries;
    if (oldest === undefined) return false;
    this.#close(oldest);
    return true;
  }

  #touch(entry: ReadSequence): void {
    const place = this.#entries.indexOf(entry);
    if (place < 0) return;
    this.#entries.splice(place, 1);
    this.#entries.push(entry);
  }

  #close(entry: ReadSequence): void {
    this.#decoder.close(entry.sequence);
    this.#entries = this.#entries.filter((other) => other !== entry);
  }
}

// --- internal ---

function commonPrefix(a: readonly number[], b: readonly number[], most: number): number {
  const end = Math.min(most, a.length, b.length);
  let common = 0;
  while (common < end && a[common] === b[common]) common += 1;
  return common;
}
