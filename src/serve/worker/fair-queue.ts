/** What waits, in turn by who waits: of two clients, one with a hundred requests and one with one, the latter is second. */

export class FairQueue<T> {
  /** By client, who has the next turn first. */
  readonly #clients = new Map<string, T[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(client: string, item: T): void {
    const items = this.#clients.get(client);
    if (items === undefined) this.#clients.set(client, [item]);
    else items.push(item);
    this.#size += 1;
  }

  /** Who has the next turn, whom {@link take} would return. */
  peek(): T | undefined {
    for (const items of this.#clients.values()) return items[0];
    return undefined;
  }

  /** The next in turn; its client's next one waits until the others had theirs. */
  take(): T | undefined {
    for (const [client, items] of this.#clients) {
      const item = items.shift()!;
      this.#clients.delete(client);
      if (items.length > 0) this.#clients.set(client, items);
      this.#size -= 1;
      return item;
    }
    return undefined;
  }

  remove(item: T): boolean {
    for (const [client, items] of this.#clients) {
      const place = items.indexOf(item);
      if (place < 0) continue;
      items.splice(place, 1);
      if (items.length === 0) this.#clients.delete(client);
      this.#size -= 1;
      return true;
    }
    return false;
  }
}
