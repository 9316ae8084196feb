/**
 * A few tokens out of many, and the one among them at which a running sum crosses a target, found without sorting
 * them all: they are divided into parts by their key, only the part with the crossing is looked at further, and so
 * on until few are left. Each round is linear, and has no comparison that the processor must guess.
 */

export class Shortlist {
  /** How many tokens there are in the arrays, which whoever fills them says. */
  length = 0;
  /** In ascending order. */
  readonly ids: Int32Array;
  /** What they are ordered by, smallest first; lower ids come first among equals. */
  readonly keys: Float64Array;
  /** What they add to the sum. */
  readonly weights: Float64Array;
  /** Places in these arrays that the crossing can still be at, in their order. */
  readonly #places: Int32Array;
  readonly #parts = new Float64Array(partCount);

  /** @param capacity the most tokens that it holds. */
  constructor(capacity: number) {
    this.ids = new Int32Array(capacity);
    this.keys = new Float64Array(capacity);
    this.weights = new Float64Array(capacity);
    this.#places = new Int32Array(capacity);
  }

  /** The smallest key. */
  nearest(): number {
    let min = Number.POSITIVE_INFINITY;
    for (let j = 0; j < this.length; j += 1) min = Math.min(min, this.keys[j]!);
    return min;
  }

  /**
   * The place of the first token in order at which the sum of weights, its own included, is above the target; of the
   * last token if that is nowhere.
   */
  locate(target: number): number {
    const [keys, places] = [this.keys, this.#places];
    let rest = target;
    let count = this.length;
    for (let j = 0; j < count; j += 1) places[j] = j;
    while (count > few) {
      let min = keys[places[0]!]!;
      let max = min;
      for (let j = 1; j < count; j += 1) {
        const key = keys[places[j]!]!;
        if (key < min) min = key;
        else if (key > max) max = key;
      }
      // Equals already stand in order. So near that they cannot be divided, they count as equals.
      if (partCount / (max - min) === Number.POSITIVE_INFINITY) return this.#walk(count, rest);
      const before = this.#crossPart(count, min, max, rest);
      rest -= before.weight;
      count = this.#narrow(count, min, max, before.part);
    }
    this.#sort(count);
    return this.#walk(count, rest);
  }

  /** The part with the crossing, and the weight of those before it. */
  #crossPart(count: number, min: number, max: number, target: number): { part: number; weight: number } {
    const [keys, weights, places, parts] = [this.keys, this.weights, this.#places, this.#parts];
    const perKey = (partCount - 1) / (max - min);
    parts.fill(0);
    for (let j = 0; j < count; j += 1) {
      const place = places[j]!;
      parts[((keys[place]! - min) * perKey) | 0]! += weights[place]!;
    }
    let weight = 0;
    let part = 0;
    // The last part has the largest key, so it is never empty.
    while (part < partCount - 1 && weight + parts[part]! <= target) {
      weight += parts[part]!;
      part += 1;
    }
    return { part, weight };
  }

  /** Keeps the places of one part. Since the smallest and the largest key are in others, it has fewer. */
  #narrow(count: number, min: number, max: number, part: number): number {
    const [keys, places] = [this.keys, this.#places];
    const perKey = (partCount - 1) / (max - min);
    let kept = 0;
    for (let j = 0; j < count; j += 1) {
      const place = places[j]!;
      if ((((keys[place]! - min) * perKey) | 0) !== part) continue;
      places[kept] = place;
      kept += 1;
    }
    return kept;
  }

  /** By insertion: stable, so that ids stay in order among equals. */
  #sort(count: number): void {
    const [keys, places] = [this.keys, this.#places];
    for (let j = 1; j < count; j += 1) {
      const place = places[j]!;
      const key = keys[place]!;
      let to = j;
      for (; to > 0 && keys[places[to - 1]!]! > key; to -= 1) places[to] = places[to - 1]!;
      places[to] = place;
    }
  }

  #walk(count: number, target: number): number {
    const [weights, places] = [this.weights, this.#places];
    let sum = 0;
    let j = 0;
    for (; j < count - 1; j += 1) {
      sum += weights[places[j]!]!;
      if (sum > target) break;
    }
    return places[j]!;
  }
}

// --- internal ---

const partCount = 256;

/** So many are sorted by insertion. */
const few = 32;
