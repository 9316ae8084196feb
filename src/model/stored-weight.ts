/** A weight where its bytes lie: in one place, or in the parts that a tensor-parallel group of devices had. */

import { joinParts, type ShardedTensor } from "../formats/meta-shards.ts";
import { bytesSource, type ByteSource } from "../formats/bytes.ts";
import { readTensorAsF32, rowsOfTensor, tensorBytes, type TensorInfo } from "../formats/tensor-info.ts";

export type StoredWeight = ShardedTensor;

/** Opens a file by its path. */
export type OpenFile = (path: string) => ByteSource;

/** A weight that lies in one piece. */
export function wholeWeight(info: TensorInfo): StoredWeight {
  return { name: info.name, shape: info.shape, type: info.type, axis: 0, parts: [info] };
}

/** Bytes of the rows from..from + count, as they are stored. */
export function readRows(weight: StoredWeight, from: number, count: number, open: OpenFile): Uint8Array {
  const read = (info: TensorInfo): Uint8Array => open(info.file).read(info.offset, info.bytes);
  const { parts, axis } = weight;
  const shape = [count, ...weight.shape.slice(1)];
  if (axis === 1) {
    return joinParts({ ...weight, shape, parts: parts.map((part) => rowsOfTensor(part, from, count)) }, read);
  }
  let start = 0;
  const wanted = parts.flatMap((part) => {
    const rows = part.shape[0]!;
    const first = Math.max(0, from - start);
    const last = Math.min(rows, from + count - start);
    start += rows;
    return first < last ? [rowsOfTensor(part, first, last - first)] : [];
  });
  return joinParts({ ...weight, shape, parts: wanted }, read);
}

/**
 * The same as f32.
 *
 * @throws {ConfigError} for a type that is not f32, f16 or bf16.
 */
export function readRowsAsF32(
  weight: StoredWeight,
  from: number,
  count: number,
  open: OpenFile,
): Float32Array {
  const shape = [count, ...weight.shape.slice(1)];
  const { name, type } = weight;
  const [first] = weight.parts;
  const bytes = tensorBytes(type, shape);
  // Where the bytes lie in one place they are read a part at a time.
  if (weight.parts.length === 1) return readTensorAsF32(open(first!.file), rowsOfTensor(first!, from, count));
  const data = readRows(weight, from, count, open);
  return readTensorAsF32(bytesSource(first!.file, data), {
    name,
    type,
    shape,
    bytes,
    offset: 0,
    file: first!.file,
  });
}
