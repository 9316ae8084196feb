/**
 * An owner of native memory: tensors' headers (a ggml context) and their data (one buffer).
 *
 * Who creates an arena disposes it, with `using`. After that every use of its tensors throws.
 */

import { ConfigError, EngineError, UseAfterFreeError } from "../errors/errors.ts";
import type { Backend } from "./backend.ts";
import type { Pointer } from "./ffi.ts";
import type { MappedFile } from "./mapped-file.ts";

/** Sizes of a tensor as ggml has them: innermost dimension first, always four. */
export type Extents = readonly [number, number, number, number];

export class Arena implements Disposable {
  readonly name: string;
  readonly backend: Backend;
  readonly #capacity: number;
  readonly #bufferType: Pointer;
  #count = 0;
  #ctx: Pointer | undefined;
  #buffers: Pointer[] = [];
  #allocatedBytes = 0;

  /**
   * @param capacity   how many tensors it can hold; one more throws.
   * @param bufferType what memory `allocate` takes; the backend's own when left out.
   * @throws {UseAfterFreeError} when the backend is disposed.
   */
  constructor(name: string, backend: Backend, capacity: number, bufferType: Pointer = backend.bufferType) {
    this.name = name;
    this.backend = backend;
    this.#capacity = capacity;
    this.#bufferType = bufferType;
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > mostTensors) {
      throw new ConfigError(
        `arena "${name}": a capacity of ${capacity} is not from 1 to ${mostTensors} tensors`,
      );
    }
    const { ggml } = backend.library;
    const bytes = (capacity + 1) * (ggml.tensorOverhead() + 64) + graphBytes(backend, capacity);
    this.#ctx = ggml.init({ mem_size: bytes, mem_buffer: 0, no_alloc: true });
    if (this.#ctx === 0) throw new EngineError(`no memory for arena "${name}"`, { call: "ggml_init" });
    backend.library.live.add(this);
  }

  /** The ggml context; each call that adds a tensor to it goes through `reserve` first. */
  get ctx(): Pointer {
    if (this.#ctx !== undefined) return this.#ctx;
    throw new UseAfterFreeError(`arena "${this.name}" was freed`, {
      mend: "Keep it open with `using` for as long as its tensors are read.",
    });
  }

  get isFreed(): boolean {
    return this.#ctx === undefined;
  }

  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** Counts `n` tensors about to be created, so that ggml never runs out of context (it would abort). */
  reserve(n: number): Pointer {
    if (this.#count + n > this.#capacity) {
      throw new EngineError(`arena "${this.name}" is full: it holds ${this.#capacity} tensors`, {
        mend: "Make it with a larger capacity.",
      });
    }
    const { ctx } = this;
    this.#count += n;
    return ctx;
  }

  newTensor(type: number, extents: Extents): Pointer {
    return this.backend.library.ggml.newTensor4d(this.reserve(1), type, ...extents);
  }

  /**
   * Gives memory, all zero, to every tensor that has none yet.
   *
   * @throws {EngineError} when the machine has not enough.
   */
  allocate(): void {
    const { ggml } = this.backend.library;
    const bytes = ggml.allocCtxTensorsSize(this.ctx, this.#bufferType);
    if (bytes === 0) return;
    checkMemory(`arena "${this.name}"`, bytes);
    const buffer = ggml.allocCtxTensors(this.ctx, this.#bufferType);
    if (buffer === 0) {
      throw new EngineError(`no memory for arena "${this.name}" (${inMiB(bytes)})`, {
        call: "ggml_backend_alloc_ctx_tensors_from_buft",
        mend: "Use a smaller model, batch or context.",
      });
    }
    ggml.bufferClear(buffer, 0);
    this.#buffers.push(buffer);
    this.#allocatedBytes += bytes;
  }

  /** Wraps a mapped file so that tensors can lie in it; the file must outlive the arena. CPU only. */
  adopt(file: MappedFile): Pointer {
    const buffer = this.backend.library.ggml.cpuBufferFromPtr(file.address, file.bytes);
    this.#buffers.push(buffer);
    return buffer;
  }

  [Symbol.dispose](): void {
    const [ctx, buffers] = [this.#ctx, this.#buffers];
    if (ctx === undefined) return;
    this.#ctx = undefined;
    this.#buffers = [];
    this.backend.afterRuns(() => {
      const { ggml, live } = this.backend.library;
      for (const buffer of buffers) ggml.bufferFree(buffer);
      ggml.free(ctx);
      live.delete(this);
    });
  }
}

/** @throws {EngineError} when `bytes` more would not fit into the machine's free memory. */
export function checkMemory(what: string, bytes: number): void {
  const free = process.availableMemory();
  if (bytes <= free) return;
  throw new EngineError(`${what} needs ${inMiB(bytes)}, ${inMiB(free)} are free`, {
    mend: "Use a smaller model, batch or context, or close other programs.",
  });
}

// --- internal ---

/** A graph of the largest Llama has some ten thousand nodes. */
const mostTensors = 2 ** 20;

function graphBytes(backend: Backend, capacity: number): number {
  return backend.library.ggml.graphOverheadCustom(capacity, false) + 1024;
}

function inMiB(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
