import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/formats/bytes.ts";
import { readTensorAsF32, tensorBytes, type TensorInfo } from "../../src/formats/tensor-info.ts";
import { messageOf } from "./workspace.ts";

const pair: TensorInfo = { name: "w", type: "f32", shape: [2], file: "file", offset: 0, bytes: 8 };
const info = (more: Partial<TensorInfo>): TensorInfo => ({ ...pair, ...more });

describe("tensorBytes", () => {
  test("counts elements of plain types and blocks of quantised ones", () => {
    expect(tensorBytes("f32", [2, 3])).toBe(24);
    expect(tensorBytes("bf16", [5])).toBe(10);
    expect(tensorBytes("q4_0", [2, 64])).toBe(2 * 2 * 18);
    expect(tensorBytes("q6_k", [3, 256])).toBe(3 * 210);
  });

  test("a scalar is one element, and a dim of 0 is no bytes however large the others", () => {
    expect(tensorBytes("f32", [])).toBe(4);
    expect(tensorBytes("f32", [2 ** 40, 2 ** 40, 0])).toBe(0);
  });

  test("is exact up to 2^53 - 1 and refuses what is larger", () => {
    expect(tensorBytes("i8", [2 ** 53 - 1])).toBe(2 ** 53 - 1);
    // 2^53 - 1 = 6361 * 69431 * 20394401
    expect(tensorBytes("i8", [6361, 69431, 20394401])).toBe(2 ** 53 - 1);
    expect(messageOf(() => tensorBytes("f16", [2 ** 26, 2 ** 26]))).toBe(
      "ConfigError: f16 [67108864, 67108864]: the tensor is larger than 2^53 bytes",
    );
    expect(messageOf(() => tensorBytes("f32", [2 ** 31, 2 ** 31, 2 ** 31, 2 ** 31]))).toContain("2^53");
  });

  test("refuses dims that are not counts and rows that are not whole blocks", () => {
    for (const dim of [-1, 0.5, Number.NaN, 2 ** 53, Infinity]) {
      expect(messageOf(() => tensorBytes("f32", [dim]))).toBe(
        `ConfigError: f32 [${dim}]: every dim must be a whole number from 0 to 2^53`,
      );
    }
    expect(messageOf(() => tensorBytes("q8_0", [32, 48]))).toBe(
      "ConfigError: q8_0 [32, 48]: rows of 48 are not whole blocks of 32",
    );
  });
});

describe("readTensorAsF32", () => {
  test("reads f32, f16 and bf16, also from where no typed array could lie", () => {
    const bytes = Uint8Array.of(7, 0, 0, 128, 63, 0, 0, 0, 192, 0, 60, 128, 191);
    const source = bytesSource("file", bytes);
    expect([...readTensorAsF32(source, info({ offset: 1 }))]).toEqual([1, -2]);
    expect([...readTensorAsF32(source, info({ type: "f16", shape: [1], offset: 9, bytes: 2 }))]).toEqual([1]);
    expect([...readTensorAsF32(source, info({ type: "bf16", shape: [1], offset: 11, bytes: 2 }))]).toEqual([
      -1,
    ]);
  });

  test("gives a copy, also when the source gives a view", () => {
    const bytes = new Uint8Array(Float32Array.of(1, 2).buffer);
    const values = readTensorAsF32(bytesSource("file", bytes), info({}));
    values[0] = 5;
    expect([...new Float32Array(bytes.buffer)]).toEqual([1, 2]);
  });

  test("reads a tensor of several chunks whole", () => {
    const expected = Float32Array.from({ length: 2 ** 20 * 2 + 3 }, (_, i) => i);
    const source = bytesSource("file", new Uint8Array(expected.buffer));
    const values = readTensorAsF32(source, info({ shape: [expected.length], bytes: expected.byteLength }));
    expect(Buffer.compare(Buffer.from(values.buffer), Buffer.from(expected.buffer))).toBe(0);
  });

  test("refuses other types, and an entry that its shape or the file contradicts", () => {
    const source = bytesSource("file", new Uint8Array(8));
    expect(messageOf(() => readTensorAsF32(source, info({ type: "q8_0", shape: [32], bytes: 34 })))).toBe(
      "ConfigError: file: tensor w is q8_0, which has no f32 reading",
    );
    expect(messageOf(() => readTensorAsF32(source, info({ shape: [3] })))).toBe(
      "FormatError: file, byte 0: tensor w has 8 bytes, its shape says 12",
    );
    expect(messageOf(() => readTensorAsF32(source, info({ offset: 4 })))).toBe(
      "FormatError: file, byte 4: tensor w ends beyond the file",
    );
  });
});
