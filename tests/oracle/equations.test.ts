import { describe, expect, test } from "vitest";
import { attention, attentionBackward, attentionWeights } from "./attention.ts";
import {
  crossEntropy,
  crossEntropyBackward,
  embeddingBackward,
  matmul,
  negativeLogLikelihood,
  rmsNorm,
  rmsNormBackward,
  rope,
  ropeFrequency,
  silu,
  siluBackward,
  softmax,
  softmaxBackward,
  swiglu,
} from "./equations.ts";
import { normals, randomArray } from "./random.ts";

const row = (...numbers: number[]): Float64Array => Float64Array.from(numbers);
const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const random = (length: number, seed: number): Float64Array => randomArray(length, normals(seed));
/** One head of width 8 at a position. */
const turned = (x: Float64Array, position: number): Float64Array =>
  rope(x, { positions: [position], headDim: 8, base: 10_000 });

test("matmul multiplies rows of x by rows of w", () => {
  // x is 1x2; w is 3x2.
  expect(matmul(row(2, 3), row(1, 0, 0, 1, 4, 5), 2)).toEqual(row(2, 3, 23));
});

describe("RMSNorm", () => {
  test("brings a row's root mean square to 1 before the gain", () => {
    expect(rmsNorm(row(2, -2, 4, 4), row(3, 5), 0)).toEqual(row(3, -5, 3, 5));
  });

  test("adds ε to the mean square: with mean square 1 and ε = 3 the row is halved", () => {
    expect(rmsNorm(row(1, -1), row(1, 1), 3)).toEqual(row(0.5, -0.5));
  });

  test("has a gradient orthogonal to x when ε = 0 and the gain is 1: x's length carries none", () => {
    const [x, dy] = [random(8, 1), random(8, 2)];
    const [dx] = rmsNormBackward(x, new Float64Array(8).fill(1), 0, dy);
    expect(dot(dx, x)).toBeCloseTo(0, 14);
  });
});

describe("SiLU and SwiGLU", () => {
  test("SiLU is 0 at 0 with slope a half", () => {
    expect(silu(row(0))).toEqual(row(0));
    expect(siluBackward(row(0), row(1))).toEqual(row(0.5));
  });

  test("SiLU is x far to the right and 0 far to the left", () => {
    expect(silu(row(800, -800))).toEqual(row(800, -0));
  });

  test("a closed gate lets nothing through", () => {
    expect(swiglu(row(0), row(7))).toEqual(row(0));
  });
});

describe("softmax", () => {
  test("shares equally between equal scores", () => {
    expect(softmax(row(5, 5, -3, -3), [0, 0], 1, 2)).toEqual(row(0.5, 0.5, 0.5, 0.5));
  });

  test("with scale 0 all that is seen is equal", () => {
    expect(softmax(row(9, 1, 4, 7), [0], 0, 4)).toEqual(row(0.25, 0.25, 0.25, 0.25));
  });

  test("gives what is masked nothing, and no gradient", () => {
    const y = softmax(row(1, 1, 9), [0, 0, -Infinity], 1, 3);
    expect(y).toEqual(row(0.5, 0.5, 0));
    expect(softmaxBackward(y, row(1, 0, 5), 1, 3)).toEqual(row(0.25, -0.25, 0));
  });

  test("does not overflow", () => {
    expect(softmax(row(1e4, 1e4), [0], 1, 2)).toEqual(row(0.5, 0.5));
  });
});

describe("RoPE", () => {
  test("has Llama's frequencies: 1, 0.866, 0.01, 1.15e-4 for pairs 0, 1, 32, 63 of 64", () => {
    expect(ropeFrequency(0, 128, 10_000)).toBe(1);
    expect(ropeFrequency(1, 128, 10_000)).toBeCloseTo(0.86596432, 8);
    expect(ropeFrequency(32, 128, 10_000)).toBe(0.01);
    expect(ropeFrequency(63, 128, 10_000)).toBeCloseTo(1.15478e-4, 9);
  });

  test("leaves position 0 alone", () => {
    expect(rope(row(1, 2, 3, 4), { positions: [0], headDim: 4, base: 10_000 })).toEqual(row(1, 2, 3, 4));
  });

  test("turns neighbouring elements, each head alike: the first pair by the position itself, in radians", () => {
    const y = rope(row(1, 0, 0, 1), { positions: [2], headDim: 2, base: 10_000 });
    expect(y).toEqual(row(Math.cos(2), Math.sin(2), -Math.sin(2), Math.cos(2)));
  });

  test("makes q · k depend on the distance alone", () => {
    const [q, k] = [random(8, 3), random(8, 4)];
    expect(dot(turned(q, 105), turned(k, 102))).toBeCloseTo(dot(turned(q, 3), turned(k, 0)), 12);
  });
});

describe("attention", () => {
  test("of one token is the token's value, and q and k get no gradient", () => {
    const heads = { nHeads: 1, nKvHeads: 1, headDim: 2 };
    const inputs = { q: row(1, 2), k: row(3, 4), v: row(5, 6) };
    expect(attention(inputs, heads)).toEqual(row(5, 6));
    expect(attentionBackward(inputs, heads, row(1, -1))).toEqual({
      q: row(0, 0),
      k: row(0, 0),
      v: row(1, -1),
    });
  });

  test("divides scores by the root of the head's width", () => {
    // 4 equal elements: q·k = 4 ln 3 / 2, over √4 is ln 3: odds of 3 to 1.
    const half = Math.log(3) / 2;
    const q = row(0, 0, 0, 0, half, half, half, half);
    const k = row(0, 0, 0, 0, 1, 1, 1, 1);
    const p = attentionWeights({ q, k, v: k }, { nHeads: 1, nKvHeads: 1, headDim: 4 });
    expect(p.slice(0, 2)).toEqual(row(1, 0));
    expect(p[2]).toBeCloseTo(0.25, 15);
    expect(p[3]).toBeCloseTo(0.75, 15);
  });

  test("of four heads over two groups: heads 0 and 1 read group 0, heads 2 and 3 group 1", () => {
    const heads = { nHeads: 4, nKvHeads: 2, headDim: 2 };
    const y = attention({ q: random(8, 1), k: random(4, 2), v: row(1, 2, 3, 4) }, heads);
    expect(y).toEqual(row(1, 2, 1, 2, 3, 4, 3, 4));
  });

  test("never looks ahead: later keys and values do not change earlier rows", () => {
    const heads = { nHeads: 2, nKvHeads: 1, headDim: 2 };
    const inputs = { q: random(12, 1), k: random(6, 2), v: random(6, 3) };
    const changed = { q: inputs.q, k: inputs.k.with(5, 9), v: inputs.v.with(4, 9) };
    const [before, after] = [attention(inputs, heads), attention(changed, heads)];
    expect(after.slice(0, 8)).toEqual(before.slice(0, 8));
    expect(after.slice(8)).not.toEqual(before.slice(8));
  });
});

describe("cross-entropy", () => {
  test("of equal logits is the log of their number", () => {
    expect(negativeLogLikelihood(row(3, 3, 3, 3), [2])[0]).toBeCloseTo(Math.log(4), 15);
  });

  test("neither overflows nor underflows: 2000 nats are 2000 nats", () => {
    expect(negativeLogLikelihood(row(1000, -1000), [1])).toEqual(row(2000));
  });

  test("has the gradient p - 1 at the target and p elsewhere, times the weight", () => {
    expect(crossEntropyBackward(row(0, 0), { targets: [0], weights: [2] })).toEqual(row(-1, 1));
  });

  test("does not see a row of weight 0, even one without a target", () => {
    const wanted = { targets: [1, -1], weights: [1, 0] };
    expect(crossEntropy(row(0, 0, 5, 9), wanted)).toBeCloseTo(Math.LN2, 15);
    expect(crossEntropyBackward(row(0, 0, 5, 9), wanted)).toEqual(row(0.5, -0.5, 0, 0));
  });
});

test("a row of the embedding that was read twice receives both gradients, one never read none", () => {
  expect(embeddingBackward(new Float64Array(6), [2, 0, 2], row(1, 2, 3, 4, 5, 6))).toEqual(
    row(3, 4, 0, 0, 6, 8),
  );
});
