/**
 * Whose turn it is to compute: models in several processes on the same cores would wait for each other's threads in
 * every product, which is many times slower than one after the other.
 */

export interface TurnTaker {
  /** It may compute now, until it says that its turn is over. */
  grant(): void;
}

export class Turns {
  readonly #waiting: TurnTaker[] = [];
  #current: TurnTaker | undefined;

  want(taker: TurnTaker): void {
    this.#waiting.push(taker);
    this.#next();
  }

  /** Its turn is over. */
  end(taker: TurnTaker): void {
    if (this.#current !== taker) return;
    this.#current = undefined;
    this.#next();
  }

  /** It wants no turn any more, whether it has one or waits for one. */
  leave(taker: TurnTaker): void {
    for (let at = this.#waiting.indexOf(taker); at >= 0; at = this.#waiting.indexOf(taker))
      this.#waiting.splice(at, 1);
    this.end(taker);
  }

  #next(): void {
    if (this.#current !== undefined) return;
    this.#current = this.#waiting.shift();
    this.#current?.grant();
  }
}

/**
 * The same turns for several parts of one process, one of them at a time.
 *
 * @param turn settles when the process may compute; what it settles to says that it has.
 */
export function oneAtATime(turn: () => Promise<() => void>): () => Promise<() => void> {
  let last: Promise<unknown> = Promise.resolve();
  return async () => {
    const before = last;
    let release: (() => void) | undefined;
    last = new Promise<void>((over) => (release = over));
    await before;
    const end = await turn();
    return () => {
      end();
      release?.();
    };
  };
}
