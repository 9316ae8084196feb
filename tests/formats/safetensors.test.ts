import * as fc from "fast-check";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/formats/bytes.ts";
import { openFile } from "../../src/formats/file-source.ts";
import { readSafetensors, readSafetensorsDirectory } from "../../src/formats/safetensors.ts";
import {
  writeSafetensors,
  writeSafetensorsSharded,
  type TensorToWrite,
} from "../../src/formats/safetensors-write.ts";
import { readTensorAsF32, tensorBytes, type TensorType } from "../../src/formats/tensor-info.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { corrupt, messageOf, openWorkspace, refusal } from "./workspace.ts";

/** A file of the given header text (or of another announced length) and so many bytes of data. */
function fileOf(header: string, dataBytes: number, announced?: bigint): Uint8Array {
  const text = Buffer.from(header);
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, announced ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}
const read = (header: unknown, dataBytes: number) =>
  readSafetensors(
    bytesSource(
      "a.safetensors",
      fileOf(typeof header === "string" ? header : JSON.stringify(header), dataBytes),
    ),
  );
const f32 = (shape: readonly number[], begin: number, end: number) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});
const counted = (name: string, type: TensorType, shape: readonly number[]): TensorToWrite => ({
  name,
  type,
  shape,
  data: () => Uint8Array.from({ length: tensorBytes(type, shape) }, (_, i) => i),
});

describe("read(write(x)) is x", () => {
  const tensor = fc.record({
    type: fc.constantFrom<TensorType>("f32", "bf16", "f16", "i64", "u8", "bool", "f64"),
    shape: fc.array(fc.nat(5), { maxLength: 3 }),
  });
  const tensors = fc.dictionary(fc.string({ unit: "grapheme", maxLength: 8 }), tensor, { maxKeys: 6 });
  const metadata = fc.dictionary(fc.string(), fc.string({ unit: "grapheme" }));

  test("for tensors of any type, shape and name, with any metadata", () => {
    using workspace = openWorkspace();
    const path = workspace.file("x.safetensors");
    fc.assert(
      fc.property(tensors, metadata, (entries, texts) => {
        const written = Object.entries(entries).map(([name, { type, shape }]) => counted(name, type, shape));
        writeSafetensors(path, written, texts);
        using source = openFile(path);
        const file = readSafetensors(source);
        expect(new Map(Object.entries(file.metadata))).toEqual(new Map(Object.entries(texts)));
        expect([...file.tensors.keys()].sort()).toEqual(Object.keys(entries).sort());
        for (const tensor of written) {
          const { name, type, shape } = tensor;
          const info = file.tensors.get(name)!;
          expect(info).toMatchObject({ type, shape });
          expect(source.read(info.offset, info.bytes)).toEqual(tensor.data());
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe("a written file", () => {
  test("has its data at multiples of 64 bytes, and what is not that long behind it", () => {
    using workspace = openWorkspace();
    const path = workspace.file("x.safetensors");
    writeSafetensors(path, [
      counted("odd", "u8", [7]),
      counted("four", "f32", [1]),
      counted("whole", "f32", [4, 4]),
      counted("none", "f32", [0]),
      counted("half", "f16", [16]),
    ]);
    using source = openFile(path);
    const tensors = [...readSafetensors(source).tensors.values()];
    const start = Math.min(...tensors.map(({ offset }) => offset));
    expect(start % 64).toBe(0);
    expect(tensors.map(({ name, offset }) => [name, offset - start])).toEqual([
      ["whole", 0],
      ["none", 64],
      ["half", 64],
      ["four", 96],
      ["odd", 100],
    ]);
  });

  test("says that its tensors are PyTorch's unless told otherwise, as transformers wants it", () => {
    using workspace = openWorkspace();
    writeSafetensors(workspace.file("x"), []);
    expect(readSafetensors(bytesSource("x", workspace.bytes("x"))).metadata).toEqual({ format: "pt" });
  });

  test("asks each tensor for its data once, in the order of the file", () => {
    using workspace = openWorkspace();
    const asked: string[] = [];
    const spied = (name: string, shape: readonly number[]): TensorToWrite => ({
      ...counted(name, "u8", shape),
      data: () => {
        asked.push(name);
        return new Uint8Array(shape[0]!);
      },
    });
    writeSafetensors(workspace.file("x"), [spied("b", [3]), spied("a", [64])]);
    expect(asked).toEqual(["a", "b"]);
  });

  test("is not begun for tensors that cannot be written, and the old one stays when data is wrong", () => {
    using workspace = openWorkspace();
    const path = workspace.file("x");
    writeSafetensors(path, [counted("a", "u8", [1])]);
    const before = workspace.bytes("x");
    const a = counted("a", "u8", [2]);
    expect(messageOf(() => writeSafetensors(path, [a, a]))).toBe("ConfigError: two tensors have the name a");
    expect(messageOf(() => writeSafetensors(path, [counted("__metadata__", "u8", [2])]))).toBe(
      "ConfigError: no tensor may have the name __metadata__",
    );
    expect(messageOf(() => writeSafetensors(path, [counted("q", "q8_0", [32])]))).toBe(
      "ConfigError: tensor q is q8_0, which safetensors does not have",
    );
    expect(messageOf(() => writeSafetensors(path, [{ ...a, data: () => new Uint8Array(3) }]))).toBe(
      "ConfigError: tensor a gave 3 bytes, u8 [2] is 2",
    );
    expect(workspace.bytes("x")).toEqual(before);
    expect(readdirSync(workspace.file("."))).toEqual(["x"]);
  });
});

describe("a hostile file is refused", () => {
  test.each([
    [
      "a name twice",
      `{"a":${JSON.stringify(f32([1], 0, 4))},"a":${JSON.stringify(f32([1], 0, 4))}}`,
      4,
      'the key "a" stands twice in one object',
    ],
    ["an overlap", { a: f32([2], 0, 8), b: f32([1], 4, 8) }, 8, 'tensor "b" overlaps another'],
    ["a gap", { a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12, "4 bytes belong to no tensor"],
    ["a gap at the start", { a: f32([1], 4, 8) }, 8, "4 bytes belong to no tensor"],
    ["bytes at the end", { a: f32([1], 0, 4) }, 5, "1 bytes after the last tensor"],
    ["data past the end", { a: f32([2], 0, 8) }, 4, 'tensor "a": its data ends at byte 70, the file at 66'],
    [
      "a size that is not the shape's",
      { a: f32([2], 0, 4) },
      4,
      'tensor "a": data_offsets hold 4 bytes, F32 [2] is 8',
    ],
    [
      "an end before the begin",
      { a: f32([1], 4, 0) },
      4,
      'tensor "a": data_offsets hold -4 bytes, F32 [1] is 4',
    ],
    ["a negative dim", { a: f32([-1], 0, 4) }, 4, 'tensor "a": its shape is not a list of whole numbers'],
    [
      "a shape beyond 2^53 bytes",
      { a: f32([2 ** 31, 2 ** 31], 0, 4) },
      4,
      'tensor "a": f32 [2147483648, 2147483648]: the tensor is larger than 2^53 bytes',
    ],
    [
      "an offset beyond 2^53",
      `{"a":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551616]}}`,
      4,
      'tensor "a": its data_offsets are not two whole numbers',
    ],
    [
      "one offset",
      { a: { dtype: "F32", shape: [1], data_offsets: [0] } },
      4,
      'tensor "a": its data_offsets are not two whole numbers',
    ],
    [
      "an unknown dtype",
      { a: { dtype: "F33", shape: [1], data_offsets: [0, 4] } },
      4,
      'tensor "a": unknown dtype "F33"',
    ],
    ["no dtype", { a: { shape: [1], data_offsets: [0, 4] } }, 4, 'tensor "a": unknown dtype undefined'],
    ["an unknown key", { a: { ...f32([1], 0, 4), strides: [1] } }, 4, 'tensor "a": unknown key "strides"'],
    ["an entry that is no object", { a: 1 }, 0, 'tensor "a": its entry is not an object'],
    ["metadata of numbers", { __metadata__: { a: 1 } }, 0, "__metadata__ is not an object of texts"],
    ["a header that is a list", "[]", 0, "the header does not start with {"],
    ["a header that starts with a space", " {}", 0, "the header does not start with {"],
  ])("%s", (_, header, dataBytes, message) => {
    expect(
      messageOf(() => read(header, dataBytes)).replace(/^FormatError: a\.safetensors, byte \d+: /, ""),
    ).toBe(message);
  });

  test("a header that is not UTF-8", () => {
    const bytes = fileOf('{"a":1}', 0);
    bytes[10] = 0xff;
    expect(messageOf(() => readSafetensors(bytesSource("x", bytes)))).toBe(
      "FormatError: x, byte 8: text that is not valid UTF-8",
    );
  });

  test("a header of 2^62 bytes or of more than is there, before it is read", () => {
    for (const [announced, message] of [
      [2n ** 62n, "x, byte 0: a header of 4611686018427387904 bytes, over the limit of 100000000"],
      [2n ** 64n - 1n, "x, byte 0: a header of 18446744073709551615 bytes, over the limit of 100000000"],
      [99_999_999n, "x, byte 0: a header of 99999999 bytes, of which 2 are there"],
    ] as const) {
      const {
        message: told,
        milliseconds,
        bytes,
      } = refusal(() => readSafetensors(bytesSource("x", fileOf("{}", 0, announced))));
      expect(told).toBe(message);
      expect(milliseconds).toBeLessThan(50);
      expect(bytes).toBeLessThan(2 ** 20);
    }
  });

  test("a file cut off at any byte", () => {
    using workspace = openWorkspace();
    writeSafetensors(workspace.file("x"), [counted("a", "f32", [2, 3]), counted("b", "u8", [5])]);
    const bytes = workspace.bytes("x");
    for (let length = 0; length < bytes.length; length += 1) {
      expect(messageOf(() => readSafetensors(bytesSource("x", bytes.subarray(0, length))))).toMatch(
        /^FormatError: /,
      );
    }
  });

  test("a file with any byte changed is read or refused by a FormatError, nothing else", () => {
    using workspace = openWorkspace();
    writeSafetensors(workspace.file("x"), [counted("a", "f32", [2, 3]), counted("b", "u8", [5])]);
    expect(corrupt(workspace.bytes("x"), readSafetensors).refused).toBeGreaterThan(200);
  });
});

describe("a directory", () => {
  const tensors = [counted("a", "f32", [3]), counted("b", "f32", [3]), counted("c", "f32", [100])];

  test("of shards is read as one, from absolute paths", () => {
    using workspace = openWorkspace();
    writeSafetensorsSharded(workspace.file("."), tensors, 30);
    expect(readdirSync(workspace.file("."))).toEqual([
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
    ]);
    const { tensors: read, metadata } = readSafetensorsDirectory(workspace.file("."));
    expect(metadata).toEqual({ format: "pt" });
    expect([...read.keys()].sort()).toEqual(["a", "b", "c"]);
    const c = read.get("c")!;
    expect(c.file).toBe(workspace.file("model-00002-of-00002.safetensors"));
    using source = openFile(c.file);
    expect(source.read(c.offset, c.bytes)).toEqual(tensors[2]!.data());
  });

  test("says in its index how many bytes of data there are and where each tensor is", () => {
    using workspace = openWorkspace();
    writeSafetensorsSharded(workspace.file("."), tensors, 1e9);
    expect(JSON.parse(Buffer.from(workspace.bytes("model.safetensors.index.json")).toString())).toEqual({
      metadata: { total_size: 424 },
      weight_map: Object.fromEntries(
        ["a", "b", "c"].map((name) => [name, "model-00001-of-00001.safetensors"]),
      ),
    });
  });

  test("with model.safetensors is not written over by shards, which readers would not look at", () => {
    using workspace = openWorkspace();
    writeSafetensors(workspace.file("model.safetensors"), tensors);
    expect(readSafetensorsDirectory(workspace.file(".")).tensors.size).toBe(3);
    expect(messageOf(() => writeSafetensorsSharded(workspace.file("."), tensors, 30))).toContain(
      "already holds model.safetensors",
    );
  });

  test("whose index names a file outside of it, or no file, is refused", () => {
    using workspace = openWorkspace();
    mkdirSync(workspace.file("m"));
    for (const shard of [
      "../x.safetensors",
      "/x.safetensors",
      "a\\x.safetensors",
      "..",
      ".safetensors",
      "x\0.safetensors",
      1,
    ]) {
      writeFileSync(
        workspace.file("m/model.safetensors.index.json"),
        JSON.stringify({ weight_map: { a: shard } }),
      );
      expect(messageOf(() => readSafetensorsDirectory(workspace.file("m")))).toContain(
        `tensor "a" is mapped to ${JSON.stringify(shard)}, which is not a shard's name`,
      );
    }
    writeFileSync(workspace.file("m/model.safetensors.index.json"), "{}");
    expect(messageOf(() => readSafetensorsDirectory(workspace.file("m")))).toContain(
      "there is no weight_map",
    );
  });

  test("whose index and shards disagree is refused", () => {
    using workspace = openWorkspace();
    writeSafetensorsSharded(workspace.file("."), tensors, 30);
    const indexOf = (weightMap: Record<string, string>): void =>
      writeFileSync(
        workspace.file("model.safetensors.index.json"),
        JSON.stringify({ weight_map: weightMap }),
      );
    const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    const problem = (): string =>
      messageOf(() => readSafetensorsDirectory(workspace.file("."))).replace(/^.*index\.json: /, "");
    indexOf({ a: first, b: first, c: second, d: second });
    expect(problem()).toBe(`tensor "d" is not in ${second}`);
    indexOf({ a: first, c: second });
    expect(problem()).toBe(`tensor "b" is in ${first}, the index does not list it`);
    indexOf({ a: second, b: first, c: second });
    expect(problem()).toBe(`tensor "a" is in ${first}, the index puts it into ${second}`);
    indexOf({ a: "gone.safetensors" });
    expect(problem()).toBe(`ConfigError: ${workspace.file("gone.safetensors")} does not exist`);
  });

  test("without weights says what it has instead", () => {
    using workspace = openWorkspace();
    const place = workspace.file(".");
    expect(messageOf(() => readSafetensorsDirectory(place))).toBe(
      `ConfigError: ${place} has neither model.safetensors nor model.safetensors.index.json`,
    );
    expect(messageOf(() => readSafetensorsDirectory(`${place}/none`))).toBe(
      `ConfigError: ${place}/none does not exist`,
    );
  });
});

describeWithSharedData("stories260K in Hugging Face's layout", () => {
  test("holds 260 032 weights, and gains of the final norm between 0 and 20", () => {
    const { tensors } = readSafetensorsDirectory(sharedFile("weights/stories260K-hf"));
    expect([...tensors.values()].reduce((sum, { bytes }) => sum + bytes / 4, 0)).toBe(260_032);
    const norm = tensors.get("model.norm.weight")!;
    using source = openFile(norm.file);
    expect(readTensorAsF32(source, norm).every((gain) => gain > 0 && gain < 20)).toBe(true);
  });
});
