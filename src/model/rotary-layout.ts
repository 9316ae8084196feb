/**
 * The two orders of a head's rows in wq and wk. Meta's checkpoints and GGUF keep rotary pairs adjacent (rows 2i and
 * 2i + 1); Hugging Face's keep them half a head apart (rows i and i + headDim / 2). Only the readers and writers of
 * Hugging Face's files reorder.
 */

/** Rows of `rowBytes` bytes from Hugging Face's order into Meta's. */
export function fromHalfSplit(bytes: Uint8Array, headDim: number, rowBytes: number): Uint8Array {
  return reorder(bytes, headDim, rowBytes, (row) => (row % 2) * (headDim / 2) + Math.floor(row / 2));
}

/** Rows of `rowBytes` bytes from Meta's order into Hugging Face's. */
export function toHalfSplit(bytes: Uint8Array, headDim: number, rowBytes: number): Uint8Array {
  const half = headDim / 2;
  return reorder(bytes, headDim, rowBytes, (row) => (row < half ? 2 * row : 2 * (row - half) + 1));
}

// --- internal ---

function reorder(
  bytes: Uint8Array,
  headDim: number,
  rowBytes: number,
  sourceOf: (row: number) => number,
): Uint8Array {
  const moved = new Uint8Array(bytes.byteLength);
  const rows = bytes.byteLength / rowBytes;
  for (let row = 0; row < rows; row += 1) {
    const head = row - (row % headDim);
    const from = (head + sourceOf(row % headDim)) * rowBytes;
    moved.set(bytes.subarray(from, from + rowBytes), row * rowBytes);
  }
  return moved;
}
