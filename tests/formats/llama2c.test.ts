import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/formats/bytes.ts";
import { openFile } from "../../src/formats/file-source.ts";
import { readLlama2c, readLlama2cTokenizer } from "../../src/formats/llama2c.ts";
import { readSafetensorsDirectory } from "../../src/formats/safetensors.ts";
import { readTensorAsF32, rowsOfTensor } from "../../src/formats/tensor-info.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { corrupt, messageOf, refusal } from "./workspace.ts";

/** dim, hiddenDim, nLayers, nHeads, nKvHeads, vocabSize (negative: untied), maxSeqLen */
const sizes = [4, 3, 2, 2, 1, 5, 3];
const untied = [4, 3, 2, 2, 1, -5, 3];
// Per layer: norms 4 + 4, wq and wo 16 each, wk and wv 2 * 4 each, w1 w2 w3 12 each.
const layerFloats = 4 + 4 + 16 + 8 + 8 + 16 + 3 * 12;
const tableFloats = 3 * 1; // cos, or sin: [maxSeqLen, headDim / 2]
const tiedFloats = 5 * 4 + 2 * layerFloats + 4 + 2 * tableFloats;

/** A file whose n-th float is n. */
function version0(header: readonly number[], floats: number): Uint8Array {
  const bytes = new Uint8Array(28 + 4 * floats);
  bytes.set(new Uint8Array(Int32Array.from(header).buffer));
  bytes.set(new Uint8Array(Float32Array.from({ length: floats }, (_, i) => i).buffer), 28);
  return bytes;
}
function version1(version: number, isTied: boolean, floats: number): Uint8Array {
  const bytes = new Uint8Array(256 + 4 * floats);
  bytes.set(new Uint8Array(Int32Array.of(0x616b3432, version, ...sizes).buffer));
  bytes[36] = Number(isTied);
  bytes.set(new Uint8Array(Float32Array.from({ length: floats }, (_, i) => i).buffer), 256);
  return bytes;
}
function firstFloats(bytes: Uint8Array): Record<string, number> {
  const source = bytesSource("m.bin", bytes);
  const tensors = [...readLlama2c(source).tensors.values()];
  return Object.fromEntries(tensors.map((info) => [info.name, readTensorAsF32(source, info)[0]!]));
}

describe("a version 0 file", () => {
  test("has its tensors grouped by kind, each kind for all layers", () => {
    const bytes = version0(sizes, tiedFloats);
    expect(readLlama2c(bytesSource("m.bin", bytes)).config).toEqual({
      dim: 4,
      hiddenDim: 3,
      nLayers: 2,
      nHeads: 2,
      nKvHeads: 1,
      vocabSize: 5,
      maxSeqLen: 3,
      isTied: true,
    });
    expect(firstFloats(bytes)).toEqual({
      "tok_embeddings.weight": 0,
      "layers.0.attention_norm.weight": 20,
      "layers.1.attention_norm.weight": 24,
      "layers.0.attention.wq.weight": 28,
      "layers.1.attention.wq.weight": 44,
      "layers.0.attention.wk.weight": 60,
      "layers.1.attention.wk.weight": 68,
      "layers.0.attention.wv.weight": 76,
      "layers.1.attention.wv.weight": 84,
      "layers.0.attention.wo.weight": 92,
      "layers.1.attention.wo.weight": 108,
      "layers.0.ffn_norm.weight": 124,
      "layers.1.ffn_norm.weight": 128,
      "layers.0.feed_forward.w1.weight": 132,
      "layers.1.feed_forward.w1.weight": 144,
      "layers.0.feed_forward.w2.weight": 156,
      "layers.1.feed_forward.w2.weight": 168,
      "layers.0.feed_forward.w3.weight": 180,
      "layers.1.feed_forward.w3.weight": 192,
      "norm.weight": 204,
    });
  });

  test("gives shapes outermost first: w2 goes from hiddenDim to dim", () => {
    const { tensors } = readLlama2c(bytesSource("m.bin", version0(sizes, tiedFloats)));
    const shape = (name: string) => tensors.get(name)!.shape;
    expect(shape("tok_embeddings.weight")).toEqual([5, 4]);
    expect(shape("layers.0.attention.wk.weight")).toEqual([2, 4]);
    expect(shape("layers.0.feed_forward.w1.weight")).toEqual([3, 4]);
    expect(shape("layers.0.feed_forward.w2.weight")).toEqual([4, 3]);
    expect(shape("norm.weight")).toEqual([4]);
  });

  test("with a negative vocabulary size has an output head behind the RoPE tables", () => {
    const bytes = version0(untied, tiedFloats + 20);
    expect(readLlama2c(bytesSource("m.bin", bytes)).config).toMatchObject({ vocabSize: 5, isTied: false });
    expect(firstFloats(bytes)["output.weight"]).toBe(204 + 4 + 2 * tableFloats);
  });

  test("is refused when its size is a byte off, naming both sizes", () => {
    const bytes = version0(sizes, tiedFloats);
    expect(messageOf(() => readLlama2c(bytesSource("m.bin", bytes.subarray(0, -1))))).toBe(
      "FormatError: m.bin: dim 4, hiddenDim 3, nLayers 2, nHeads 2, nKvHeads 1, vocabSize 5, maxSeqLen 3 " +
        "takes 884 bytes, the file has 883",
    );
    for (let length = 0; length < bytes.length; length += 1) {
      expect(messageOf(() => readLlama2c(bytesSource("m.bin", bytes.subarray(0, length))))).toMatch(
        /^FormatError/,
      );
    }
  });

  test.each([
    ["a negative dim", [-4, 3, 2, 2, 1, 5, 3]],
    ["no layers", [4, 3, 0, 2, 1, 5, 3]],
    ["no vocabulary", [4, 3, 2, 2, 1, 0, 3]],
    ["a negative context", [4, 3, 2, 2, 1, 5, -3]],
    ["heads that do not divide dim", [4, 3, 2, 3, 1, 5, 3]],
    ["heads of one row, which RoPE cannot turn", [4, 3, 2, 4, 1, 5, 3]],
    ["key heads that do not divide the heads", [8, 3, 2, 4, 3, 5, 3]],
    ["two billion layers", [4, 3, 2 ** 31 - 1, 2, 1, 5, 3]],
  ])("with %s is refused at once", (_, header) => {
    const { message, milliseconds } = refusal(() => readLlama2c(bytesSource("m.bin", version0(header, 8))));
    expect(message).toMatch(/^m\.bin, byte 0: dim .* is no Llama$/);
    expect(milliseconds).toBeLessThan(50);
  });

  test("whose sizes multiply beyond 2^53 is refused, not wrapped round", () => {
    const largest = 2 ** 30;
    const header = [largest, largest, 10_000, 2, 1, largest, largest];
    expect(messageOf(() => readLlama2c(bytesSource("m.bin", version0(header, 8))))).toContain(
      "the file has 60",
    );
  });

  test("with any byte changed is read or refused by a FormatError, nothing else", () => {
    expect(corrupt(version0(sizes, tiedFloats), readLlama2c).refused).toBeGreaterThan(60);
  });
});

describe("a version 1 file", () => {
  test("has 256 bytes of header and the norms first", () => {
    const bytes = version1(1, true, tiedFloats - 2 * tableFloats);
    expect(firstFloats(bytes)).toMatchObject({
      "layers.0.attention_norm.weight": 0,
      "layers.0.ffn_norm.weight": 8,
      "norm.weight": 16,
      "tok_embeddings.weight": 20,
      "layers.0.attention.wq.weight": 40,
      "layers.1.feed_forward.w3.weight": 208 - 12,
    });
    const head = version1(1, false, tiedFloats - 2 * tableFloats + 20);
    expect(firstFloats(head)["output.weight"]).toBe(208);
  });

  test("of a version that nobody has written is refused", () => {
    expect(messageOf(() => readLlama2c(bytesSource("m.bin", version1(3, true, 0))))).toBe(
      "FormatError: m.bin, byte 4: llama2.c version 3, of which 0, 1 and 2 are read",
    );
  });
});

function tokenizer(
  longest: number,
  pieces: readonly (readonly [score: number, piece: string])[],
): Uint8Array {
  const parts = pieces.map(([score, piece]) => [
    Buffer.from(Float32Array.of(score).buffer),
    Buffer.from(Int32Array.of(Buffer.byteLength(piece)).buffer),
    Buffer.from(piece),
  ]);
  return Uint8Array.from(Buffer.concat([Buffer.from(Uint32Array.of(longest).buffer), ...parts.flat()]));
}

const readTokenizer = (bytes: Uint8Array, vocabSize: number) =>
  readLlama2cTokenizer(bytesSource("t.bin", bytes), vocabSize);

describe("tokenizer.bin", () => {
  const bytes = tokenizer(3, [
    [0, "é"],
    [-1.5, ""],
    [-2, " ab"],
  ]);

  test("gives a piece and a score for each id", () => {
    const { pieces, scores } = readTokenizer(bytes, 3);
    expect(pieces.map((piece) => Buffer.from(piece).toString())).toEqual(["é", "", " ab"]);
    expect([...scores]).toEqual([0, -1.5, -2]);
  });

  test("must end after the model's vocabulary", () => {
    expect(messageOf(() => readTokenizer(bytes, 2))).toBe(
      "FormatError: t.bin, byte 22: 11 bytes after piece 1",
    );
    expect(messageOf(() => readTokenizer(bytes, 4))).toBe(
      "FormatError: t.bin, byte 4: a vocabulary of 4 pieces: 4 x 8 bytes are announced, 29 are left",
    );
  });

  test("is refused for a vocabulary that cannot fit, before any of it is allocated", () => {
    const { message, milliseconds, bytes: held } = refusal(() => readTokenizer(bytes, 2 ** 31 - 1));
    expect(message).toBe(
      "t.bin, byte 4: a vocabulary of 2147483647 pieces: 2147483647 x 8 bytes are announced, 29 are left",
    );
    expect(milliseconds).toBeLessThan(50);
    expect(held).toBeLessThan(2 ** 20);
  });

  test("is refused for a negative length, and for one over the longest", () => {
    expect(messageOf(() => readTokenizer(bytes.with(11, 0x80), 3))).toBe(
      "FormatError: t.bin, byte 8: piece 0 has length -2147483646, the longest is 3",
    );
    expect(messageOf(() => readTokenizer(tokenizer(1, [[0, "ab"]]), 1))).toContain(
      "length 2, the longest is 1",
    );
  });

  test("cut off or changed anywhere is read or refused by a FormatError, nothing else", () => {
    for (let length = 0; length < bytes.length; length += 1) {
      expect(messageOf(() => readTokenizer(bytes.subarray(0, length), 3))).toMatch(/^FormatError/);
    }
    corrupt(bytes, (source) => readLlama2cTokenizer(source, 3));
  });
});

describeWithSharedData("stories260K", () => {
  test("holds the weights of its Hugging Face copy, whose wq and wk have other rows", () => {
    using source = openFile(sharedFile("weights/stories260K/stories260K.bin"));
    const { config, tensors } = readLlama2c(source);
    expect(config).toMatchObject({
      dim: 64,
      hiddenDim: 172,
      nLayers: 5,
      nHeads: 8,
      nKvHeads: 4,
      isTied: true,
    });
    const copy = readSafetensorsDirectory(sharedFile("weights/stories260K-hf")).tensors;
    using copySource = openFile([...copy.values()][0]!.file);
    const same = (name: string, copyName: string): boolean =>
      Buffer.compare(
        new Uint8Array(readTensorAsF32(source, tensors.get(name)!).buffer),
        new Uint8Array(readTensorAsF32(copySource, copy.get(copyName)!).buffer),
      ) === 0;
    expect(same("tok_embeddings.weight", "model.embed_tokens.weight")).toBe(true);
    expect(same("norm.weight", "model.norm.weight")).toBe(true);
    for (const layer of [0, 1, 2, 3, 4]) {
      const pair = (name: string, copyName: string): boolean =>
        same(`layers.${layer}.${name}.weight`, `model.layers.${layer}.${copyName}.weight`);
      expect(pair("attention_norm", "input_layernorm")).toBe(true);
      expect(pair("ffn_norm", "post_attention_layernorm")).toBe(true);
      expect(pair("attention.wv", "self_attn.v_proj")).toBe(true);
      expect(pair("attention.wo", "self_attn.o_proj")).toBe(true);
      expect(pair("feed_forward.w1", "mlp.gate_proj")).toBe(true);
      expect(pair("feed_forward.w2", "mlp.down_proj")).toBe(true);
      expect(pair("feed_forward.w3", "mlp.up_proj")).toBe(true);
      expect(pair("attention.wq", "self_attn.q_proj")).toBe(false);
    }
  });

  test("has a tokenizer of 512 pieces, and Llama 2's file has 32 000", () => {
    using small = openFile(sharedFile("weights/stories260K/tok512.bin"));
    const { pieces } = readLlama2cTokenizer(small, 512);
    expect(pieces.slice(0, 4).map((piece) => Buffer.from(piece).toString())).toEqual([
      "<unk>",
      "\n<s>\n",
      "\n</s>\n",
      "<0x00>",
    ]);
    using large = openFile(sharedFile("tokenizer/tokenizer.bin"));
    expect(readLlama2cTokenizer(large, 32_000).scores[31_999]).toBe(-31_740);
  });
});

describe("a version 2 file", () => {
  const group = 4;
  // 4 norms of 4 and the last one; then matrices of 1 byte a value and 4 bytes a group.
  const normFloats = 5 * 4;
  const matrixValues = 20 + 2 * (layerFloats - 8);
  const bytesWanted = 256 + 4 * normFloats + matrixValues + 4 * (matrixValues / group);

  /** Norms are all 2; a matrix's values are -3, -2, ... and its groups' scales 1/2, 1, 3/2, ... */
  function version2(groupSize = group): Uint8Array {
    const bytes = new Uint8Array(bytesWanted);
    bytes.set(new Uint8Array(Int32Array.of(0x616b3432, 2, ...sizes).buffer));
    bytes[36] = 1;
    bytes.set(new Uint8Array(Int32Array.of(groupSize).buffer), 37);
    bytes.set(new Uint8Array(new Float32Array(normFloats).fill(2).buffer), 256);
    let at = 256 + 4 * normFloats;
    const layer = [16, 16, 8, 8, 8, 8, 16, 16, 12, 12, 12, 12, 12, 12];
    for (const values of [20, ...layer]) {
      bytes.set(new Uint8Array(Int8Array.from({ length: values }, (_, i) => i - 3).buffer), at);
      at += values;
      const scales = Float32Array.from({ length: values / group }, (_, i) => (i + 1) / 2);
      bytes.set(new Uint8Array(scales.buffer), at);
      at += 4 * scales.length;
    }
    return bytes;
  }
  const tensorOf = (name: string) => {
    const source = bytesSource("m.bin", version2());
    return { source, info: readLlama2c(source).tensors.get(name)! };
  };

  test("has i8 values that are multiplied by their group's scale, and norms in f32", () => {
    const { source, info } = tensorOf("layers.1.attention.wk.weight");
    expect([info.type, info.shape]).toEqual(["i8", [2, 4]]);
    // -3 -2 -1 0 halved, then 1 2 3 4.
    expect([...readTensorAsF32(source, info)]).toEqual([-1.5, -1, -0.5, 0, 1, 2, 3, 4]);
    const norm = tensorOf("norm.weight");
    expect([...readTensorAsF32(norm.source, norm.info)]).toEqual([2, 2, 2, 2]);
  });

  test("gives rows that begin within a group", () => {
    // w2 has rows of 3 in groups of 4: row 1 is values 3, 4 and 5, which are 0 in the first group and 1, 2 in the next.
    const { source, info } = tensorOf("layers.0.feed_forward.w2.weight");
    expect([...readTensorAsF32(source, rowsOfTensor(info, 1, 1))]).toEqual([0, 1, 2]);
    expect([...readTensorAsF32(source, rowsOfTensor(info, 2, 2))]).toEqual(
      [3, 4, 7.5, 9, 10.5, 12].slice(0, 6),
    );
  });

  test("is refused when groups do not fill the matrices, or its size is another", () => {
    for (const wrong of [0, -64, 3, 64]) {
      expect(messageOf(() => readLlama2c(bytesSource("m.bin", version2(wrong))))).toBe(
        `FormatError: m.bin, byte 37: groups of ${wrong} values do not fill every matrix`,
      );
    }
    for (let length = 0; length < bytesWanted; length += 1) {
      const cut = bytesSource("m.bin", version2().subarray(0, length));
      expect(messageOf(() => readLlama2c(cut))).toMatch(/^FormatError/);
    }
  });
});
