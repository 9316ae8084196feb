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

test("a sequence begins at the first place with so many free cells from a multiple of the alignment on", () => {
  const pool = new CellPool(16);
  expect(pool.place(16, 4)).toBe(0);
  expect(pool.place(17, 4)).toBe(-1);
  pool.take(4); // cell 5
  expect(pool.place(4, 4)).toBe(0);
  expect(pool.place(5, 4)).toBe(0);
  expect(pool.place(6, 4)).toBe(8);
  expect(pool.place(8, 4)).toBe(8);
  expect(pool.place(9, 4)).toBe(-1);
  pool.take(15 - 1);
  expect(pool.place(7, 4)).toBe(8);
  expect(pool.place(8, 4)).toBe(-1);
  pool.release(5);
  expect(pool.place(15, 1)).toBe(0);
});

test("sequences leave each other room, as much as there is: 256 cells, then the half of it", () => {
  const pool = new CellPool(1024);
  const begin = (): number => {
    const start = pool.place(60, 64);
    for (let cell = start; cell < start + 60; cell += 1) expect(pool.take(cell - 1)).toBe(cell);
    return start;
  };
  // 320 is the first multiple of 64 from 60 + 256 on, 192 that from 60 + 128 on, and 64 leaves none.
  expect([begin(), begin(), begin(), begin()]).toEqual([0, 320, 640, 960]);
  expect([begin(), begin(), begin()]).toEqual([192, 512, 832]);
  expect(begin()).toBe(128);
});
