import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom, restoreRandom, shuffle } from "../../src/corpus/random.ts";

const raw = 2 ** 32;

describe("xoshiro128** 1.1", () => {
  test("from the state 1, 2, 3, 4 the first word is rotl(2 · 5, 7) · 9 and the second 0", () => {
    const random = restoreRandom([1, 2, 3, 4]);
    expect(random.int(raw)).toBe(11520);
    // The step leaves s1 = 2 ^ (3 ^ 1) = 0, and the output is a multiple of s1.
    expect(random.int(raw)).toBe(0);
  });
  test("the seed is spread by SplitMix64, whose first output from 0 is e220a8397b1dcdaf", () => {
    expect(createRandom(0).state.slice(0, 2)).toEqual([0x7b1dcdaf, 0xe220a839]);
  });
});

test("next() is in [0, 1) and int(n) in 0..n-1", () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.integer({ min: 1, max: 2 ** 53 - 1 }), (seed, n) => {
      const random = createRandom(seed);
      const [x, i] = [random.next(), random.int(n)];
      expect(x >= 0 && x < 1 && Number.isInteger(i) && i >= 0 && i < n).toBe(true);
    }),
  );
});

test("int(3) draws each of three numbers about as often: 30 000 draws, within five standard deviations", () => {
  const random = createRandom(7);
  const drawn = [0, 0, 0];
  for (let i = 0; i < 30_000; i += 1) drawn[random.int(3)]! += 1;
  for (const count of drawn) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt((30_000 * 2) / 9));
});

test("int(n) has no bias for an n that divides the words badly: a third of int(3 · 2^30) is below 2^30", () => {
  const random = createRandom(7);
  let below = 0;
  for (let i = 0; i < 9000; i += 1) if (random.int(3 * 2 ** 30) < 2 ** 30) below += 1;
  expect(Math.abs(below - 3000)).toBeLessThan(5 * Math.sqrt((9000 * 2) / 9));
});

test("a generator goes on from its saved state", () => {
  const random = createRandom(-5);
  random.next();
  const restored = restoreRandom(JSON.parse(JSON.stringify(random.state)) as number[]);
  const draw = (r: typeof random) =>
    Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? r.next() : r.int(100)));
  expect(draw(restored)).toEqual(draw(random));
});

test("different seeds give different streams, also those far apart and of either sign", () => {
  const firsts = [0, 1, -1, 2 ** 32, 2 ** 40, -(2 ** 53) + 1].map((seed) => createRandom(seed).next());
  expect(new Set(firsts).size).toBe(6);
});

test("a shuffle keeps the items, leaves its argument alone and follows from the seed", () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), fc.integer(), (items, seed) => {
      const before = items.slice();
      const shuffled = shuffle(items, createRandom(seed));
      expect(items).toEqual(before);
      expect(Float64Array.from(shuffled).sort()).toEqual(Float64Array.from(items).sort());
      expect(shuffle(items, createRandom(seed))).toEqual(shuffled);
    }),
  );
});

test("all six orders of three items occur about equally often", () => {
  const random = createRandom(1);
  const orders = new Map<string, number>();
  for (let i = 0; i < 6000; i += 1) {
    const order = shuffle(["a", "b", "c"], random).join("");
    orders.set(order, (orders.get(order) ?? 0) + 1);
  }
  expect(orders.size).toBe(6);
  for (const count of orders.values())
    expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt((6000 * 5) / 36));
});

test("seeds, bounds and states that cannot be right are refused", () => {
  expect(() => createRandom(0.5)).toThrow("seed (0.5) is not a whole number");
  expect(() => createRandom(0).int(0)).toThrow("int(0): the bound is not a whole number of at least 1");
  expect(() => restoreRandom([0, 0, 0, 0])).toThrow(
    "random state [0, 0, 0, 0] is not four 32-bit words, one not zero",
  );
  expect(() => restoreRandom([1, 2, 3])).toThrow("random state [1, 2, 3] is not four 32-bit words");
});
