/** Numbers between two bounds as expressions, digit by digit. */

import { characters, choice, optional, repeat, sequence, text, type Expression } from "./grammar.ts";
import { digit, digits, mostDigits, mostIntegerDigits } from "./json-text.ts";

export interface Bounds {
  /** -Infinity and Infinity where there is none. */
  readonly min: number;
  readonly max: number;
  /** Whether the bound itself is left out. */
  readonly excludesMin: boolean;
  readonly excludesMax: boolean;
}

/** Whole numbers, without a point or an exponent. */
export function integerRange({ min, max, excludesMin, excludesMax }: Bounds): Expression {
  const least = excludesMin ? Math.floor(min) + 1 : Math.ceil(min);
  const most = excludesMax ? Math.ceil(max) - 1 : Math.floor(max);
  return choice(
    ...(least < 0 ? [sequence(text("-"), wholeRange(Math.max(1, -most), -least))] : []),
    ...(most >= 0 ? [wholeRange(Math.max(0, least), most)] : []),
  );
}

/** Numbers with or without a fraction, without an exponent. */
export function numberRange({ min, max, excludesMin, excludesMax }: Bounds): Expression {
  const options: Expression[] = [];
  if (min < 0) {
    // Without -0.
    const least = max < 0 ? edge(-max, excludesMax) : edge(0, true);
    options.push(sequence(text("-"), decimalRange(least, edge(-min, excludesMin))));
  }
  if (max >= 0)
    options.push(decimalRange(edge(Math.max(0, min), excludesMin && min >= 0), edge(max, excludesMax)));
  return choice(...options);
}

// --- internal ---

interface Edge {
  /** Before the point, and after it without zeros at the end. */
  readonly digits: readonly [whole: string, fraction: string];
  readonly isExcluded: boolean;
}

/** @param bound of at least 0; Infinity is more than any number that is written. */
function edge(bound: number, isExcluded: boolean): Edge {
  if (bound !== Number.POSITIVE_INFINITY) return { digits: decimal(bound), isExcluded };
  return { digits: ["9".repeat(mostDigits), "9".repeat(mostDigits)], isExcluded: false };
}

const anyDigits = digits(0, mostDigits);
const nothing = text("");
const none = choice();

/** Of at least 0. */
function wholeRange(min: number, max: number): Expression {
  const least = BigInt(min);
  const ceiling = 10n ** BigInt(Math.max(mostIntegerDigits, String(least).length)) - 1n;
  return bigRange(least, max === Number.POSITIVE_INFINITY ? ceiling : BigInt(max));
}

function bigRange(min: bigint, max: bigint): Expression {
  const options: Expression[] = [];
  for (let length = String(min).length; length <= String(max).length; length += 1) {
    const [first, last] = [length === 1 ? 0n : 10n ** BigInt(length - 1), 10n ** BigInt(length) - 1n];
    const [from, to] = [min > first ? min : first, max < last ? max : last];
    if (from <= to) options.push(between(String(from), String(to)));
  }
  return choice(...options);
}

/** Digits from one text to another of the same length. */
function between(min: string, max: string): Expression {
  // Also what keeps this from branching twice at each digit.
  if (/^0*$/.test(min) && /^9*$/.test(max)) return digits(min.length, min.length);
  const [low, high] = [Number(min[0]), Number(max[0])];
  const [least, most] = [min.slice(1), max.slice(1)];
  if (low === high) return sequence(digitsFrom(low, low), between(least, most));
  const rest = least.length;
  return choice(
    sequence(digitsFrom(low, low), between(least, "9".repeat(rest))),
    sequence(digitsFrom(low + 1, high - 1), digits(rest, rest)),
    sequence(digitsFrom(high, high), between("0".repeat(rest), most)),
  );
}

function digitsFrom(low: number, high: number): Expression {
  return low > high ? none : characters([digit[0] + low, digit[0] + high]);
}

function decimalRange(min: Edge, max: Edge): Expression {
  const [low, high] = [BigInt(min.digits[0]), BigInt(max.digits[0])];
  if (low > high) return none;
  if (low === high) {
    return sequence(text(String(low)), fractionBetween(min, max));
  }
  return choice(
    sequence(text(String(low)), fractionFrom(min)),
    ...(low + 1n > high - 1n
      ? []
      : [sequence(bigRange(low + 1n, high - 1n), optional(fractionOf(anyFraction)))]),
    sequence(text(String(high)), fractionTo(max)),
  );
}

const anyFraction = digits(1, mostDigits);
const zeros = repeat(text("0"), 0, mostDigits);
const positiveFraction = sequence(zeros, digitsFrom(1, 9), anyDigits);

function fractionOf(inner: Expression): Expression {
  return sequence(text("."), inner);
}

function fractionFrom({ digits: [, least], isExcluded }: Edge): Expression {
  if (least === "") return isExcluded ? fractionOf(positiveFraction) : optional(fractionOf(anyFraction));
  return fractionOf(digitsAtLeast(least, isExcluded));
}

function fractionTo({ digits: [, most], isExcluded }: Edge): Expression {
  if (most === "") return isExcluded ? none : optional(fractionOf(sequence(text("0"), zeros)));
  return choice(nothing, fractionOf(digitsAtMost(most, isExcluded, false)));
}

/** Both bounds have the same whole number. */
function fractionBetween(min: Edge, max: Edge): Expression {
  const length = Math.max(min.digits[1].length, max.digits[1].length);
  const [least, most] = [min.digits[1].padEnd(length, "0"), max.digits[1].padEnd(length, "0")];
  if (least > most) return none;
  const isZeroIn = min.digits[1] === "" && !min.isExcluded && !(most === least && max.isExcluded);
  const inner = digitsBetween({ ...min, digits: ["", least] }, { ...max, digits: ["", most] });
  return choice(...(isZeroIn ? [nothing] : []), fractionOf(inner));
}

function digitsAtLeast(least: string, isExcluded: boolean): Expression {
  if (/^0*$/.test(least)) return isExcluded ? positiveFraction : anyDigits;
  const low = Number(least[0]);
  return choice(
    sequence(digitsFrom(low + 1, 9), anyDigits),
    sequence(digitsFrom(low, low), digitsAtLeast(least.slice(1), isExcluded)),
  );
}

/** @param isEndOk whether no digit at all will do; the number is then less, unless `most` is all used up. */
function digitsAtMost(most: string, isExcluded: boolean, isEndOk: boolean): Expression {
  if (/^0*$/.test(most)) return isExcluded ? none : zeros;
  const high = Number(most[0]);
  return choice(
    ...(isEndOk ? [nothing] : []),
    sequence(digitsFrom(0, high - 1), anyDigits),
    sequence(digitsFrom(high, high), digitsAtMost(most.slice(1), isExcluded, true)),
  );
}

/** Fractions of as many digits in both bounds. */
function digitsBetween(min: Edge, max: Edge): Expression {
  const [least, most] = [min.digits[1], max.digits[1]];
  if (least === most) {
    if (min.isExcluded || max.isExcluded) return none;
    return sequence(text(least === "" ? "0" : least), zeros);
  }
  const [low, high] = [Number(least[0]), Number(most[0])];
  const rest = (edge: Edge): Edge => ({ ...edge, digits: ["", edge.digits[1].slice(1)] });
  if (low === high) return sequence(digitsFrom(low, low), digitsBetween(rest(min), rest(max)));
  return choice(
    sequence(digitsFrom(low, low), digitsAtLeast(least.slice(1), min.isExcluded)),
    sequence(digitsFrom(low + 1, high - 1), anyDigits),
    sequence(digitsFrom(high, high), digitsAtMost(most.slice(1), max.isExcluded, true)),
  );
}

/** The digits of a number of at least 0, without an exponent. */
function decimal(value: number): readonly [whole: string, fraction: string] {
  const [mantissa = "", exponent = "0"] = String(value).split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  const shift = Number(exponent);
  const all = whole + fraction;
  const point = whole.length + shift;
  const padded = point <= 0 ? "0".repeat(1 - point) + all : all.padEnd(point, "0");
  const at = Math.max(1, point);
  return [String(BigInt(padded.slice(0, at))), padded.slice(at).replace(/0+$/, "")];
}
