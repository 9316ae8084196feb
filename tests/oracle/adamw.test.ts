import { describe, expect, test } from "vitest";
import { adamwStep, clipGlobalNorm } from "./adamw.ts";

const row = (...numbers: number[]): Float64Array => Float64Array.from(numbers);
const zeros = (): Float64Array => new Float64Array(2);

describe("AdamW", () => {
  test("moves every weight by the learning rate at the first step, however large its gradient", () => {
    const p = row(1, 1);
    const settings = { lr: 0.25, beta1: 0.5, beta2: 0.75, eps: 0, weightDecay: 0, t: 1 };
    adamwStep(p, row(1024, -0.5), zeros(), zeros(), settings);
    expect(p).toEqual(row(0.75, 1.25));
  });

  test("decays a weight without gradient by lr · λ of itself", () => {
    const p = row(4, -8);
    const settings = { lr: 0.5, beta1: 0.9, beta2: 0.95, eps: 1e-5, weightDecay: 0.25, t: 3 };
    adamwStep(p, zeros(), zeros(), zeros(), settings);
    expect(p).toEqual(row(3.5, -7));
  });

  test("keeps running means of the gradient and its square", () => {
    const [m, v] = [row(4, 0), row(16, 0)];
    const settings = { lr: 0, beta1: 0.5, beta2: 0.75, eps: 0.5, weightDecay: 0, t: 2 };
    adamwStep(zeros(), row(2, 8), m, v, settings);
    expect(m).toEqual(row(3, 4));
    expect(v).toEqual(row(13, 16));
  });

  test("corrects both means for having started from zero, and adds ε to the root", () => {
    // t = 2: m̂ = 3 / (1 - 1/4) = 4, v̂ = 7 / (1 - 9/16) = 16, so the step is lr · 4 / (4 + 4).
    const p = row(1, 0);
    const settings = { lr: 1, beta1: 0.5, beta2: 0.75, eps: 4, weightDecay: 0, t: 2 };
    adamwStep(p, row(2, 0), row(4, 0), row(8, 0), settings);
    expect(p[0]).toBe(0.5);
  });
});

describe("clipping the global norm", () => {
  test("scales all gradients by one factor and tells the norm before", () => {
    const gradients = { a: row(3, 0), b: row(0, 4) };
    expect(clipGlobalNorm(gradients, 2.5)).toBe(5);
    expect(gradients).toEqual({ a: row(1.5, 0), b: row(0, 2) });
  });

  test("leaves gradients at or under the limit alone", () => {
    const gradients = { a: row(3, 4) };
    expect(clipGlobalNorm(gradients, 5)).toBe(5);
    expect(gradients).toEqual({ a: row(3, 4) });
  });
});
