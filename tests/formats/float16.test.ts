import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../src/formats/float16.ts";

const f32OfBits = (...bits: number[]): Float32Array => new Float32Array(Uint32Array.from(bits).buffer);
const bf16 = (...x: number[]): number[] => [...f32ToBf16(Float32Array.from(x))];
const f16 = (...x: number[]): number[] => [...f32ToF16(Float32Array.from(x))];
const everyHalf = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);
const isNanHalf = (half: number, infinity: number): boolean => (half & 0x7fff) > infinity;

describe("bf16", () => {
  test("is the upper half of an f32", () => {
    expect(bf16(1, -2, 0, -0, Infinity)).toEqual([0x3f80, 0xc000, 0, 0x8000, 0x7f80]);
  });

  test("rounds to nearest, and ties to the even neighbour", () => {
    // 1 is 0x3f80; the next bf16 is 1 + 2^-7.
    expect(bf16(1 + 2 ** -9)).toEqual([0x3f80]);
    expect(bf16(1 + 2 ** -8)).toEqual([0x3f80]);
    expect(bf16(1 + 3 * 2 ** -8)).toEqual([0x3f82]);
    expect(bf16(1 + 2 ** -8 + 2 ** -20)).toEqual([0x3f81]);
  });

  test("of the largest f32 is infinite", () => {
    expect([...f32ToBf16(f32OfBits(0x7f7f_ffff, 0xff7f_ffff))]).toEqual([0x7f80, 0xff80]);
  });

  test("of a NaN whose bits are all in the lost half is a NaN of its sign", () => {
    expect([...f32ToBf16(f32OfBits(0x7f80_0001, 0xff80_0001))]).toEqual([0x7fc0, 0xffc0]);
  });

  test("goes to f32 and back unchanged, for all 65536 values; signalling NaNs become quiet", () => {
    const back = f32ToBf16(bf16ToF32(everyHalf));
    expect([...back]).toEqual([...everyHalf].map((half) => (isNanHalf(half, 0x7f80) ? half | 0x40 : half)));
  });
});

describe("f16", () => {
  test("has 10 bits of fraction and 5 of exponent", () => {
    expect(f16(1, -2, 0, -0, 65504, Infinity, -Infinity)).toEqual([
      0x3c00, 0xc000, 0, 0x8000, 0x7bff, 0x7c00, 0xfc00,
    ]);
  });

  test("rounds to nearest, and ties to the even neighbour", () => {
    // The f16 after 1 is 1 + 2^-10.
    expect(f16(1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -11 + 2 ** -20)).toEqual([0x3c00, 0x3c02, 0x3c01]);
  });

  test("is infinite from halfway between its largest value and 65536 on", () => {
    expect(f16(65519.996, 65520, -65520, 65536, 1e30)).toEqual([0x7bff, 0x7c00, 0xfc00, 0x7c00, 0x7c00]);
  });

  test("keeps subnormals, whole multiples of 2^-24", () => {
    expect(f16(2 ** -24, 3 * 2 ** -24, 2 ** -14 - 2 ** -24, -(2 ** -24))).toEqual([1, 3, 0x3ff, 0x8001]);
    expect(f16(2 ** -25, 2 ** -25 + 2 ** -40, 3 * 2 ** -25, 2 ** -149)).toEqual([0, 1, 2, 0]);
    // Rounds up into the smallest normal number.
    expect(f16(2 ** -14 - 2 ** -26)).toEqual([0x400]);
  });

  test("goes to f32 and back unchanged, for all 65536 values; signalling NaNs become quiet", () => {
    const back = f32ToF16(f16ToF32(everyHalf));
    expect([...back]).toEqual([...everyHalf].map((half) => (isNanHalf(half, 0x7c00) ? half | 0x200 : half)));
  });

  test("is the nearest of all f16 values to any f32", () => {
    const finite = [...f16ToF32(everyHalf)].filter((value) => Number.isFinite(value));
    fc.assert(
      fc.property(fc.float({ noNaN: true, min: -65504, max: 65504 }), (x) => {
        const rounded = f16ToF32(f32ToF16(Float32Array.of(x)))[0]!;
        const nearest = Math.min(...finite.map((value) => Math.abs(value - x)));
        return Math.abs(rounded - x) === nearest;
      }),
      { numRuns: 50 },
    );
  });
});

test("a result can be put into a part of a larger array", () => {
  const out = Float32Array.of(9, 9, 9, 9);
  bf16ToF32(Uint16Array.of(0x3f80), out.subarray(1, 2));
  f16ToF32(Uint16Array.of(0xc000), out.subarray(2, 3));
  expect([...out]).toEqual([9, 1, -2, 9]);
});
