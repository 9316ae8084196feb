import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gguf, GGMLQuantizationType } from "@huggingface/gguf";
import { expect, test } from "vitest";
import { openLibrary } from "../../src/engine/ffi.ts";
import { engineLibrary } from "../../src/engine/library.ts";
import { openFile } from "../../src/formats/file-source.ts";
import { readGguf, type GgufValue } from "../../src/formats/gguf.ts";
import { writeGguf, type GgufWriteValue } from "../../src/formats/gguf-write.ts";
import { tensorBytes, tensorLayout, typeOfGgml, type TensorType } from "../../src/formats/tensor-info.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";

/**
 * Our values as @huggingface/gguf gives them: in plain arrays, and without a leading U+FEFF, which its decoder
 * takes for a byte order mark. U+FEFF is a piece of Llama 2's vocabulary, so here it stays.
 */
function plain(value: GgufValue): unknown {
  if (typeof value === "string") return value.replace(/^\uFEFF/, "");
  return typeof value === "object" ? Array.from(value as ArrayLike<GgufValue>, plain) : value;
}

const comparable = (value: unknown): unknown => (typeof value === "bigint" ? Number(value) : value);

async function readsAsTheirs(path: string): Promise<void> {
  using source = openFile(path);
  const ours = readGguf(source);
  const theirs = await gguf(path, { allowLocalFile: true });
  const { version, tensor_count: tensorCount, kv_count: keyCount, ...metadata } = theirs.metadata;
  expect(version).toBe(ours.version);
  expect(Number(tensorCount)).toBe(ours.tensors.size);
  expect(Number(keyCount)).toBe(ours.metadata.size);
  expect(
    Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, comparable(value)])),
  ).toEqual(Object.fromEntries([...ours.metadata].map(([key, value]) => [key, plain(value)])));
  expect(Number(theirs.tensorDataOffset)).toBe(ours.dataOffset);
  expect(
    theirs.tensorInfos.map(({ name, shape, dtype, offset }) => ({
      name,
      shape: shape.map(Number).toReversed(),
      type: GGMLQuantizationType[dtype].toLowerCase(),
      offset: Number(offset) + ours.dataOffset,
    })),
  ).toEqual(
    [...ours.tensors.values()].map(({ name, shape, type, offset }) => ({
      name,
      shape: [...shape],
      type,
      offset,
    })),
  );
}

const metadata = new Map<string, GgufWriteValue>([
  ["general.architecture", { type: "string", value: "llama" }],
  ["llama.context_length", { type: "uint32", value: 4096 }],
  ["llama.attention.layer_norm_rms_epsilon", { type: "float32", value: 2 ** -17 }],
  ["u8", { type: "uint8", value: 255 }],
  ["i8", { type: "int8", value: -128 }],
  ["u16", { type: "uint16", value: 65535 }],
  ["i16", { type: "int16", value: -32768 }],
  ["i32", { type: "int32", value: -(2 ** 31) }],
  ["u64", { type: "uint64", value: 2n ** 40n }],
  ["i64", { type: "int64", value: -5 }],
  ["f64", { type: "float64", value: Math.PI }],
  ["yes", { type: "bool", value: true }],
  ["tokens", { type: "array", items: "string", value: ["<s>", "▁é", "", "😀"] }],
  ["scores", { type: "array", items: "float32", value: Float32Array.of(0, -1.5) }],
  ["types", { type: "array", items: "int32", value: [1, -3] }],
  ["flags", { type: "array", items: "bool", value: [true, false] }],
  ["nested", { type: "array", items: "array", value: [{ type: "array", items: "uint16", value: [1, 2] }] }],
]);
const tensor = (name: string, type: TensorType, shape: readonly number[]) => ({
  name,
  type,
  shape,
  data: () => new Uint8Array(tensorBytes(type, shape)).fill(7),
});

for (const alignment of [32, 64]) {
  test(`@huggingface/gguf reads our file, aligned to ${alignment}, as we do`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "cria-gguf-"));
    try {
      const path = join(directory, "x.gguf");
      const tensors = [
        tensor("token_embd.weight", "f32", [5, 32]),
        tensor("blk.0.attn_q.weight", "f16", [3, 7]),
        tensor("blk.0.ffn_up.weight", "q4_0", [3, 64]),
        tensor("output_norm.weight", "bf16", [9]),
        tensor("cube", "i8", [2, 3, 5, 7]),
      ];
      writeGguf(path, { metadata, tensors, alignment });
      await readsAsTheirs(path);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

describeWithSharedData("files of llama.cpp's converter", () => {
  test.each([
    "weights/llama-2-tiny-random/llama-2-tiny-random.gguf",
    "tokenizer/llama.cpp/ggml-vocab-llama-spm.gguf",
  ])("@huggingface/gguf reads %s as we do", async (file) => {
    await readsAsTheirs(sharedFile(file));
  });
});

test("blocks and bytes of every ggml type are those of the library", () => {
  const { directory } = engineLibrary();
  const base = readdirSync(directory).find((file) => /^(lib)?ggml-base\.(so|dylib|dll)$/.test(file))!;
  const library = openLibrary(join(directory, base));
  const blockOf = library.bind<[number], number>("int64_t ggml_blck_size(int type)");
  const bytesOf = library.bind<[number], number>("size_t ggml_type_size(int type)");
  const nameOf = library.bind<[number], string>("const char *ggml_type_name(int type)");
  // enum ggml_type of the pinned library ends with q2_0, 42; removed types have blocks of 0.
  for (let id = 0; id <= 42; id += 1) {
    const type = typeOfGgml(id);
    const known = type === undefined ? { block: 0, bytes: 0 } : tensorLayout(type);
    expect({ id, block: blockOf(id), bytes: bytesOf(id) }).toEqual({
      id,
      block: known.block,
      bytes: known.bytes,
    });
    if (type !== undefined) expect(nameOf(id).toLowerCase()).toBe(type);
  }
});
