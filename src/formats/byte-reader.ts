/**
 * Reads a head of unknown length in order: numbers, byte runs, texts. Every length is held against what is
 * left of the file before anything of that length is read or allocated.
 */

import { FormatError } from "../errors/errors.ts";
import { decodeUtf8, type ByteSource } from "./bytes.ts";

/** Steps through a source. `what` names the value in the error of a file that ends inside it. */
export class ByteReader {
  readonly #source: ByteSource;
  readonly #end: number;
  #position = 0;
  #window: DataView = new DataView(new ArrayBuffer(0));
  #windowStart = 0;

  /** @param limit bytes of the source that the head may take; its size or less. */
  constructor(source: ByteSource, limit: number = source.size) {
    this.#source = source;
    this.#end = Math.min(limit, source.size);
  }

  get position(): number {
    return this.#position;
  }

  u32(what: string): number {
    const at = this.#take(4, what);
    return this.#window.getUint32(at, true);
  }

  i32(what: string): number {
    const at = this.#take(4, what);
    return this.#window.getInt32(at, true);
  }

  f32(what: string): number {
    const at = this.#take(4, what);
    return this.#window.getFloat32(at, true);
  }

  /** A u64 that says how many or how much. @throws {FormatError} from 2^53 on, where it is no longer exact. */
  count(what: string): number {
    const at = this.#take(8, what);
    const value = this.#window.getUint32(at, true) + this.#window.getUint32(at + 4, true) * 2 ** 32;
    if (Number.isSafeInteger(value)) return value;
    throw new FormatError(`${what}: ${this.#window.getBigUint64(at, true)} is beyond 2^53`, {
      file: this.#source.name,
      offset: this.#position - 8,
    });
  }

  /** A view that stays valid; copy it to keep a few bytes of a large file. */
  bytes(length: number, what: string): Uint8Array {
    const at = this.#take(length, what);
    return new Uint8Array(this.#window.buffer, this.#window.byteOffset + at, length);
  }

  text(length: number, what: string): string {
    const offset = this.#position;
    const run = this.bytes(length, what);
    return shortAscii(run) ?? decodeUtf8(run, this.#source.name, offset);
  }

  /** @throws {FormatError} unless `count` values of at least `bytesEach` can follow. */
  expect(count: number, bytesEach: number, what: string): void {
    const left = this.#end - this.#position;
    if (count * bytesEach <= left) return;
    const announced = bytesEach === 1 ? `${count} bytes` : `${count} x ${bytesEach} bytes`;
    throw new FormatError(`${what}: ${announced} are announced, ${left} are left`, {
      file: this.#source.name,
      offset: this.#position,
      mend:
        this.#end < this.#source.size
          ? `Its head may take ${this.#end} bytes at most: the file is damaged.`
          : "The file is damaged or its download was cut short: fetch it again.",
    });
  }

  /** Makes the next bytes part of the window, steps over them, and tells where in the window they are. */
  #take(length: number, what: string): number {
    this.expect(length, 1, what);
    let at = this.#position - this.#windowStart;
    if (at + length > this.#window.byteLength) {
      const wanted = Math.min(Math.max(length, chunkBytes), this.#end - this.#position);
      const bytes = this.#source.read(this.#position, wanted);
      this.#window = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      this.#windowStart = this.#position;
      at = 0;
    }
    this.#position += length;
    return at;
  }
}

// --- internal ---

const chunkBytes = 2 ** 18;

/** Most texts of a vocabulary are a few ASCII letters, for which a call of TextDecoder costs more than it does. */
function shortAscii(bytes: Uint8Array): string | undefined {
  if (bytes.length > 24) return undefined;
  let text = "";
  for (const byte of bytes) {
    if (byte >= 0x80) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}
