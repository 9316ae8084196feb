/**
 * The part of the Protocol Buffers wire format that SentencePiece models use: varints, fixed 32- and 64-bit
 * numbers, and length-delimited fields. Every length is checked against the message that holds it before
 * anything is read.
 *
 * Source: the Protocol Buffers encoding specification (protobuf.dev/programming-guides/encoding).
 */
import { FormatError } from "../errors/errors.ts";

/**
 * Walks the fields of one message, in the order of the file: call `next()` and look at `number`, then take
 * the content with the accessor of its kind. A cursor and not a generator: a vocabulary has 100 000 fields.
 */
export class ProtobufReader {
  readonly name: string;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;
  #wire = 0;
  #value = 0;
  #start: number;

  /** The field's number in its message's definition. */
  number = 0;

  /** @param name what to call the file in errors. */
  constructor(name: string, bytes: Uint8Array, start = 0, end = bytes.length) {
    this.name = name;
    this.#bytes = bytes;
    this.#start = start;
    this.#at = start;
    this.#end = end;
  }

  /** @throws {FormatError} where a field is cut short, oversized or impossible. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tagAt = this.#at;
    const tag = this.#varint();
    this.number = Math.floor(tag / 8);
    this.#wire = tag % 8;
    if (this.number < 1 || this.number > 0x1fffffff) {
      throw this.malformed(`field number ${this.number} is not one a protobuf can have`, tagAt);
    }
    this.#start = this.#at;
    if (this.#wire === 0) this.#value = this.#varint();
    else this.#skip(tagAt);
    return true;
  }

  /** The content as a message. */
  message(): ProtobufReader {
    this.#expect(2);
    return new ProtobufReader(this.name, this.#bytes, this.#start, this.#at);
  }

  text(): string {
    this.#expect(2);
    try {
      return utf8.decode(this.#bytes.subarray(this.#start, this.#at));
    } catch (cause) {
      throw this.malformed("text that is not UTF-8", this.#start, cause);
    }
  }

  /** Length of a delimited content, in bytes. */
  byteLength(): number {
    this.#expect(2);
    return this.#at - this.#start;
  }

  /** int32, uint32, uint64 and enums alike: negative numbers are stored as 64-bit two's complement. */
  int(): number {
    this.#expect(0);
    if (this.#value < 2 ** 53) return this.#value;
    let low = 0;
    for (let i = 0; i < 5 && this.#start + i < this.#at; i += 1) {
      low |= (this.#bytes[this.#start + i]! & 0x7f) << (7 * i);
    }
    return low;
  }

  float(): number {
    this.#expect(5);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#start, 4).getFloat32(0, true);
  }

  /** @param offset where in the file, in bytes; the current field's content when left out. */
  malformed(problem: string, offset: number = this.#start, cause?: unknown): FormatError {
    return new FormatError(problem, {
      file: this.name,
      offset,
      cause,
      mend: "The file is damaged, or of another kind: fetch it again.",
    });
  }

  #expect(wire: number): void {
    if (this.#wire !== wire) {
      throw this.malformed(`field ${this.number} has wire type ${this.#wire}, expected ${wire}`);
    }
  }

  #skip(tagAt: number): void {
    let size = 4;
    if (this.#wire === 1) size = 8;
    else if (this.#wire === 2) size = this.#varint();
    else if (this.#wire !== 5) {
      throw this.malformed(`field ${this.number} has wire type ${this.#wire}, which is not supported`, tagAt);
    }
    this.#start = this.#at;
    const left = this.#end - this.#at;
    if (size > left) {
      throw this.malformed(`field ${this.number} says it is ${size} bytes long, ${left} are left`, tagAt);
    }
    this.#at += size;
  }

  /** Base-128 varint of at most ten bytes. Values past 2^53 lose low bits: see `int`. */
  #varint(): number {
    const start = this.#at;
    const stop = Math.min(this.#end, start + 10);
    let value = 0;
    let scale = 1;
    while (this.#at < stop) {
      const byte = this.#bytes[this.#at]!;
      this.#at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw this.malformed("a number that does not end", start);
  }
}

/** Bytes of a message under construction. */
export class ProtobufWriter {
  #buffer = new Uint8Array(64);
  #length = 0;

  text(number: number, text: string): void {
    this.#delimited(number, Buffer.from(text, "utf8"));
  }

  message(number: number, message: ProtobufWriter): void {
    this.#delimited(number, message.bytes());
  }

  varint(number: number, value: number): void {
    this.#tag(number, 0);
    this.#varint(value < 0 ? BigInt.asUintN(64, BigInt(value)) : BigInt(value));
  }

  float(number: number, value: number): void {
    this.#tag(number, 5);
    this.#reserve(4);
    new DataView(this.#buffer.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  bytes(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  #delimited(number: number, bytes: Uint8Array): void {
    this.#tag(number, 2);
    this.#varint(BigInt(bytes.length));
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #tag(number: number, wire: number): void {
    this.#varint(BigInt(number * 8 + wire));
  }

  #varint(value: bigint): void {
    this.#reserve(10);
    for (let rest = value; ; rest >>= 7n) {
      this.#buffer[this.#length] = Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0);
      this.#length += 1;
      if (rest <= 0x7fn) return;
    }
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#buffer.length, this.#length + size));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}

// --- internal ---

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
