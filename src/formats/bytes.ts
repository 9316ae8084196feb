/**
 * Random access to bytes, whatever holds them: memory, or a file that is larger than memory.
 *
 * Numbers in every format here are little-endian, and so is every platform that the engine ships for:
 * typed arrays are laid over file bytes without swapping.
 */

import { FormatError } from "../errors/errors.ts";

/** Random access to bytes that may be larger than memory. */
export interface ByteSource {
  readonly name: string;
  readonly size: number;
  /**
   * A copy or view of bytes [offset, offset+length).
   *
   * @throws {FormatError} past the end.
   */
  read(offset: number, length: number): Uint8Array;
}

export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    read(offset, length) {
      checkRange(name, bytes.length, { offset, length });
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** @throws {FormatError} when [offset, offset+length) is not inside a source of `size` bytes. */
export function checkRange(
  name: string,
  size: number,
  range: { readonly offset: number; readonly length: number },
): void {
  const { offset, length } = range;
  const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!isRange || offset > size || length > size - offset) {
    throw new FormatError(`${length} bytes are wanted here, but the file ends at byte ${size}`, {
      file: name,
      offset,
      mend: "The file is damaged or its download was cut short: fetch it again.",
    });
  }
}

/** @throws {FormatError} with the offset when the bytes are not UTF-8. A byte order mark is kept. */
export function decodeUtf8(bytes: Uint8Array, file: string, offset: number): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new FormatError("text that is not valid UTF-8", { file, offset, cause });
  }
}

/** A name out of a file, fit for a message: quoted, control characters escaped, cut off when it is long. */
export function quoted(name: unknown): string {
  const text = JSON.stringify(name) ?? "undefined";
  return text.length <= maxQuoted ? text : `${text.slice(0, maxQuoted)}...`;
}

// --- internal ---

const maxQuoted = 120;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
