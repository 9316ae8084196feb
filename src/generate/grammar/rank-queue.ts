/** Numbers in the order of their ranks: a binary heap, in which each number stands at most once. */

export class RankQueue {
  readonly #items: number[] = [];
  readonly #ranks: number[] = [];
  readonly #queued = new Set<number>();

  /** Of a number that is in the queue already, nothing changes. */
  push(item: number, rank: number): void {
    if (this.#queued.has(item)) return;
    this.#queued.add(item);
    let at = this.#items.length;
    for (; at > 0; at = (at - 1) >> 1) {
      const parent = (at - 1) >> 1;
      if (this.#ranks[parent]! <= rank) break;
      this.#items[at] = this.#items[parent]!;
      this.#ranks[at] = this.#ranks[parent]!;
    }
    this.#items[at] = item;
    this.#ranks[at] = rank;
  }

  /** The one of the lowest rank; undefined when there is none. */
  pop(): number | undefined {
    const [first] = this.#items;
    if (first === undefined) return undefined;
    this.#queued.delete(first);
    const item = this.#items.pop()!;
    const rank = this.#ranks.pop()!;
    if (this.#items.length > 0) this.#sink(item, rank);
    return first;
  }

  #sink(item: number, rank: number): void {
    const { length } = this.#items;
    let at = 0;
    for (let child = 1; child < length; child = 2 * at + 1) {
      if (child + 1 < length && this.#ranks[child + 1]! < this.#ranks[child]!) child += 1;
      if (this.#ranks[child]! >= rank) break;
      this.#items[at] = this.#items[child]!;
      this.#ranks[at] = this.#ranks[child]!;
      at = child;
    }
    this.#items[at] = item;
    this.#ranks[at] = rank;
  }
}
