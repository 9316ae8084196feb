import { expect, test } from "vitest";
import { maxRelativeError, numericalGradient } from "../gradient/numerical.ts";

test("differences of fourth order are exact on a quartic, to rounding", () => {
  // L = x⁴ + 2y: dL = (4x³, 2).
  const gradient = numericalGradient((theta) => theta[0]! ** 4 + 2 * theta[1]!, Float64Array.of(2, 5), 0.25);
  expect(gradient[0]).toBeCloseTo(32, 12);
  expect(gradient[1]).toBeCloseTo(2, 12);
});

test("differences leave theta as it was", () => {
  const theta = Float64Array.of(1, 2);
  numericalGradient((x) => x[0]! * x[1]!, theta);
  expect(theta).toEqual(Float64Array.of(1, 2));
});

test("the relative error is the largest difference over the largest reference", () => {
  expect(maxRelativeError([1, 4], [2, 8])).toBe(0.5);
  expect(maxRelativeError([0.5, 8], [0, 8])).toBe(0.0625);
  expect(maxRelativeError([0, 0], [0, 0])).toBe(0);
});

test("the relative error of anything against zeros is infinite, and of a NaN a NaN: no bound holds", () => {
  expect(maxRelativeError([1], [0])).toBe(Infinity);
  expect(maxRelativeError([NaN, 1], [1, 1])).toBeNaN();
  expect(maxRelativeError([1, 1], [1, NaN])).toBeNaN();
});

test("arrays of different lengths cannot be compared", () => {
  expect(() => maxRelativeError([1], [1, 2])).toThrow("1 elements against 2");
});
