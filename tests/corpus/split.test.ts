import * as fc from "fast-check";
import { expect, test } from "vitest";
import { splitDocuments } from "../../src/corpus/split.ts";

function documents(n: number) {
  return Array.from({ length: n }, (_, i) => ({ id: String(i), text: `document ${i}` }));
}

test("each document is on one side, in its order, and both sides have one if there are two", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 60 }),
      fc.double({ min: 0.001, max: 0.999, noNaN: true }),
      fc.integer(),
      (n, validationFraction, seed) => {
        const all = documents(n);
        const { train, validation } = splitDocuments(all, { validationFraction, seed });
        expect(train.length).toBeGreaterThan(0);
        expect(validation.length).toBeGreaterThan(0);
        const isHeldOut = new Set(validation);
        expect(train).toEqual(all.filter((document) => !isHeldOut.has(document)));
      },
    ),
  );
});

test("2 000 documents split as the fraction says, within five standard deviations", () => {
  const { validation } = splitDocuments(documents(2000), { validationFraction: 0.1, seed: 0 });
  expect(Math.abs(validation.length - 200)).toBeLessThan(5 * Math.sqrt(2000 * 0.1 * 0.9));
});

test("a document's side does not depend on the others, nor on its id", () => {
  const options = { validationFraction: 0.2, seed: 3 };
  const few = splitDocuments(documents(200), options).validation.map(({ text }) => text);
  const more = splitDocuments(documents(400).toReversed(), options).validation.map(({ text }) => text);
  expect(more.filter((text) => Number(text.split(" ")[1]) < 200).toSorted()).toEqual(few.toSorted());
});

function heldOut(seed: number) {
  return splitDocuments(documents(100), { validationFraction: 0.2, seed }).validation;
}

test("another seed holds out other documents", () => {
  expect(heldOut(1)).toEqual(heldOut(1));
  expect(heldOut(1)).not.toEqual(heldOut(2));
});

test("a fraction of zero holds nothing out, and a single document is trained on", () => {
  expect(splitDocuments(documents(5), { validationFraction: 0, seed: 0 }).validation).toEqual([]);
  expect(splitDocuments(documents(1), { validationFraction: 0, seed: 0 }).train).toHaveLength(1);
});

test("a fraction outside of [0, 1) is refused", () => {
  for (const validationFraction of [-0.1, 1, Number.NaN]) {
    expect(() => splitDocuments([], { validationFraction, seed: 0 })).toThrow(
      `validation_fraction (${validationFraction}) is not in [0, 1)`,
    );
  }
});
