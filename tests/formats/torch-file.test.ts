import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/formats/bytes.ts";
import { openFile } from "../../src/formats/file-source.ts";
import { readTensorAsF32, type TensorInfo } from "../../src/formats/tensor-info.ts";
import { readTorchFile } from "../../src/formats/torch-file.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { op, pickleBytes, tensorOps, torchBytes, zipBytes, type StoredTensor } from "./torch-writer.ts";
import { corrupt, messageOf, refusal } from "./workspace.ts";

const fixturePath = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/torch/${name}`, import.meta.url));
const fixture = (name: string): Uint8Array => new Uint8Array(readFileSync(fixturePath(name)));

/** The tensors of a file as [type, shape, bytes] by name. */
function tensorsOf(bytes: Uint8Array): Record<string, readonly [string, readonly number[], Uint8Array]> {
  const source = bytesSource("m.pth", bytes);
  return Object.fromEntries(
    [...readTorchFile(source).values()].map((info) => [
      info.name,
      [info.type, info.shape, source.read(info.offset, info.bytes)],
    ]),
  );
}
function floatsOf(bytes: Uint8Array, name: string): number[] {
  const source = bytesSource("m.pth", bytes);
  return [...readTensorAsF32(source, readTorchFile(source).get(name)!)];
}
const bytesOf = (array: { readonly buffer: ArrayBufferLike }): Uint8Array => new Uint8Array(array.buffer);
const fourFloats = bytesOf(Float32Array.of(1, 2, 3, 4));
const square = { storage: "0", type: "Float", elements: 4, shape: [2, 2] } as const;
/** A file of one tensor "a" over the storage "0" of four floats. */
const fileOf = (tensor: StoredTensor, ...more: readonly Uint8Array[]): Uint8Array =>
  torchBytes(pickleBytes(op.dict([[op.text("a"), tensorOps(tensor, ...more)]])), { "0": fourFloats });
const problem = (bytes: Uint8Array): string => messageOf(() => readTorchFile(bytesSource("m.pth", bytes)));

describe("a file that PyTorch wrote", () => {
  test("gives tensors of every type, with the bytes that PyTorch saved", () => {
    const counted = [-2, -1, 0, 1, 2, 3];
    const { scalar, empty, parameter, ...types } = tensorsOf(fixture("types.pth"));
    expect(types).toEqual({
      float32: ["f32", [2, 3], bytesOf(Float32Array.from(counted))],
      float16: ["f16", [2, 3], bytesOf(Uint16Array.of(0xc000, 0xbc00, 0, 0x3c00, 0x4000, 0x4200))],
      bfloat16: ["bf16", [2, 3], bytesOf(Uint16Array.of(0xc000, 0xbf80, 0, 0x3f80, 0x4000, 0x4040))],
      float64: ["f64", [2, 3], bytesOf(Float64Array.from(counted))],
      int64: ["i64", [2, 3], bytesOf(BigInt64Array.from(counted.map(BigInt)))],
      int32: ["i32", [2, 3], bytesOf(Int32Array.from(counted))],
      int16: ["i16", [2, 3], bytesOf(Int16Array.from(counted))],
      int8: ["i8", [2, 3], bytesOf(Int8Array.from(counted))],
      uint8: ["u8", [2, 3], Uint8Array.of(254, 255, 0, 1, 2, 3)],
      bool: ["bool", [2, 3], Uint8Array.of(1, 1, 0, 1, 1, 1)],
    });
    expect(scalar).toEqual(["f32", [], bytesOf(Float32Array.of(7))]);
    expect(empty).toEqual(["f32", [0, 3], new Uint8Array(0)]);
    expect(parameter).toEqual(["f32", [2], bytesOf(Float32Array.of(-2, -1))]);
  });

  test("gives f16 and bf16 tensors as f32 too", () => {
    for (const name of ["float32", "float16", "bfloat16"]) {
      expect(floatsOf(fixture("types.pth"), name)).toEqual([-2, -1, 0, 1, 2, 3]);
    }
  });

  test.each(["views.pth", "zip64.pth"])("gives views into one storage their own places: %s", (name) => {
    const infos = readTorchFile(bytesSource("m.pth", fixture(name)));
    const [whole, rows, tied] = ["whole", "rows", "tied"].map((key) => infos.get(key)!) as [
      TensorInfo,
      TensorInfo,
      TensorInfo,
    ];
    expect(rows).toEqual({ ...whole, name: "rows", shape: [2, 2], offset: whole.offset + 16, bytes: 16 });
    expect(tied).toEqual({ ...whole, name: "tied" });
    expect(floatsOf(fixture(name), "whole")).toEqual([-2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(floatsOf(fixture(name), "rows")).toEqual([2, 3, 4, 5]);
  });

  test("may be of a later pickle protocol", () => {
    expect(floatsOf(fixture("protocol4.pth"), "weight")).toEqual([-2, -1, 0, 1]);
  });

  test("may keep its model beside an optimizer's tensors, which are no weights", () => {
    expect(tensorsOf(fixture("nested.pth"))).toEqual({
      weight: ["f32", [1, 2], bytesOf(Float32Array.of(-2, -1))],
      bias: ["f32", [1], bytesOf(Float32Array.of(-2))],
    });
  });

  test("is called as the caller likes, in its tensors and in its errors", () => {
    const read = (bytes: Uint8Array) => readTorchFile(bytesSource("m.pth", bytes), "/models/m.pth");
    expect(read(fixture("views.pth")).get("rows")!.file).toBe("/models/m.pth");
    expect(messageOf(() => read(fixture("views.pth").subarray(0, -1)))).toMatch(
      /^FormatError: \/models\/m\.pth, /,
    );
  });

  test("before PyTorch 1.6 is refused with the way to convert it", () => {
    expect(problem(fixture("legacy.pth"))).toMatchInlineSnapshot(
      `"FormatError: m.pth, byte 0: a PyTorch file of the kind from before 1.6, which only Python can read"`,
    );
    try {
      readTorchFile(bytesSource("m.pth", fixture("legacy.pth")));
    } catch (error) {
      expect((error as { mend: string }).mend).toMatchInlineSnapshot(
        `"Where you trust it: torch.save(torch.load(path), path) with PyTorch 1.6 or later. Or use safetensors."`,
      );
    }
  });

  test("of a tensor whose rows are not side by side is refused by its name", () => {
    expect(problem(fixture("strided.pth"))).toMatchInlineSnapshot(
      `"FormatError: m.pth, byte 64: tensor "turned": f32 [2, 6] with strides [1, 2] is not contiguous"`,
    );
  });
});

describe("a state dict", () => {
  const weights = op.dict([[op.text("a"), tensorOps(square)]]);
  const fileWith = (...items: readonly (readonly [string, Uint8Array])[]): Uint8Array =>
    torchBytes(pickleBytes(op.dict(items.map(([key, value]) => [op.text(key), value]))), { "0": fourFloats });

  test("is found under model or state_dict, or is the file itself", () => {
    for (const file of [
      fileWith(["a", tensorOps(square)]),
      fileWith(["model", weights], ["step", op.int(3)]),
      fileWith(["loss", tensorOps(square)], ["state_dict", weights]),
      fileWith(["model", op.dict([[op.text("name"), op.int(1)]])], ["state_dict", weights]),
    ]) {
      expect(Object.keys(tensorsOf(file))).toEqual(["a"]);
    }
  });

  test("that is not there, or is something else, is told", () => {
    const file = (...operations: readonly Uint8Array[]): string =>
      problem(torchBytes(pickleBytes(...operations), { "0": fourFloats }));
    expect(file(op.dict([[op.text("a"), op.int(1)]]))).toBe(
      "FormatError: m.pth: there are no tensors in it, nor under model or state_dict",
    );
    expect(file(tensorOps(square))).toContain("it holds one tensor, not a dict of tensors");
    expect(file(op.tuple(tensorOps(square)))).toContain("it holds a list, not a dict of tensors");
    expect(file(op.dict([[op.int(1), tensorOps(square)]]))).toContain(
      "a tensor has a key that is not a text",
    );
  });

  test("has names that no code reads anything into", () => {
    const named = fileWith(["__proto__", tensorOps(square)], ["constructor", tensorOps(square)]);
    expect([...readTorchFile(bytesSource("m.pth", named)).keys()]).toEqual(["__proto__", "constructor"]);
  });
});

describe("a hostile file is refused", () => {
  test.each<[string, Uint8Array, string]>([
    [
      "a tensor of more than its storage",
      fileOf({ ...square, shape: [2, 3] }),
      'tensor "a": f32 [2, 3] from element 0 on, in a storage of 4',
    ],
    [
      "a view past its storage's end",
      fileOf({ ...square, first: 1 }),
      'tensor "a": f32 [2, 2] from element 1 on, in a storage of 4',
    ],
    [
      "a storage shorter than the tensor says",
      fileOf({ ...square, elements: 5 }),
      'tensor "a": its storage of 5 f32 takes 20 bytes, "0" has 16',
    ],
    [
      "a storage of another type",
      fileOf({ ...square, type: "Half" }),
      'tensor "a": its storage of 4 f16 takes 8 bytes, "0" has 16',
    ],
    [
      "a storage that is not there",
      fileOf({ ...square, storage: "9" }),
      'tensor "a": its storage "9" is not in the file',
    ],
    [
      "a storage outside of the file",
      fileOf({ ...square, storage: "../../etc/passwd" }),
      'tensor "a": its storage "../../etc/passwd" is not in the file',
    ],
    [
      "strides of 0, one element for all",
      fileOf({ ...square, shape: [2 ** 20, 2 ** 20], strides: [0, 0] }),
      'tensor "a": f32 [1048576, 1048576] with strides [0, 0] is not contiguous',
    ],
    [
      "a tensor of 2^62 elements",
      fileOf({ ...square, shape: [2 ** 30, 2 ** 30, 4], strides: [2 ** 30, 4, 1] }),
      'tensor "a": f32 [1073741824, 1073741824, 4] with strides [1073741824, 4, 1] is not contiguous',
    ],
    [
      "more bytes than 2^53",
      fileOf({ ...square, shape: [2 ** 30, 2 ** 30], strides: [2 ** 30, 1] }),
      'tensor "a": f32 [1073741824, 1073741824]: the tensor is larger than 2^53 bytes',
    ],
    [
      "a negative dim",
      fileOf({ ...square, shape: [-2, -2] }),
      'tensor "a": its shape is not a list of whole numbers',
    ],
    [
      "a place before the storage",
      fileOf({ ...square, first: -1 }),
      'tensor "a": its place in the storage is not a whole number',
    ],
    [
      "fewer strides than dims",
      fileOf({ ...square, strides: [1] }),
      'tensor "a": its strides are not as many whole numbers as its shape\'s',
    ],
    [
      "a thousand dims",
      fileOf({ ...square, shape: new Array<number>(1000).fill(1) }),
      'tensor "a": its shape is not a list of whole numbers',
    ],
    [
      "the negatives of what is stored",
      fileOf(square, op.dict([[op.text("neg"), Uint8Array.of(0x88)]])),
      'tensor "a": its values are stored in a changed form',
    ],
    [
      "a tensor of nothing",
      torchBytes(
        pickleBytes(op.dict([[op.text("a"), op.call(op.global("torch._utils", "_rebuild_tensor_v2"))]])),
        {},
      ),
      'tensor "a": it names no storage',
    ],
    [
      "numbers of the other byte order",
      torchBytes(pickleBytes(op.dict([])), {}, { byteorder: "big" }),
      'its numbers are in the order "big"; only "little" is read',
    ],
    [
      "a zip file of something else",
      zipBytes([{ name: "a.txt", data: fourFloats }]),
      "a zip file without a data.pkl: not of torch.save",
    ],
    [
      "two pickles",
      zipBytes(["a", "b"].map((folder) => ({ name: `${folder}/data.pkl`, data: pickleBytes("}") }))),
      "a zip file with 2 folders that have a data.pkl",
    ],
    [
      "a text",
      new Uint8Array(Buffer.from("version https")),
      "a PyTorch file is a zip file, and this is none",
    ],
    ["nothing", new Uint8Array(0), "a PyTorch file is a zip file, and this is none"],
  ])("%s", (_, bytes, message) => {
    expect(problem(bytes).replace(/^FormatError: m\.pth(, data\.pkl)?(, byte \d+)?: /, "")).toBe(message);
  });

  test("a parameter whose tensor is itself, without an end to look for", () => {
    // args = []; memo 1; call -> record; memo 2; args.append(record) through the memo.
    const parameter = "ctorch._utils\n_rebuild_parameter\n]q\x01Rq\x02";
    const items = `}X\x01\0\0\0a${parameter}sX\x01\0\0\0bh\x01h\x02as`;
    expect(problem(torchBytes(pickleBytes(items), {}))).toContain('tensor "a": it names no storage');
  });

  test("one that calls os.system, naming it", () => {
    const call = op.call(op.global("posix", "system"), op.text("echo pwned"));
    expect(problem(torchBytes(pickleBytes(op.dict([[op.text("a"), call]])), {}))).toMatchInlineSnapshot(
      `"FormatError: m.pth, data.pkl, byte 10: the pickle asks to call posix.system, which weights have no need of"`,
    );
  });

  test("one that announces a pickle of more bytes than any weights take, at once", () => {
    const bytes = torchBytes(new Uint8Array(2 ** 24 + 1), {});
    const { message, milliseconds } = refusal(() => readTorchFile(bytesSource("m.pth", bytes)));
    expect(message).toBe("m.pth, byte 46: data.pkl has 16777217 bytes, of which at most 16777216 are read");
    expect(milliseconds).toBeLessThan(50);
  });

  test.each(["types.pth", "nested.pth", "views.pth", "zip64.pth", "legacy.pth"])(
    "%s cut off at any byte",
    (name) => {
      const bytes = fixture(name);
      for (let length = 0; length < bytes.length; length += 1) {
        expect(problem(bytes.subarray(0, length))).toMatch(/^FormatError: /);
      }
    },
  );

  test.each(["types.pth", "nested.pth", "zip64.pth"])(
    "%s with any byte changed, or it is read; nothing else",
    (name) => {
      expect(corrupt(fixture(name), readTorchFile).refused).toBeGreaterThan(500);
    },
  );
});

describeWithSharedData("torchtune's tiny checkpoint, of a later PyTorch", () => {
  test("holds the 89 504 weights of two layers of dim 32, hidden 256 and a vocabulary of 500, all alike", () => {
    using source = openFile(sharedFile("weights/torchtune-tiny/tiny_fair_checkpoint.pt"));
    const tensors = readTorchFile(source);
    const layer = 4 * 32 * 32 + 3 * 256 * 32 + 2 * 32;
    expect(2 * layer + 2 * 500 * 32 + 32).toBe(89_504);
    expect([...tensors.values()].reduce((sum, { bytes }) => sum + bytes / 4, 0)).toBe(
      2 * layer + 2 * 500 * 32 + 32,
    );
    expect(tensors.get("layers.1.feed_forward.w2.weight")).toMatchObject({ type: "f32", shape: [32, 256] });
    const values = readTensorAsF32(source, tensors.get("tok_embeddings.weight")!);
    expect(new Set(values)).toEqual(new Set([Math.fround(0.2)]));
  });
});
