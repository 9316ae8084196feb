import { expect, test } from "vitest";
import { CellPool } from "../../src/model/cell-pool.ts";

test("cells are given in ascending order after the last, and from the beginning when there are none", () => {
  const pool = new CellPool(4);
  expect([pool.take(-1), pool.take(0), pool.take(2), pool.take(3)]).toEqual([0, 1, 3, 2]);
  expect(pool.free).toBe(0);
});

test("a cell is free when its last reader has released it", () => {
  const pool = new CellPool(2);
  expect(pool.take(-1)).toBe(0);
  pool.share(0);
  pool.release(0);
  expect(pool.free).toBe(1);
  expect(pool.take(-1)).toBe(1);
  pool.release(0);
  expect(pool.free).toBe(1);
  expect(pool.take(1)).toBe(0);
});

test("a run is the first place with so many free cells from a multiple of the alignment on", () => {
  const pool = new CellPool(16);
  expect(pool.run(16, 4)).toBe(0);
  expect(pool.run(17, 4)).toBe(-1);
  pool.take(4); // cell 5
  expect(pool.run(4, 4)).toBe(0);
  expect(pool.run(5, 4)).toBe(0);
  expect(pool.run(6, 4)).toBe(8);
  expect(pool.run(8, 4)).toBe(8);
  expect(pool.run(9, 4)).toBe(-1);
  pool.take(15 - 1);
  expect(pool.run(7, 4)).toBe(8);
  expect(pool.run(8, 4)).toBe(-1);
  pool.release(5);
  expect(pool.run(15, 1)).toBe(0);
});
