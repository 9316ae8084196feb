import { describe, expect, test } from "vitest";
import { advantages, whiten } from "../../src/ppo/advantages.ts";

const row = (...numbers: number[]): Float64Array => Float64Array.from(numbers);

describe("generalised advantage estimation", () => {
  test("with λ = 1 and γ = 1 the advantage is the return minus the value", () => {
    // Returns: 0 + 0 + 1 = 1 at every token; values 0.25, 0.5, 0.75.
    expect(advantages(row(0, 0, 1), row(0.25, 0.5, 0.75), 1, 1)).toEqual(row(0.75, 0.5, 0.25));
  });

  test("with λ = 0 it is the one-step error of the value", () => {
    expect(advantages(row(0, 0, 1), row(0.25, 0.5, 0.75), 1, 0)).toEqual(row(0.25, 0.25, 0.25));
  });

  test("with γ = 0 only the token's own reward counts, whatever λ", () => {
    expect(advantages(row(1, 2, 3), row(0.5, 0.5, 0.5), 0, 0.95)).toEqual(row(0.5, 1.5, 2.5));
  });

  test("in between, errors further on count γλ each token: by hand with γ = 1/2, λ = 1/2", () => {
    // δ₂ = 4 - 2 = 2; δ₁ = 0 + 1 - 4 = -3; δ₀ = 1 + 2 - 1 = 2. A₁ = -3 + 2/4 = -2.5; A₀ = 2 - 2.5/4 = 1.375.
    expect(advantages(row(1, 0, 4), row(1, 4, 2), 0.5, 0.5)).toEqual(row(1.375, -2.5, 2));
  });

  test("an answer of one token has its reward less its value", () => {
    for (const lambda of [0, 0.95, 1]) expect(advantages(row(2), row(0.5), 1, lambda)).toEqual(row(1.5));
  });

  test("no token, no advantage", () => {
    expect(advantages([], [], 1, 0.95)).toEqual(row());
  });
});

describe("whitening", () => {
  test("takes mean and deviation over all rows together", () => {
    const { rows, mean, std } = whiten([row(1, 3), row(5), row(7)]);
    expect([mean, std]).toEqual([4, Math.sqrt(5)]);
    const flat = rows.flatMap((one) => [...one]);
    for (const [i, x] of [-3, -1, 1, 3].entries()) expect(flat[i]).toBeCloseTo(x / Math.sqrt(5), 8);
    expect(rows.map(({ length }) => length)).toEqual([2, 1, 1]);
  });

  test("what is all the same becomes 0", () => {
    expect(whiten([row(3, 3), row(3)])).toEqual({ rows: [row(0, 0), row(0)], mean: 3, std: 0 });
  });
});
