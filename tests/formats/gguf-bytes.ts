/** GGUF files as bytes: written by Cria, and by hand from the specification. */

import { bytesSource } from "../../src/formats/bytes.ts";
import { writeGguf, type GgufToWrite } from "../../src/formats/gguf-write.ts";
import { readGguf } from "../../src/formats/gguf.ts";
import { tensorBytes, type TensorToWrite, type TensorType } from "../../src/formats/tensor-info.ts";
import { messageOf, openWorkspace } from "./workspace.ts";

export const counted = (name: string, type: TensorType, shape: readonly number[]): TensorToWrite => ({
  name,
  type,
  shape,
  data: () => Uint8Array.from({ length: tensorBytes(type, shape) }, (_, i) => i),
});
export const empty: GgufToWrite = { metadata: new Map(), tensors: [] };
export const bytesOf = (content: GgufToWrite): Uint8Array => {
  using workspace = openWorkspace();
  writeGguf(workspace.file("x.gguf"), content);
  return workspace.bytes("x.gguf");
};
export const readBytes = (bytes: Uint8Array) => readGguf(bytesSource("x.gguf", bytes));

// By hand, from the specification: what the hostile tests are made of.
export const u32 = (n: number) => Buffer.from(Uint32Array.of(n).buffer);
export const u64 = (n: number | bigint) => Buffer.from(BigUint64Array.of(BigInt(n)).buffer);
export const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
export const head = (tensors: number | bigint, keys: number | bigint, ...rest: Buffer[]) =>
  Uint8Array.from(Buffer.concat([Buffer.from("GGUF"), u32(3), u64(tensors), u64(keys), ...rest]));
export const tensorEntry = (
  name: string,
  dims: readonly (number | bigint)[],
  type: number,
  offset: number | bigint,
) => Buffer.concat([text(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset)]);
export const problem = (bytes: Uint8Array): string =>
  messageOf(() => readBytes(bytes)).replace(/^FormatError: x\.gguf, /, "");
