import * as fc from "fast-check";
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { bf16ToF32 } from "../../src/formats/float16.ts";
import { openFile } from "../../src/formats/file-source.ts";
import {
  isMetaDirectory,
  joinParts,
  readMetaDirectory,
  type ShardedTensor,
} from "../../src/formats/meta-shards.ts";
import type { TensorInfo } from "../../src/formats/tensor-info.ts";
import { torchFileOf } from "./torch-writer.ts";
import { messageOf, openWorkspace } from "./workspace.ts";

function readPart(info: TensorInfo): Uint8Array {
  using source = openFile(info.file);
  return source.read(info.offset, info.bytes);
}
const wholeOf = (tensor: ShardedTensor): Uint8Array => joinParts(tensor, readPart);
const shard = (rank: number): string => `consolidated.${String(rank).padStart(2, "0")}.pth`;
const params = { dim: 4, n_layers: 1, n_heads: 2 };

/** A directory of these shards, each given by its tensors' shapes, and of params.json. */
function openDirectory(shapes: readonly Readonly<Record<string, readonly number[]>>[]) {
  const workspace = openWorkspace();
  for (const [rank, each] of shapes.entries()) writeFileSync(workspace.file(shard(rank)), torchFileOf(each));
  writeFileSync(workspace.file("params.json"), JSON.stringify(params));
  const place = workspace.file(".");
  return {
    ...workspace,
    place,
    read: () => readMetaDirectory(place),
    problem: () =>
      messageOf(() => readMetaDirectory(place))
        .replaceAll(`${place}/`, "")
        .replace(place, "DIR"),
  };
}

describe("two shards that PyTorch wrote", () => {
  const directory = fileURLToPath(new URL("../fixtures/torch/meta", import.meta.url));

  test("give each tensor as it was before it was split: -2, -1, 0, ... row by row", () => {
    const { tensors } = readMetaDirectory(directory);
    expect(tensors.size).toBe(12);
    for (const tensor of tensors.values()) {
      const bytes = wholeOf(tensor);
      const halves = new Uint16Array(bytes.slice().buffer);
      const values = new Float32Array(halves.length);
      bf16ToF32(halves, values);
      expect([tensor.name, tensor.type, ...values]).toEqual([
        tensor.name,
        "bf16",
        ...Array.from(values, (_, i) => i - 2),
      ]);
    }
  });

  test("say along which axis each is split, its whole shape, and in how many parts", () => {
    const { tensors } = readMetaDirectory(directory);
    const rows = [...tensors.values()].map(({ name, shape, axis, parts }) => [
      name,
      shape,
      axis,
      parts.length,
    ]);
    expect(rows).toEqual([
      ["tok_embeddings.weight", [6, 4], 1, 2],
      ["output.weight", [6, 4], 0, 2],
      ["norm.weight", [4], 0, 1],
      ["layers.0.attention.wq.weight", [4, 4], 0, 2],
      ["layers.0.attention.wk.weight", [4, 4], 0, 2],
      ["layers.0.attention.wv.weight", [4, 4], 0, 2],
      ["layers.0.attention.wo.weight", [4, 4], 1, 2],
      ["layers.0.feed_forward.w1.weight", [6, 4], 0, 2],
      ["layers.0.feed_forward.w2.weight", [4, 6], 1, 2],
      ["layers.0.feed_forward.w3.weight", [6, 4], 0, 2],
      ["layers.0.attention_norm.weight", [4], 0, 1],
      ["layers.0.ffn_norm.weight", [4], 0, 1],
    ]);
  });

  test("come with params.json as it is, and without the RoPE table", () => {
    const { params, tensors } = readMetaDirectory(directory);
    expect(params).toEqual({
      dim: 4,
      multiple_of: 2,
      n_heads: 2,
      n_layers: 1,
      norm_eps: 1e-5,
      vocab_size: -1,
    });
    expect(tensors.has("rope.freqs")).toBe(false);
  });
});

describe("joinParts", () => {
  const part = (bytes: number): TensorInfo => ({
    name: "x",
    type: "u8",
    shape: [],
    file: "f",
    offset: 0,
    bytes,
  });

  test("puts parts of rows one below the other, and parts of columns side by side", () => {
    // Rank 0 has [[1, 2], [3, 4]], rank 1 has [[5, 6], [7, 8]].
    const data = [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6, 7, 8)];
    const parts = [part(4), part(4)];
    const read = (info: TensorInfo): Uint8Array => data[parts.indexOf(info)]!;
    const tensor = { name: "x", type: "u8", parts } as const;
    expect(joinParts({ ...tensor, shape: [4, 2], axis: 0 }, read)).toEqual(
      Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    );
    expect(joinParts({ ...tensor, shape: [2, 4], axis: 1 }, read)).toEqual(
      Uint8Array.of(1, 2, 5, 6, 3, 4, 7, 8),
    );
  });

  test("undoes a split of any matrix of f32 into 1, 2, 4 or 8 along either axis", () => {
    const size = fc.integer({ min: 1, max: 5 });
    fc.assert(
      fc.property(
        size,
        size,
        fc.constantFrom(1, 2, 4, 8),
        fc.constantFrom(0, 1),
        (rows, columns, count, axis) => {
          const shape = axis === 0 ? [rows * count, columns] : [rows, columns * count];
          const at = (row: number, column: number): number => row * shape[1]! + column;
          const parts = Array.from({ length: count }, () => part(rows * columns * 4));
          const read = (info: TensorInfo): Uint8Array => {
            const rank = parts.indexOf(info);
            const values = Float32Array.from({ length: rows * columns }, (_, i) => {
              const [row, column] = [Math.floor(i / columns), i % columns];
              return axis === 0 ? at(rank * rows + row, column) : at(row, rank * columns + column);
            });
            return new Uint8Array(values.buffer);
          };
          const whole = joinParts({ name: "x", type: "f32", shape, axis, parts }, read);
          const counted = Float32Array.from({ length: shape[0]! * shape[1]! }, (_, i) => i);
          expect(whole).toEqual(new Uint8Array(counted.buffer));
        },
      ),
    );
  });

  test("gives the bytes of a single part as they were read, without a copy", () => {
    const bytes = Uint8Array.of(1, 2);
    const tensor = { name: "x", type: "u8", shape: [1, 2], axis: 1, parts: [part(2)] } as const;
    expect(joinParts(tensor, () => bytes)).toBe(bytes);
  });

  test("refuses a part of another length than its file said", () => {
    const tensor = { name: "x", type: "u8", shape: [1, 4], axis: 1, parts: [part(2), part(2)] } as const;
    expect(messageOf(() => joinParts(tensor, () => new Uint8Array(3)))).toBe(
      'FormatError: f, byte 0: 3 bytes were read of tensor "x", which has 2',
    );
  });
});

describe("a directory", () => {
  const wq = { "layers.0.attention.wq.weight": [2, 4] };

  test("of one shard has each tensor in one part", () => {
    using directory = openDirectory([{ "layers.0.attention.wq.weight": [4, 4], "norm.weight": [4] }]);
    const tensor = directory.read().tensors.get("layers.0.attention.wq.weight")!;
    expect(tensor).toMatchObject({ shape: [4, 4], type: "f32", parts: [{ file: directory.file(shard(0)) }] });
    expect(wholeOf(tensor)).toEqual(new Uint8Array(Float32Array.from({ length: 16 }, (_, i) => i).buffer));
  });

  test("of shards is read in the order of their numbers", () => {
    using directory = openDirectory([wq, wq, wq, wq, wq, wq, wq, wq]);
    const { shape, parts } = directory.read().tensors.get("layers.0.attention.wq.weight")!;
    expect(shape).toEqual([16, 4]);
    expect(parts.map(({ file }) => file)).toEqual(parts.map((_, rank) => directory.file(shard(rank))));
  });

  test("with a gap in its shards is refused", () => {
    using directory = openDirectory([wq]);
    writeFileSync(directory.file(shard(2)), torchFileOf(wq));
    expect(directory.problem()).toBe("ConfigError: DIR has consolidated.02.pth, but no consolidated.01.pth");
  });

  test("of three shards is refused, since no model of Meta's has three", () => {
    using directory = openDirectory([wq, wq, wq]);
    expect(directory.problem()).toBe("ConfigError: DIR has 3 shards; Meta's models have 1, 2, 4 or 8");
  });

  test("that lacks shards, or is there no more, or lacks params.json is refused", () => {
    using directory = openDirectory([]);
    expect(directory.problem()).toBe("ConfigError: DIR has no consolidated.00.pth");
    expect(messageOf(() => readMetaDirectory(directory.file("none")))).toContain("none does not exist");
    using other = openDirectory([wq]);
    mkdirSync(other.file("m"));
    writeFileSync(other.file(`m/${shard(0)}`), torchFileOf(wq));
    expect(messageOf(() => readMetaDirectory(other.file("m")))).toContain("params.json does not exist");
    expect(isMetaDirectory(other.file("m"))).toBe(true);
    writeFileSync(other.file("m/config.json"), "{}");
    expect(isMetaDirectory(other.file("m"))).toBe(false);
  });

  test("whose shards have unlike shapes is refused", () => {
    using directory = openDirectory([wq, { "layers.0.attention.wq.weight": [3, 4] }]);
    expect(directory.problem()).toBe(
      'FormatError: consolidated.01.pth, byte 277: tensor "layers.0.attention.wq.weight" is f32 [3, 4], ' +
        "in consolidated.00.pth it is f32 [2, 4]",
    );
  });

  test("with a tensor that one of the shards lacks is refused, whichever it is", () => {
    const both = { ...wq, "norm.weight": [4] };
    using second = openDirectory([both, wq]);
    expect(second.problem()).toBe(
      'FormatError: consolidated.01.pth: tensor "norm.weight" is missing, which consolidated.00.pth has',
    );
    using first = openDirectory([wq, both]);
    expect(first.problem()).toBe(
      'FormatError: consolidated.00.pth: tensor "norm.weight" is missing, which consolidated.01.pth has',
    );
  });

  test("whose shapes together are not those of params.json is refused", () => {
    // Split along the vocabulary, as in Llama 3: [3, 4] twice would become [3, 8].
    using directory = openDirectory([
      { "tok_embeddings.weight": [3, 4] },
      { "tok_embeddings.weight": [3, 4] },
    ]);
    expect(directory.problem()).toMatch(
      /tensor tok_embeddings\.weight in 2 shards has the shape \[3, 8\]: dim is 4 in params\.json$/,
    );
    using one = openDirectory([{ "norm.weight": [8] }]);
    expect(one.problem()).toMatch(/tensor norm\.weight has shape \[8\]: dim is 4 in params\.json$/);
    using deep = openDirectory([{ "output.weight": [2, 4, 1] }]);
    expect(deep.problem()).toMatch(/tensor output\.weight has shape \[2, 4, 1\]: dim is 4 in params\.json$/);
  });

  test("with a tensor that no Llama has is refused", () => {
    using directory = openDirectory([{ "layers.0.attention.wq.bias": [4] }]);
    expect(directory.problem()).toMatch(/tensor "layers\.0\.attention\.wq\.bias" is none of Llama's$/);
  });

  test.each([
    ["[]", "FormatError: params.json: not an object"],
    ["{}", "FormatError: params.json: dim is undefined, not a positive whole number"],
    ['{"dim": -4}', "FormatError: params.json: dim is -4, not a positive whole number"],
    ['{"dim": "4"}', 'FormatError: params.json: dim is "4", not a positive whole number'],
  ])("whose params.json is %s is refused", (text, message) => {
    using directory = openDirectory([wq]);
    writeFileSync(directory.file("params.json"), text);
    expect(directory.problem()).toBe(message);
  });
});
