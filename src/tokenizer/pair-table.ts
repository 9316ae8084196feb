/**
 * A map from a pair of non-negative ids to an id, for the two inner loops of byte pair encoding: which
 * piece do these neighbours merge into, and which pair is this while training.
 *
 * Open addressing with linear probing in typed arrays; at least half of the slots are free. A `Map` would
 * need a string or a float for its key and is several times slower.
 */
export class PairTable {
  #left: Int32Array;
  #right: Int32Array;
  #value: Int32Array;
  #mask: number;
  #size = 0;

  /** @param capacity how many pairs to make room for at first; it grows. */
  constructor(capacity = 0) {
    let slots = 16;
    while (slots < 2 * capacity) slots *= 2;
    this.#left = new Int32Array(slots).fill(-1);
    this.#right = new Int32Array(slots);
    this.#value = new Int32Array(slots);
    this.#mask = slots - 1;
  }

  get size(): number {
    return this.#size;
  }

  /** @returns the pair's value, or -1. */
  get(left: number, right: number): number {
    const keys = this.#left;
    let slot = hash(left, right) & this.#mask;
    for (let key = keys[slot]!; key !== -1; key = keys[slot]!) {
      if (key === left && this.#right[slot] === right) return this.#value[slot]!;
      slot = (slot + 1) & this.#mask;
    }
    return -1;
  }

  /** Sets the pair's value, whether or not it had one. */
  set(left: number, right: number, value: number): void {
    if (2 * (this.#size + 1) > this.#left.length) this.#grow();
    let slot = hash(left, right) & this.#mask;
    for (let key = this.#left[slot]!; key !== -1; key = this.#left[slot]!) {
      if (key === left && this.#right[slot] === right) break;
      slot = (slot + 1) & this.#mask;
    }
    if (this.#left[slot] === -1) this.#size += 1;
    this.#left[slot] = left;
    this.#right[slot] = right;
    this.#value[slot] = value;
  }

  #grow(): void {
    const [left, right, value] = [this.#left, this.#right, this.#value];
    const slots = 2 * left.length;
    this.#left = new Int32Array(slots).fill(-1);
    this.#right = new Int32Array(slots);
    this.#value = new Int32Array(slots);
    this.#mask = slots - 1;
    this.#size = 0;
    for (let slot = 0; slot < left.length; slot += 1) {
      if (left[slot] !== -1) this.set(left[slot]!, right[slot]!, value[slot]!);
    }
  }
}

// --- internal ---

/** Multiplicative hashing: 2^32 / φ and an odd constant, high bits folded down. */
function hash(left: number, right: number): number {
  const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
