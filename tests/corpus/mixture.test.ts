import { expect, test } from "vitest";
import { mixDocuments } from "../../src/corpus/mixture.ts";
import { createRandom } from "../../src/corpus/random.ts";

function source(name: string, documents: number, weight: number) {
  return {
    documents: Array.from({ length: documents }, (_, i) => ({ id: `${name}${i}`, text: name })),
    weight,
  };
}

function timesShown(sources: ReturnType<typeof source>[], seed = 0) {
  const shown: Record<string, number> = {};
  for (const { id } of mixDocuments(sources, createRandom(seed))) shown[id] = (shown[id] ?? 0) + 1;
  return shown;
}

test("a weight is a number of epochs", () => {
  expect(timesShown([source("a", 2, 1), source("b", 1, 3), source("c", 5, 0)])).toEqual({
    a0: 1,
    a1: 1,
    b0: 3,
  });
});

test("the fraction of a weight shows that part of the documents once more", () => {
  const shown = Object.values(timesShown([source("a", 8, 1.25)]));
  expect(shown.toSorted((a, b) => a - b)).toEqual([1, 1, 1, 1, 1, 1, 2, 2]);
  expect(Object.values(timesShown([source("a", 8, 0.5)]))).toEqual([1, 1, 1, 1]);
});

function order(seed: number): string[] {
  return mixDocuments([source("a", 20, 1), source("b", 20, 1)], createRandom(seed)).map(({ id }) => id);
}

test("the mixture is shuffled across sources and follows from the seed", () => {
  expect(order(1)).toEqual(order(1));
  expect(order(1)).not.toEqual(order(2));
  expect(
    order(1)
      .slice(0, 20)
      .some((id) => id.startsWith("b")),
  ).toBe(true);
});

test("weights that are no number of epochs are refused", () => {
  for (const weight of [-1, Number.NaN, Number.POSITIVE_INFINITY, 1e9]) {
    expect(() => mixDocuments([source("a", 1, weight)], createRandom(0))).toThrow(
      `the weight of a source (${weight}) is not between 0 and 1000`,
    );
  }
});
