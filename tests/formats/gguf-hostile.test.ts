/** Files that are none are refused, fast and in little memory. */

import { closeSync, openSync, truncateSync, writeSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openFile } from "../../src/formats/file-source.ts";
import type { GgufWriteValue } from "../../src/formats/gguf-write.ts";
import { readGguf } from "../../src/formats/gguf.ts";
import { counted, bytesOf, readBytes, u32, u64, text, head, tensorEntry, problem } from "./gguf-bytes.ts";
import { corrupt, openWorkspace, refusal } from "./workspace.ts";

describe("a hostile file is refused", () => {
  const array = (type: number, count: number | bigint, ...rest: Buffer[]) =>
    head(0, 1, text("k"), u32(9), u32(type), u64(count), ...rest);

  test.each([
    [
      "no magic number",
      Uint8Array.from(Buffer.from("GGML....")),
      "byte 0: not a GGUF file: it does not start with GGUF",
    ],
    [
      "version 1",
      Uint8Array.from(Buffer.concat([Buffer.from("GGUF"), u32(1)])),
      "byte 4: GGUF version 1, not 2 or 3",
    ],
    [
      "big-endian numbers",
      Uint8Array.from([...Buffer.from("GGUF"), 0, 0, 0, 3]),
      "byte 4: a big-endian GGUF file",
    ],
    ["2^63 tensors", head(2n ** 63n, 0), "byte 8: the number of tensors: 9223372036854775808 is beyond 2^53"],
    [
      "a billion tensors",
      head(1e9, 0),
      "byte 24: 1000000000 tensors: 1000000000 x 24 bytes are announced, 0 are left",
    ],
    [
      "a billion keys",
      head(0, 1e9),
      "byte 24: 1000000000 keys: 1000000000 x 13 bytes are announced, 0 are left",
    ],
    [
      "a key longer than the file",
      head(0, 1, u64(1e9), u64(0)),
      "byte 32: a key: 1000000000 bytes are announced, 8 are left",
    ],
    [
      "a key of 2^64 - 1 bytes",
      head(0, 1, u64(2n ** 64n - 1n), u64(0)),
      "byte 24: a key: 18446744073709551615 is beyond 2^53",
    ],
    [
      "a key twice",
      head(0, 2, text("k"), u32(0), Buffer.of(1), text("k"), u32(0), Buffer.of(1)),
      'byte 38: the key "k" stands twice',
    ],
    [
      "a key that is not UTF-8",
      head(0, 1, u64(1), Buffer.of(0xff), u32(0), Buffer.of(0)),
      "byte 32: text that is not valid UTF-8",
    ],
    ["an unknown value type", head(0, 1, text("k"), u32(13), u32(0)), 'byte 33: "k": unknown value type 13'],
    ["an unknown array type", array(13, 0), 'byte 37: "k": unknown array type 13'],
    ["a boolean of 2", head(0, 1, text("k"), u32(7), Buffer.of(2)), "byte 37: a boolean of 2, not 0 or 1"],
    [
      "an alignment of 48",
      head(0, 1, text("general.alignment"), u32(4), u32(48)),
      "byte 57: general.alignment (48) is not a power of two",
    ],
    [
      "an alignment of 0",
      head(0, 1, text("general.alignment"), u32(4), u32(0)),
      "byte 57: general.alignment (0) is not a power of two",
    ],
    [
      "five dims",
      head(1, 0, tensorEntry("w", [1, 1, 1, 1, 1], 0, 0)),
      'byte 24: tensor "w": 5 dims, of which ggml has at most 4',
    ],
    [
      "an unknown tensor type",
      head(1, 0, tensorEntry("w", [1], 4, 0)),
      'byte 24: tensor "w": unknown type 4',
    ],
    [
      "a dim of 2^63",
      head(1, 0, tensorEntry("w", [2n ** 63n], 0, 0)),
      'byte 37: tensor "w": 9223372036854775808 is beyond 2^53',
    ],
    [
      "a size beyond 2^53",
      head(1, 0, tensorEntry("w", [2 ** 40, 2 ** 40], 0, 0)),
      'byte 24: tensor "w": f32 [1099511627776, 1099511627776]: the tensor is larger than 2^53 bytes',
    ],
    [
      "rows of part blocks",
      head(1, 0, tensorEntry("w", [31], 2, 0)),
      'byte 24: tensor "w": q4_0 [31]: rows of 31 are not whole blocks of 32',
    ],
    [
      "an offset that is not aligned",
      head(1, 0, tensorEntry("w", [1], 24, 1)),
      'byte 24: tensor "w": its data offset (1) is not a multiple of the alignment (32)',
    ],
    [
      "an offset past the end",
      head(1, 0, tensorEntry("w", [1], 24, 2 ** 52)),
      'byte 24: tensor "w" ends at byte 4503599627370561, the file at 57',
    ],
    [
      "a tensor longer than the file",
      head(1, 0, tensorEntry("w", [8], 24, 0), Buffer.alloc(14)),
      'byte 24: tensor "w" ends at byte 72, the file at 71',
    ],
    [
      "a tensor's name twice",
      head(2, 0, tensorEntry("w", [1], 24, 0), tensorEntry("w", [1], 24, 0), Buffer.alloc(64)),
      'byte 57: two tensors have the name "w"',
    ],
    [
      "an overlap",
      head(2, 0, tensorEntry("a", [33], 24, 0), tensorEntry("b", [1], 24, 32), Buffer.alloc(128)),
      'byte 128: tensor "b" overlaps another',
    ],
  ])("with %s", (_, bytes, message) => {
    expect(problem(bytes)).toBe(message);
  });

  test.each([
    ["numbers", 6, "1000000000 x 4 bytes"],
    ["booleans", 7, "1000000000 bytes"],
    ["texts", 8, "1000000000 x 8 bytes"],
    ["arrays", 9, "1000000000 x 12 bytes"],
  ])("with an array of a billion %s, at once and in little memory", (_, type, announced) => {
    const bytes = array(type, 1e9, Buffer.alloc(64));
    const { message, milliseconds, bytes: held } = refusal(() => readBytes(bytes));
    expect(message).toBe(`x.gguf, byte 49: "k": ${announced} are announced, 64 are left`);
    expect(milliseconds).toBeLessThan(50);
    expect(held).toBeLessThan(2 ** 20);
  });

  test("with a billion array elements that are there, in a sparse file of 8 GB, at once", () => {
    using workspace = openWorkspace();
    const path = workspace.file("sparse.gguf");
    const fd = openSync(path, "w");
    writeSync(fd, array(8, 1e9));
    closeSync(fd);
    truncateSync(path, 8.1e9);
    using source = openFile(path);
    const { message, milliseconds, bytes } = refusal(() => readGguf(source));
    expect(message).toContain('"k": 1000000000 x 8 bytes are announced, 67108815 are left');
    expect(milliseconds).toBeLessThan(50);
    expect(bytes).toBeLessThan(2 ** 20);
  });

  test("with more array items than any vocabulary has, though each is one byte", () => {
    const bytes = array(7, 2 ** 24 + 1, Buffer.alloc(2 ** 24 + 1));
    expect(problem(bytes)).toBe('byte 37: "k": more than 16777216 array items in one file');
  });

  test("with arrays nested without end, before the stack is", () => {
    const level = Buffer.concat([u32(9), u64(1)]);
    const deep = Buffer.concat(Array.from({ length: 100_000 }, () => level));
    expect(problem(head(0, 1, text("k"), u32(9), deep))).toBe(
      'byte 85: "k": arrays are nested deeper than 4',
    );
  });

  const metadata = new Map<string, GgufWriteValue>([
    ["general.architecture", { type: "string", value: "llama" }],
    ["tokens", { type: "array", items: "string", value: ["a", "é", ""] }],
    ["flags", { type: "array", items: "bool", value: [true] }],
    ["nested", { type: "array", items: "array", value: [{ type: "array", items: "int16", value: [1, 2] }] }],
    ["size", { type: "uint64", value: 3 }],
  ]);
  const small = bytesOf({ metadata, tensors: [counted("a", "f32", [2, 3]), counted("b", "q8_0", [32])] });

  test("when it is cut off at any byte", () => {
    // The last 30 bytes pad the 34 of tensor b to 64: nobody misses them.
    for (let length = 0; length < small.length - 30; length += 1) {
      expect(problem(small.subarray(0, length))).toMatch(/^byte \d+: /);
    }
    expect(readBytes(small.subarray(0, -30)).tensors.size).toBe(2);
  });

  test("or read, and nothing else happens, when any byte is changed", () => {
    expect(corrupt(small, readGguf).refused).toBeGreaterThan(200);
  });
});

test("a name in a message is escaped and cut off", () => {
  const key = "\u001b[2J".padEnd(10_000, "x");
  expect(problem(head(0, 1, text(key), u32(13), u32(0)))).toBe(
    `byte 10032: "\\u001b[2J${"x".repeat(110)}...: unknown value type 13`,
  );
});
