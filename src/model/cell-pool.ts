/** The cells of a cache that sequences share: which are free, and how many sequences read each of the others. */

export class CellPool {
  readonly cells: number;
  /** How many sequences read each cell. */
  readonly #readers: Int32Array;
  #free: number;

  constructor(cells: number) {
    this.cells = cells;
    this.#readers = new Int32Array(cells);
    this.#free = cells;
  }

  get free(): number {
    return this.#free;
  }

  /**
   * A free cell, which has one reader now: the first after `last`, so that a sequence's cells ascend and its sums
   * are taken in the order of its tokens; when there is none, the first of all. There must be one.
   */
  take(last: number): number {
    const after = this.#readers.indexOf(0, last + 1);
    const cell = after < 0 ? this.#readers.indexOf(0) : after;
    this.#readers[cell] = 1;
    this.#free -= 1;
    return cell;
  }

  /**
   * Where a sequence of `count` tokens begins: at the first place with `count` free cells that leaves whoever is before
   * it as much room to grow as there is, up to `mostRoom` cells. A multiple of `align`; -1 when there is none.
   */
  place(count: number, align: number): number {
    for (let room = mostRoom; room >= align; room /= 2) {
      const start = this.#run(count, align, room);
      if (start >= 0) return start;
    }
    return this.#run(count, align, 0);
  }

  share(cell: number): void {
    this.#readers[cell]! += 1;
  }

  release(cell: number): void {
    this.#readers[cell]! -= 1;
    if (this.#readers[cell] === 0) this.#free += 1;
  }

  /** The first of `count` free cells, behind `room` free ones unless nothing is before them. */
  #run(count: number, align: number, room: number): number {
    let start = 0;
    for (let cell = 0; start + count <= this.cells; cell += 1) {
      if (cell === start + count) return start;
      if (this.#readers[cell] !== 0) start = Math.ceil((cell + 1 + room) / align) * align;
    }
    return -1;
  }
}

// --- internal ---

const mostRoom = 256;
