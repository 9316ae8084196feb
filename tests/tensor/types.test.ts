/** Element types: what is cast, how it is rounded, and what is read back. */

import { describe, expect, test } from "vitest";
import { bf16ToF32, f16ToF32 } from "../../src/formats/float16.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import type { Elements } from "../../src/tensor/dtype.ts";
import { Graph } from "../../src/tensor/graph.ts";
import { matmul, operand, transposed } from "../../src/tensor/matmul.ts";
import { rows, setRows } from "../../src/tensor/ops.ts";
import { createStorage } from "../../src/tensor/storage.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

async function computed(build: (g: Graph) => Tensor, precision: "f32" | "bf16" = "f32"): Promise<Elements> {
  using backend = openBackend({ threads: 1 });
  using g = new Graph("types", backend, { precision });
  const y = g.output(build(g));
  g.allocate();
  await g.compute();
  return y.read();
}

/** 32 numbers, the first of them given. */
function row(...first: readonly number[]): Float32Array {
  return Float32Array.from({ length: 32 }, (_, i) => first[i] ?? 0);
}

describe("in a graph of bf16", () => {
  test("operands are rounded to the nearest of 8 bits, ties to even", async () => {
    // Between 1 and 1 + 2^-7 lie no other bf16.
    const values = row(1, 1 + 2 ** -9, 1 + 2 ** -8, 1 + 3 * 2 ** -9, 1 + 3 * 2 ** -8, -(2 ** 100));
    const bits = await computed((g) => operand(g, g.constant(values, [1, 32])), "bf16");
    expect(bits).toBeInstanceOf(Uint16Array);
    const rounded = [...bf16ToF32(bits as Uint16Array)];
    expect(rounded.slice(0, 6)).toEqual([1, 1, 1, 1 + 2 ** -7, 1 + 2 ** -6, -(2 ** 100)]);
  });

  test("products of whole numbers up to 256 are exact: sums are f32", async () => {
    const [x, w] = [row(255, -128, 3), row(1, 200, 256)];
    const product = (precision: "f32" | "bf16"): Promise<Elements> =>
      computed((g) => matmul(g, g.constant(x, [1, 32]), g.constant(w, [1, 32])), precision);
    expect(await product("bf16")).toEqual(Float32Array.of(255 - 128 * 200 + 768));
    expect(await product("f32")).toEqual(await product("bf16"));
  });

  test("an inner dimension that is no multiple of 32 stays in f32", async () => {
    const x = Float32Array.of(1 + 2 ** -20, 1);
    const y = await computed((g) => matmul(g, g.constant(x, [1, 2]), g.constant(x, [1, 2])), "bf16");
    // (1 + 2^-20)² + 1, rounded to 24 bits.
    expect(y).toEqual(Float32Array.of(2 + 2 ** -19));
  });

  test("an operand that two products share is cast once", () => {
    using backend = openBackend({ threads: 1 });
    using g = new Graph("shared", backend, { precision: "bf16" });
    const w = g.input([32, 32]);
    expect(operand(g, w)).toBe(operand(g, w));
    expect(transposed(g, w)).toBe(transposed(g, w));
    expect(operand(g, w).dtype).toBe("bf16");
  });
});

test("a transpose keeps the type of 16-bit weights, bit for bit", async () => {
  const bits = Uint16Array.of(1, 2, 3, 4, 5, 6);
  for (const dtype of ["f16", "bf16"] as const) {
    const y = await computed((g) => transposed(g, g.constant(bits, [2, 3], { dtype })));
    expect(y).toEqual(Uint16Array.of(1, 4, 2, 5, 3, 6));
  }
});

test("rows of 16-bit tables come out as the f32 that they stand for", async () => {
  const bits = Uint16Array.from({ length: 64 }, (_, i) => 0x3c00 + 37 * i);
  for (const [dtype, toF32] of [
    ["f16", f16ToF32],
    ["bf16", bf16ToF32],
  ] as const) {
    const y = await computed((g) => {
      const ids = g.constant(Int32Array.of(1), [1], { dtype: "i32", limit: 2 });
      return rows(g, g.constant(bits, [2, 32], { dtype }), ids);
    });
    expect(y).toEqual(toF32(bits.subarray(32)));
  }
});

test("rows are written into f16 tables rounded, and only where the indices say", async () => {
  using backend = openBackend({ threads: 1 });
  using storage = createStorage("cache", backend, { table: { shape: [3, 2], dtype: "f16" } });
  using g = new Graph("write", backend);
  const x = g.constant(Float32Array.of(1 + 2 ** -11, 65504, 0.5, -2), [2, 2]);
  const at = g.constant(BigInt64Array.of(2n, 0n), [2], { dtype: "i64", limit: 3 });
  g.effect(setRows(g, storage.tensors.table, x, at));
  g.allocate();
  await g.compute();
  const written = [...f16ToF32(storage.tensors.table.read() as Uint16Array)];
  // 1 + 2^-11 lies midway between 1 and 1 + 2^-10.
  expect(written).toEqual([0.5, -2, 0, 0, 1, 65504]);
});

test("what is written is what is read, in every type", () => {
  using backend = openBackend({ threads: 1 });
  using storage = createStorage("all types", backend, {
    f32: { shape: [2] },
    f16: { shape: [2], dtype: "f16" },
    bf16: { shape: [2], dtype: "bf16" },
    i32: { shape: [2], dtype: "i32" },
    i64: { shape: [2], dtype: "i64" },
  });
  const { f32, f16, bf16, i32, i64 } = storage.tensors;
  const values: readonly [Tensor, Elements][] = [
    [f32, Float32Array.of(Math.fround(0.1), Number.NaN)],
    [f16, Uint16Array.of(0, 0xffff)],
    [bf16, Uint16Array.of(0x8000, 1)],
    [i32, Int32Array.of(-(2 ** 31), 2 ** 31 - 1)],
    [i64, BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
  ];
  for (const [tensor, elements] of values) {
    tensor.write(elements);
    expect(tensor.read()).toEqual(elements);
    tensor.clear();
    expect(Array.from(tensor.read(), Number)).toEqual([0, 0]);
  }
  expect(() => f16.readF32()).toThrow("a tensor of f16 was read as f32");
});
