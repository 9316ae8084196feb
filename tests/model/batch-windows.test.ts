import { describe, expect, test } from "vitest";
import { minusInfinity } from "../../src/model/attention.ts";
import { joined, maskOf, windowStep, type FilledWindow } from "../../src/model/batch-windows.ts";
import { windowOver } from "../../src/model/cached-pass.ts";

/** The last `count` tokens of a sequence that lies in cells `first` to `last`. */
function part(first: number, last: number, count = 1): FilledWindow {
  const cells = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const rows = Array.from({ length: count }, (_, i) => ({
    token: 0,
    cells,
    position: cells.length - count + i,
    target: undefined,
  }));
  return { rows, shape: windowOver(count, first, last, 64) };
}

const shapesOf = (windows: readonly FilledWindow[]): object[] => windows.map(({ shape }) => shape);

describe("windows", () => {
  test("of texts that share cells, or lie side by side, are one", () => {
    const shared = [part(0, 70), part(0, 75), part(0, 80)];
    expect(shapesOf(joined(shared, 12))).toEqual([{ tokens: 3, start: 0, length: 128 }]);
    const near = [part(70, 90), part(0, 60)];
    expect(shapesOf(joined(near, 12))).toEqual([{ tokens: 2, start: 0, length: 128 }]);
  });

  test("of texts that are far from each other are their own", () => {
    const far = [part(0, 60), part(640, 700), part(1280, 1300)];
    expect(shapesOf(joined(far, 12))).toEqual([
      { tokens: 1, start: 0, length: 64 },
      { tokens: 1, start: 640, length: 64 },
      { tokens: 1, start: 1280, length: 64 },
    ]);
  });

  test("join where passing over cells costs less than a window: the more heads, the nearer", () => {
    const parts = [part(0, 60), part(192, 250)];
    expect(joined(parts, 8)).toHaveLength(1);
    expect(joined(parts, 64)).toHaveLength(2);
  });

  test("of long steps are theirs alone, and no window of short ones is as long as a tile", () => {
    const long = [part(0, 99, 100), part(100, 110)];
    expect(joined(long, 1).map(({ rows }) => rows.length)).toEqual([1, 100]);
    const short = [part(0, 31, 32), part(32, 63, 32)];
    expect(joined(short, 1).map(({ rows }) => rows.length)).toEqual([32, 32]);
  });

  test("of many texts have longer steps", () => {
    expect([1, 8, 9, 16, 17, 32, 64, 1000].map(windowStep)).toEqual([64, 64, 128, 128, 256, 256, 256, 256]);
  });
});

test("a mask shows each token the cells of its sequence up to its own", () => {
  const cells = [1, 2, 5];
  const rows = [0, 1, 2].map((position) => ({ token: 0, cells, position, target: undefined }));
  const [own, other] = [0, minusInfinity];
  const bits = maskOf([{ rows, shape: { tokens: 3, start: 0, length: 6 } }]);
  expect([...bits]).toEqual(
    [
      [other, own, other, other, other, other],
      [other, own, own, other, other, other],
      [other, own, own, other, other, own],
    ].flat(),
  );
});
