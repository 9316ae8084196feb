/**
 * The tokens that can be drawn, by their masses (probabilities before they are normalised).
 *
 * Nothing here sorts the vocabulary or keeps its masses, which would cost more than all else. Tokens lie in bins of
 * 1/64 of an octave of mass. The bins are in order, and the tokens in one are not: a filter or a draw walks over the
 * bins' sums to the bin where it ends, and looks at single tokens only there. The most probable token comes first,
 * the lower id of equals.
 */

import { massAfter, natsPerStep, powers, stepsPerNat, stepsPerOctave } from "./mass.ts";
import { Shortlist } from "./shortlist.ts";

export class Candidates {
  /** Those outside {@link #firstBin} to {@link #lastBin} are dropped. `[vocab]` */
  readonly #bins: Uint16Array;
  readonly #binMasses = new Float64Array(lastStep + 1);
  readonly #shortlist: Shortlist;
  #firstBin = 0;
  #lastBin = lastStep;
  #scores: Float32Array = new Float32Array(0);
  #max = 0;
  /** Σ mass · bins below the largest logit, of all tokens. */
  #below = 0;
  /** Bins in one unit of the logits. */
  #scale = 1;

  constructor(vocabSize: number) {
    this.#bins = new Uint16Array(vocabSize);
    this.#shortlist = new Shortlist(vocabSize);
  }

  /**
   * All tokens, with the masses exp((score - max) / temperature).
   *
   * @param scores read until the next call; none NaN. `[vocab]`
   * @param max    the largest of them, finite.
   */
  fill(scores: Float32Array, max: number, temperature: number): void {
    // Finite, so that the largest is 0 bins from itself at any temperature.
    const scale = Math.min(stepsPerNat / temperature, 1e300);
    this.#scores = scores;
    this.#max = max;
    this.#scale = scale;
    this.#firstBin = 0;
    this.#lastBin = lastStep;
    const bins = this.#bins;
    const binMasses = this.#binMasses;
    // Imports are looked up each time that they are used.
    const [table, nats] = [powers, natsPerStep];
    binMasses.fill(0);
    let below = 0;
    for (let i = 0; i < scores.length; i += 1) {
      const steps = (max - scores[i]!) * scale;
      if (steps > lastStep) {
        bins[i] = dropped;
        continue;
      }
      // massAfter, with the bin that it rounds to.
      const bin = (steps + 0.5) | 0;
      const x = (bin - steps) * nats;
      const mass = table[bin]! * (1 + x * (1 + x * (1 / 2 + x * (1 / 6))));
      bins[i] = bin;
      binMasses[bin]! += mass;
      below += steps * mass;
    }
    this.#below = below;
  }

  /** The mass of all that are kept. */
  get total(): number {
    let total = 0;
    for (let bin = this.#firstBin; bin <= this.#lastBin; bin += 1) total += this.#binMasses[bin]!;
    return total;
  }

  massOf(id: number): number {
    return massAfter((this.#max - this.#scores[id]!) * this.#scale);
  }

  /** The mean of the logits, each as often as it is drawn; before other filters than {@link keepCount}. */
  mean(): number {
    const below = this.#lastBin === lastStep ? this.#below : this.#belowOfKept();
    return this.#max - below / (this.#scale * this.total);
  }

  /** How far the most probable of those that are kept lies below the largest logit. */
  nearest(): number {
    let bin = this.#firstBin;
    while (bin < this.#lastBin && this.#binMasses[bin] === 0) bin += 1;
    this.#gatherBin(bin);
    return this.#shortlist.nearest();
  }

  /** Keeps the `count` most probable. */
  keepCount(count: number): void {
    const sizes = this.#sizes();
    let before = 0;
    for (let bin = this.#firstBin; bin <= this.#lastBin; bin += 1) {
      const size = sizes[bin]!;
      if (before + size < count) {
        before += size;
        continue;
      }
      this.#gatherBin(bin);
      this.#shortlist.weights.fill(1, 0, size);
      const place = this.#shortlist.locate(count - before - 0.5);
      this.#measure(this.#max);
      this.#keepTo(place);
      this.#lastBin = bin;
      return;
    }
  }

  /** Keeps the most probable whose predecessors sum to at most this share of the mass. */
  keepMass(share: number): void {
    const limit = share * this.total;
    let before = 0;
    for (let bin = this.#firstBin; bin <= this.#lastBin; bin += 1) {
      const mass = this.#binMasses[bin]!;
      if (before + mass <= limit) {
        before += mass;
        continue;
      }
      this.#gatherBin(bin);
      this.#keepTo(this.#shortlist.locate(limit - before));
      this.#lastBin = bin;
      return;
    }
  }

  /**
   * Keeps those whose logits are nearest to the centre, while their predecessors in that order sum to at most this
   * share of the mass.
   *
   * @param centre between the logits of two tokens that are kept.
   */
  keepMassAround(centre: number, share: number): void {
    const limit = share * this.total;
    const middle = binOf((this.#max - centre) * this.#scale);
    // Rings of the bins middle ± ring. A token of one is within 1 of `ring` steps from the centre, so the token at
    // which the limit is crossed is nearer than `ring` + 1 and further than `ring` - 2 for the ring that crosses it.
    let ring = 0;
    const sums: number[] = [];
    for (let sum = 0; ring <= lastStep; ring += 1) {
      sum += this.#massIn(middle - ring) + (ring === 0 ? 0 : this.#massIn(middle + ring));
      sums.push(sum);
      if (sum > limit) break;
    }
    if (ring > lastStep) return;
    const [inner, outer] = [Math.max(0, ring - 3), ring + 2];
    const above = {
      from: Math.max(this.#firstBin, middle - outer),
      to: Math.min(this.#lastBin, middle - inner),
    };
    const below = {
      from: inner === 0 ? middle + 1 : middle + inner,
      to: Math.min(this.#lastBin, middle + outer),
    };
    this.#gatherRanges(above, below, centre);
    this.#keepTo(this.#shortlist.locate(limit - (inner === 0 ? 0 : sums[inner - 1]!)));
    this.#firstBin = above.from;
    this.#lastBin = below.to;
  }

  /** Keeps logits at most so far below the largest. */
  keepWithin(distance: number): void {
    const steps = distance * this.#scale;
    const bin = binOf(steps);
    if (steps >= lastStep || bin > this.#lastBin) return;
    this.#gatherBin(bin);
    this.#keepUpTo(distance, Number.POSITIVE_INFINITY);
    this.#lastBin = bin;
  }

  /** The token at this share of the mass, counted from the most probable. */
  at(share: number): number {
    let rest = share * this.total;
    let last = 0;
    for (let bin = this.#firstBin; bin <= this.#lastBin; bin += 1) {
      const mass = this.#binMasses[bin]!;
      if (rest < mass) return this.#tokenIn(bin, rest);
      if (mass > 0) last = bin;
      rest -= mass;
    }
    // The sums have rounded up to the end of the last token.
    return this.#tokenIn(last, Number.POSITIVE_INFINITY);
  }

  /** The token at this share of the mass, counted from the lowest id, when no filter dropped any. */
  atById(share: number): number {
    const [scores, max, scale] = [this.#scores, this.#max, this.#scale];
    let rest = share * this.total;
    let last = 0;
    for (let i = 0; i < scores.length; i += 1) {
      const steps = (max - scores[i]!) * scale;
      if (steps > lastStep) continue;
      last = i;
      rest -= massAfter(steps);
      if (rest < 0) break;
    }
    return last;
  }

  #tokenIn(bin: number, mass: number): number {
    this.#gatherBin(bin);
    return this.#shortlist.ids[this.#shortlist.locate(mass)]!;
  }

  #belowOfKept(): number {
    const [bins, scores, max, scale] = [this.#bins, this.#scores, this.#max, this.#scale];
    const lastBin = this.#lastBin;
    let below = 0;
    for (let i = 0; i < bins.length; i += 1) {
      if (bins[i]! > lastBin) continue;
      const steps = (max - scores[i]!) * scale;
      below += steps * massAfter(steps);
    }
    return below;
  }

  #massIn(bin: number): number {
    return bin >= this.#firstBin && bin <= this.#lastBin ? this.#binMasses[bin]! : 0;
  }

  /** Tokens in each bin. */
  #sizes(): Int32Array {
    const bins = this.#bins;
    const sizes = new Int32Array(lastStep + 1);
    for (let i = 0; i < bins.length; i += 1) {
      const bin = bins[i]!;
      if (bin <= lastStep) sizes[bin]! += 1;
    }
    return sizes;
  }

  /** Lists the tokens of one bin by their distance from the largest logit. */
  #gatherBin(bin: number): void {
    const [bins, shortlist] = [this.#bins, this.#shortlist];
    const { ids } = shortlist;
    let length = 0;
    let i = bins.indexOf(bin);
    // indexOf looks at many at once, but each call costs as much as forty steps of the loop.
    for (; i >= 0 && length < sparse; i = bins.indexOf(bin, i + 1)) {
      ids[length] = i;
      length += 1;
    }
    for (; i >= 0 && i < bins.length; i += 1) {
      if (bins[i] !== bin) continue;
      ids[length] = i;
      length += 1;
    }
    shortlist.length = length;
    this.#measure(this.#max);
  }

  /** Lists the tokens of both ranges by their distance from a centre. */
  #gatherRanges(one: BinRange, other: BinRange, centre: number): void {
    const [bins, shortlist] = [this.#bins, this.#shortlist];
    const { ids } = shortlist;
    const { from, to } = one;
    const { from: otherFrom, to: otherTo } = other;
    let length = 0;
    for (let i = 0; i < bins.length; i += 1) {
      const bin = bins[i]!;
      if ((bin < from || bin > to) && (bin < otherFrom || bin > otherTo)) continue;
      ids[length] = i;
      length += 1;
    }
    shortlist.length = length;
    this.#measure(centre);
  }

  #measure(centre: number): void {
    const [scores, max, scale] = [this.#scores, this.#max, this.#scale];
    const { ids, keys, weights, length } = this.#shortlist;
    for (let j = 0; j < length; j += 1) {
      const score = scores[ids[j]!]!;
      keys[j] = Math.abs(score - centre);
      weights[j] = massAfter((max - score) * scale);
    }
  }

  /** Of the tokens that were listed, keeps those up to the one at this place. */
  #keepTo(place: number): void {
    const { ids, keys } = this.#shortlist;
    this.#keepUpTo(keys[place]!, ids[place]!);
  }

  /** Of the tokens that were listed, keeps those up to a key, and of those that have that key up to an id. */
  #keepUpTo(lastKey: number, lastId: number): void {
    const { ids, keys, weights, length } = this.#shortlist;
    const [bins, binMasses] = [this.#bins, this.#binMasses];
    for (let j = 0; j < length; j += 1) binMasses[bins[ids[j]!]!] = 0;
    for (let j = 0; j < length; j += 1) {
      const id = ids[j]!;
      const key = keys[j]!;
      if (key < lastKey || (key === lastKey && id <= lastId)) binMasses[bins[id]!]! += weights[j]!;
      else bins[id] = dropped;
    }
  }
}

// --- internal ---

interface BinRange {
  readonly from: number;
  readonly to: number;
}

/** So many tokens of a bin are looked for one by one. */
const sparse = 512;

/** Tokens whose mass is below 2^-42 of the largest cannot be drawn: their sum is below 2^-24. */
const lastStep = 42 * stepsPerOctave;

/** The bin of no token. */
const dropped = 0xffff;

function binOf(steps: number): number {
  return Math.min(lastStep, Math.floor(steps + 0.5));
}
