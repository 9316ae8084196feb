import * as fc from "fast-check";
import { expect, test } from "vitest";
import { PairTable } from "../../src/tokenizer/pair-table.ts";

test("it answers as a Map of pairs does, however often it has grown", () => {
  const id = fc.nat({ max: 40 });
  fc.assert(
    fc.property(fc.array(fc.tuple(id, id, id), { maxLength: 300 }), (entries) => {
      const table = new PairTable();
      const map = new Map<string, number>();
      for (const [left, right, value] of entries) {
        table.set(left, right, value);
        map.set(`${left} ${right}`, value);
      }
      expect(table.size).toBe(map.size);
      for (let left = 0; left <= 40; left += 1) {
        for (let right = 0; right <= 40; right += 1) {
          expect(table.get(left, right)).toBe(map.get(`${left} ${right}`) ?? -1);
        }
      }
    }),
    { numRuns: 30 },
  );
});

test("left and right are told apart", () => {
  const table = new PairTable();
  table.set(1, 2, 7);
  expect([table.get(1, 2), table.get(2, 1)]).toEqual([7, -1]);
});
