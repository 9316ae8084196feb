import * as fc from "fast-check";
import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openFile } from "../../src/formats/file-source.ts";
import {
  writeGguf,
  type GgufArray,
  type GgufToWrite,
  type GgufWriteValue,
} from "../../src/formats/gguf-write.ts";
import { readGguf, type GgufValue } from "../../src/formats/gguf.ts";
import { readTensorAsF32, type TensorType } from "../../src/formats/tensor-info.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { counted, empty, bytesOf, readBytes, u32, text, head, tensorEntry } from "./gguf-bytes.ts";
import { messageOf, openWorkspace } from "./workspace.ts";

/** What a value reads as: 64-bit numbers as numbers where they are exact, arrays of numbers typed. */
function asRead(value: GgufWriteValue): GgufValue {
  if (value.type === "array") return arrayAsRead(value);
  if (value.type === "float32") return Math.fround(value.value);
  if (typeof value.value === "bigint" && Number.isSafeInteger(Number(value.value)))
    return Number(value.value);
  return value.value;
}
function arrayAsRead({ items, value }: GgufArray): GgufValue {
  switch (items) {
    case "array":
      return value.map(arrayAsRead);
    case "string":
    case "bool":
      return value;
    case "uint64":
      return BigUint64Array.from(Array.from(value, BigInt));
    case "int64":
      return BigInt64Array.from(Array.from(value, BigInt));
    case "uint8":
    case "int8":
    case "uint16":
    case "int16":
    case "uint32":
    case "int32":
    case "float32":
    case "float64":
      return typedArrays[items].from(Array.from(value));
  }
}
const typedArrays = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
};

const numbers = {
  uint8: fc.nat(255),
  int8: fc.integer({ min: -128, max: 127 }),
  uint16: fc.nat(65535),
  int16: fc.integer({ min: -32768, max: 32767 }),
  uint32: fc.nat(2 ** 32 - 1),
  int32: fc.integer(),
  float32: fc.float(),
  float64: fc.double(),
  uint64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  bool: fc.boolean(),
  string: fc.string({ unit: "grapheme" }),
};
const scalar = fc.oneof(
  ...Object.entries(numbers).map(([type, value]) =>
    fc.record({ type: fc.constant(type), value: value as fc.Arbitrary<unknown> }),
  ),
) as fc.Arbitrary<GgufWriteValue>;
const flatArray = fc.oneof(
  ...Object.entries(numbers).map(([items, value]) =>
    fc.record({
      type: fc.constant("array"),
      items: fc.constant(items),
      value: fc.array(value as fc.Arbitrary<unknown>, { maxLength: 5 }),
    }),
  ),
) as fc.Arbitrary<GgufArray>;
const nested = fc.record({
  type: fc.constant("array" as const),
  items: fc.constant("array" as const),
  value: fc.array(flatArray, { maxLength: 3 }),
});
const key = fc.string({ unit: "grapheme", maxLength: 20 }).filter((name) => name !== "general.alignment");
const tensor = fc.oneof(
  fc.record({
    type: fc.constantFrom<TensorType>("f32", "f16", "bf16", "i8", "i64"),
    shape: fc.array(fc.nat(4), { maxLength: 4 }),
  }),
  fc.record({
    type: fc.constantFrom<TensorType>("q4_0", "q8_0", "iq4_nl", "mxfp4"),
    shape: fc.tuple(fc.nat(3), fc.constantFrom(0, 32, 64)),
  }),
);

describe("read(write(x)) is x", () => {
  test("for metadata of every type and tensors of any type, shape and alignment", () => {
    using workspace = openWorkspace();
    const path = workspace.file("x.gguf");
    fc.assert(
      fc.property(
        fc.dictionary(key, fc.oneof(scalar, flatArray, nested), { maxKeys: 5 }),
        fc.dictionary(fc.string({ maxLength: 20 }), tensor, { maxKeys: 5 }),
        fc.constantFrom(1, 8, 32, 64, 4096),
        (values, shapes, alignment) => {
          const metadata = new Map(Object.entries(values));
          const tensors = Object.entries(shapes).map(([name, { type, shape }]) => counted(name, type, shape));
          writeGguf(path, { metadata, tensors, alignment });
          using source = openFile(path);
          const file = readGguf(source);
          const read = new Map(file.metadata);
          if (alignment !== 32) expect(read.get("general.alignment")).toBe(alignment);
          read.delete("general.alignment");
          expect(read).toEqual(new Map([...metadata].map(([name, value]) => [name, asRead(value)])));
          expect([...file.tensors.keys()]).toEqual(Object.keys(shapes));
          for (const written of tensors) {
            const { name, type, shape } = written;
            const info = file.tensors.get(name)!;
            expect(info).toMatchObject({ type, shape });
            expect(info.offset % alignment).toBe(0);
            expect(source.read(info.offset, info.bytes)).toEqual(written.data());
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("for a vocabulary of 100 000 pieces, larger than one chunk of reading", () => {
    const pieces = Array.from({ length: 100_000 }, (_, i) =>
      i % 7 === 0 ? `▁é${i}` : `piece ${i}`.repeat(i % 3),
    );
    const scores = Float32Array.from(pieces, (_, i) => -i);
    const metadata = new Map<string, GgufWriteValue>([
      ["tokens", { type: "array", items: "string", value: pieces }],
      ["scores", { type: "array", items: "float32", value: scores }],
    ]);
    const file = readBytes(bytesOf({ metadata, tensors: [] }));
    expect(file.metadata.get("tokens")).toEqual(pieces);
    expect(file.metadata.get("scores")).toEqual(scores);
  });
});

const refused = (content: Partial<GgufToWrite>): string => messageOf(() => bytesOf({ ...empty, ...content }));

describe("a written file", () => {
  test("is, for one key and one tensor, what the specification says byte by byte", () => {
    const metadata = new Map<string, GgufWriteValue>([["a.b", { type: "uint32", value: 7 }]]);
    const expected = head(1, 1, text("a.b"), u32(4), u32(7), tensorEntry("w", [3, 2], 24, 0));
    // 24 + 11 + 8 + 9 + 4 + 16 + 4 + 8 = 84 bytes of head, padded to 96; 6 of data, padded to 32.
    expect(expected.length).toBe(84);
    const bytes = bytesOf({ metadata, tensors: [counted("w", "i8", [2, 3])] });
    expect(bytes).toEqual(
      Uint8Array.from([...expected, ...new Uint8Array(12), 0, 1, 2, 3, 4, 5, ...new Uint8Array(26)]),
    );
  });

  test("is not begun for what GGUF cannot hold", () => {
    const value = (entry: GgufWriteValue) => refused({ metadata: new Map([["k", entry]]) });
    expect(value({ type: "uint8", value: 256 })).toBe("ConfigError: k: 256 is no uint8");
    expect(value({ type: "int32", value: 0.5 })).toBe("ConfigError: k: 0.5 is no int32");
    expect(value({ type: "uint64", value: -1 })).toBe("ConfigError: k: -1 is no uint64");
    expect(value({ type: "int64", value: 2n ** 63n })).toBe(
      "ConfigError: k: 9223372036854775808 is no int64",
    );
    expect(value({ type: "array", items: "int8", value: [1, 128] })).toBe("ConfigError: k: 128 is no int8");
    const w = counted("w", "f32", [2]);
    expect(refused({ tensors: [w, w] })).toBe("ConfigError: two tensors have the name w");
    expect(refused({ tensors: [counted("w", "bool", [2])] })).toBe(
      "ConfigError: tensor w is bool, which ggml does not have",
    );
    expect(refused({ tensors: [counted("w", "f32", [1, 1, 1, 1, 1])] })).toBe(
      "ConfigError: tensor w has 1 bytes of name and 5 dims, of which ggml takes at most 63 and 4",
    );
    expect(refused({ tensors: [counted("w".repeat(64), "f32", [])] })).toContain("has 64 bytes of name");
    expect(refused({ tensors: [{ ...w, data: () => new Uint8Array(4) }] })).toBe(
      "ConfigError: tensor w gave 4 bytes, f32 [2] is 8",
    );
    expect(refused({ alignment: 48 })).toBe("ConfigError: alignment (48) is not a power of two");
  });

  test("takes its alignment from the option alone", () => {
    const metadata = new Map<string, GgufWriteValue>([["general.alignment", { type: "uint32", value: 64 }]]);
    expect(messageOf(() => bytesOf({ metadata, tensors: [] }))).toBe(
      "ConfigError: general.alignment stands among the metadata",
    );
  });
});

test("version 2 files are read, whose layout is the same", () => {
  const bytes = bytesOf({ metadata: new Map([["k", { type: "uint32", value: 1 }]]), tensors: [] });
  bytes[4] = 2;
  expect(readBytes(bytes)).toMatchObject({ version: 2, metadata: new Map([["k", 1]]) });
});

describeWithSharedData("files that llama.cpp's converter wrote", () => {
  test("a random Llama 2 has a vocabulary of 32 000 and the shapes of its configuration", () => {
    using source = openFile(sharedFile("weights/llama-2-tiny-random/llama-2-tiny-random.gguf"));
    const { version, metadata, tensors, alignment } = readGguf(source);
    expect({ version, alignment }).toEqual({ version: 3, alignment: 32 });
    expect(metadata.get("general.architecture")).toBe("llama");
    expect(metadata.get("llama.embedding_length")).toBe(8);
    expect(metadata.get("tokenizer.ggml.tokens")).toHaveLength(32_000);
    expect((metadata.get("tokenizer.ggml.tokens") as string[]).slice(0, 4)).toEqual([
      "<unk>",
      "<s>",
      "</s>",
      "<0x00>",
    ]);
    expect((metadata.get("tokenizer.ggml.scores") as Float32Array)[31_999]).toBe(-31_740);
    expect(tensors.get("token_embd.weight")).toMatchObject({ type: "f16", shape: [32_000, 8] });
    expect(tensors.get("blk.0.ffn_down.weight")).toMatchObject({ type: "f16", shape: [8, 32] });
    expect(tensors.get("output_norm.weight")).toMatchObject({ type: "f32", shape: [8] });
    expect(Math.max(...[...tensors.values()].map(({ offset, bytes }) => offset + bytes))).toBe(source.size);
    const embeddings = readTensorAsF32(source, tensors.get("token_embd.weight")!);
    expect(embeddings.every((value) => Math.abs(value) < 10)).toBe(true);
  });

  test("a vocabulary without tensors is read", () => {
    using source = openFile(sharedFile("tokenizer/llama.cpp/ggml-vocab-llama-spm.gguf"));
    const { metadata, tensors } = readGguf(source);
    expect(tensors.size).toBe(0);
    expect(metadata.get("tokenizer.ggml.add_bos_token")).toBe(true);
    expect(metadata.get("tokenizer.ggml.tokens")).toHaveLength(32_000);
  });

  test("a copy with all its tensors, written by us, has the same head and data", () => {
    using source = openFile(sharedFile("weights/llama-2-tiny-random/llama-2-tiny-random.gguf"));
    const original = readGguf(source);
    const tensors = [...original.tensors.values()].map((info) => ({
      name: info.name,
      type: info.type,
      shape: info.shape,
      data: () => source.read(info.offset, info.bytes),
    }));
    const metadata = new Map<string, GgufWriteValue>([
      [
        "tokens",
        { type: "array", items: "string", value: original.metadata.get("tokenizer.ggml.tokens") as string[] },
      ],
    ]);
    using workspace = openWorkspace();
    writeFileSync(workspace.file("copy.gguf"), "old");
    writeGguf(workspace.file("copy.gguf"), { metadata, tensors });
    using copySource = openFile(workspace.file("copy.gguf"));
    const copy = readGguf(copySource);
    expect(copy.metadata.get("tokens")).toEqual(original.metadata.get("tokenizer.ggml.tokens"));
    for (const info of original.tensors.values()) {
      const place = copy.tensors.get(info.name)!;
      const data = copySource.read(place.offset, place.bytes);
      expect(Buffer.compare(data, source.read(info.offset, info.bytes))).toBe(0);
    }
  });
});
