/**
 * A typed, shaped value in native memory that an arena owns.
 */

import type { Arena } from "../engine/arena.ts";
import type { Pointer } from "../engine/ffi.ts";
import { ConfigError, EngineError, UseAfterFreeError } from "../errors/errors.ts";
import { dtypes, isFloat, type DType, type Elements } from "./dtype.ts";
import { checkShape, elementsOf, extentsOf, shapeText, type Shape } from "./shape.ts";

export interface TensorOptions {
  readonly dtype?: DType;
  /** Whether gradients flow to it. */
  readonly requiresGrad?: boolean;
  /** Laid out for products, which alone can read it: it is written whole, and never read back. */
  readonly isPacked?: boolean;
  /** For indices (i32, i64): every value lies in [0, limit). Uploads are checked against it. */
  readonly limit?: number;
}

export class Tensor {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly requiresGrad: boolean;
  /** For indices: every value lies in [0, limit). */
  readonly limit: number;
  readonly isPacked: boolean;
  readonly #arena: Arena;
  readonly #ptr: Pointer;

  constructor(arena: Arena, ptr: Pointer, shape: Shape, options: TensorOptions = {}) {
    this.#arena = arena;
    this.#ptr = ptr;
    this.shape = shape;
    this.dtype = options.dtype ?? "f32";
    this.requiresGrad = options.requiresGrad ?? false;
    this.limit = options.limit ?? 0;
    this.isPacked = options.isPacked ?? false;
    if (!Number.isSafeInteger(this.limit) || this.limit < 0)
      throw new ConfigError(`a limit of ${this.limit} for indices is not a whole number from 0`);
  }

  /** Its ggml_tensor. For tensor/ only. @throws {UseAfterFreeError} once its arena is disposed. */
  get ptr(): Pointer {
    if (!this.#arena.isFreed) return this.#ptr;
    throw new UseAfterFreeError(
      `tensor ${shapeText(this.shape)} lies in arena "${this.#arena.name}", which was freed`,
      {
        mend: "Keep the arena open with `using` for as long as its tensors are read.",
      },
    );
  }

  get elements(): number {
    return elementsOf(this.shape);
  }

  get bytes(): number {
    const { block, bytes } = dtypes[this.dtype];
    return (this.elements / block) * bytes;
  }

  /** A copy of its elements. */
  read(): Elements {
    if (this.isPacked) throw new ConfigError(`read: ${shapeText(this.shape)} is packed for products`);
    const layout = dtypes[this.dtype];
    const ptr = this.#withMemory("read");
    const bytes = unfilled(this.bytes);
    this.#arena.backend.library.ggml.tensorGet(ptr, bytes, 0, bytes.byteLength);
    return layout.view(bytes.buffer);
  }

  /** A copy of its first `count` bytes. */
  readBytes(count: number): Uint8Array {
    if (this.isPacked || !Number.isSafeInteger(count) || count < 0 || count > this.bytes) {
      throw new ConfigError(`read: there are no ${count} bytes in ${shapeText(this.shape)} of ${this.bytes}`);
    }
    const bytes = unfilled(count);
    if (count > 0) this.#arena.backend.library.ggml.tensorGet(this.#withMemory("read"), bytes, 0, count);
    return bytes;
  }

  /** A copy of its elements, for a tensor of f32. @throws {ConfigError} for other types. */
  readF32(): Float32Array {
    const elements = this.read();
    if (elements instanceof Float32Array) return elements;
    throw new ConfigError(`a tensor of ${this.dtype} was read as f32`);
  }

  /** Copies its elements into an array of as many, for a tensor of f32. @throws {ConfigError} for others. */
  readF32Into(target: Float32Array): void {
    if (this.dtype !== "f32" || target.length !== this.elements) {
      throw new ConfigError(
        `read: ${this.dtype} ${shapeText(this.shape)} is not ${target.length} elements of f32`,
      );
    }
    const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
    this.#arena.backend.library.ggml.tensorGet(this.#withMemory("read"), bytes, 0, bytes.byteLength);
  }

  /** Copies elements in. @throws {ConfigError} when the count or the type differs, or an index is out of range. */
  write(elements: Elements): void {
    const layout = dtypes[this.dtype];
    if (
      elements.byteLength !== this.bytes ||
      layout.view(new ArrayBuffer(0)).constructor !== elements.constructor
    ) {
      throw new ConfigError(
        `write: ${elements.length} elements in a ${elements.constructor.name} do not fit a tensor of ${this.dtype} ${shapeText(this.shape)}`,
      );
    }
    if (this.limit > 0) checkIndices(elements, this.limit);
    const bytes = new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
    this.#arena.backend.library.ggml.tensorSet(this.#withMemory("write"), bytes, 0, bytes.byteLength);
  }

  /** Copies bytes in from `offset` on, for data that is streamed from a file. */
  writeBytes(bytes: Uint8Array, offset = 0): void {
    this.#checkBytes(bytes, offset);
    if (bytes.byteLength > 0) {
      this.#arena.backend.library.ggml.tensorSet(this.#withMemory("write"), bytes, offset, bytes.byteLength);
    }
  }

  /** Copies all of its bytes in on another thread. Until it is done neither the arena nor the bytes may go. */
  async writeBytesAsync(bytes: Uint8Array): Promise<void> {
    this.#checkBytes(bytes, 0);
    if (bytes.byteLength === 0) return;
    const { ggml } = this.#arena.backend.library;
    const ptr = this.#withMemory("write");
    await new Promise<void>((done, fail) => {
      ggml.tensorSet.async(ptr, bytes, 0, bytes.byteLength, (error) => {
        if (error === null) done();
        else
          fail(
            new EngineError("a tensor was not written", { call: "ggml_backend_tensor_set", cause: error }),
          );
      });
    });
  }

  /** Sets every byte to zero. */
  clear(): void {
    this.#arena.backend.library.ggml.tensorMemset(this.#withMemory("write"), 0, 0, this.bytes);
  }

  #checkBytes(bytes: Uint8Array, offset: number): void {
    if (this.limit > 0) throw new ConfigError("write: indices are written as numbers, which are checked");
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + bytes.byteLength > this.bytes) {
      throw new ConfigError(
        `write: bytes ${offset} to ${offset + bytes.byteLength} lie outside a tensor of ${this.bytes} bytes`,
      );
    }
    if (this.isPacked && bytes.byteLength !== this.bytes)
      throw new ConfigError(`write: ${shapeText(this.shape)} is packed for products, and is written whole`);
  }

  #withMemory(what: string): Pointer {
    const { ptr } = this;
    if (this.#arena.backend.library.ggml.getData(ptr) !== 0) return ptr;
    throw new EngineError(`${what}: tensor ${shapeText(this.shape)} has no memory yet`, {
      mend: "Allocate the graph first; a node that is not put into it never has any.",
    });
  }
}

/**
 * A tensor of its own in an arena.
 *
 * @param what names it in errors.
 * @throws {ConfigError} for a shape that ggml cannot hold, or rows that are not whole blocks of the type.
 */
export function newTensor(arena: Arena, what: string, shape: Shape, options: TensorOptions): Tensor {
  const { dtype = "f32" } = options;
  checkTensor(what, shape, dtype);
  return new Tensor(arena, arena.newTensor(dtypes[dtype].id, extentsOf(shape)), shape, options);
}

/** @throws {ConfigError} for a shape that ggml cannot hold, or rows that are not whole blocks of the type. */
export function checkTensor(what: string, shape: Shape, dtype: DType): void {
  checkShape(what, shape);
  const { block } = dtypes[dtype];
  if (shape.at(-1)! % block === 0) return;
  throw new ConfigError(
    `${what}: rows of ${shapeText(shape)} are not whole blocks of ${block}, as ${dtype} has them`,
  );
}

/** @throws {ConfigError} for integers, which have no kernels of arithmetic, and quantised types, which have few. */
export function requireFloat(op: string, x: Tensor): void {
  if (isFloat(x.dtype)) return;
  throw new ConfigError(`${op}: ${shapeText(x.shape)} is ${x.dtype}, not f32, f16 or bf16`);
}

/** @throws {ConfigError} for integers. */
export function requireWeight(op: string, x: Tensor): void {
  if (x.dtype !== "i32" && x.dtype !== "i64") return;
  throw new ConfigError(`${op}: ${shapeText(x.shape)} is ${x.dtype}, not a floating or quantised type`);
}

// --- internal ---

/** Bytes that are all written before anyone reads them: filling the logits of a step with zeros would take longer. */
function unfilled(bytes: number): Uint8Array<ArrayBuffer> {
  return Buffer.allocUnsafeSlow(bytes);
}

function checkIndices(elements: Elements, limit: number): void {
  const top = BigInt(limit);
  const isBad =
    elements instanceof BigInt64Array
      ? elements.some((value) => value < 0n || value >= top)
      : elements.some((value) => value < 0 || value >= limit);
  if (!isBad) return;
  throw new ConfigError(`an index lies outside [0, ${limit})`);
}
