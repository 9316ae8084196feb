/**
 * Tensors whose data lies in files. Where the device is the CPU and the data is aligned, the file is mapped and used
 * in place; what is misaligned or laid out otherwise is copied, once.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { Arena } from "../engine/arena.ts";
import type { Backend } from "../engine/backend.ts";
import type { Pointer } from "../engine/ffi.ts";
import { canMapFiles, mapFile, type MappedFile } from "../engine/mapped-file.ts";
import { FormatError } from "../errors/errors.ts";
import { packedBufferType } from "../engine/packing.ts";
import { dtypes } from "./dtype.ts";
import { extentsOf } from "./shape.ts";
import type { Storage, TensorSpec } from "./storage.ts";
import { checkTensor, newTensor, type Tensor } from "./tensor.ts";

/** Bytes in a file. */
export interface FilePlace {
  readonly file: string;
  /** Where they start, in bytes. */
  readonly offset: number;
  /** How many they are. */
  readonly bytes: number;
}

export interface FileTensor extends TensorSpec, FilePlace {
  /** Where the rest of it lies, for one in several places. */
  readonly more?: readonly FilePlace[];
  /** Lays the files' bytes out as the tensor wants them; without it they are used as they are. */
  readonly convert?: (bytes: Uint8Array, more: readonly Uint8Array[]) => Uint8Array;
  /** Read by products only: it may be laid out for them, where the device is faster for it, in memory of its own. */
  readonly isPackable?: boolean;
}

/** Opens tensors; the caller disposes the storage, which closes the files. */
export function openFileStorage(
  name: string,
  backend: Backend,
  specs: Readonly<Record<string, FileTensor>>,
): Storage {
  const { storage, copied, bytesOf, release } = place(name, backend, specs);
  try {
    for (const part of copied) {
      part.tensor.writeBytes(bytesOf(part));
      release(part);
    }
    return storage;
  } catch (error) {
    storage[Symbol.dispose]();
    throw error;
  }
}

/**
 * The same with an event loop that stays free: what is copied or packed is so on another thread.
 *
 * @throws the signal's reason when it is aborted, between two tensors.
 */
export async function loadFileStorage(
  name: string,
  backend: Backend,
  specs: Readonly<Record<string, FileTensor>>,
  signal?: AbortSignal,
): Promise<Storage> {
  const { storage, copied, bytesOf, release } = place(name, backend, specs);
  try {
    for (const part of copied) {
      signal?.throwIfAborted();
      await part.tensor.writeBytesAsync(bytesOf(part));
      release(part);
    }
    return storage;
  } catch (error) {
    storage[Symbol.dispose]();
    throw error;
  }
}

/** Whether a tensor would be laid out for products on this device. */
export function canPack(
  backend: Backend,
  { shape, dtype = "f32", isPackable = false }: Pick<FileTensor, "shape" | "dtype" | "isPackable">,
): boolean {
  return isPackable && packedBufferType(backend, dtypes[dtype].id, extentsOf(shape)) !== undefined;
}

// --- internal ---

/** ggml's kernels load whole vectors. */
const alignment = 32;

interface OpenedFile extends Disposable {
  readonly mapped: MappedFile | undefined;
  read(offset: number, bytes: number): Uint8Array;
}

interface Copied {
  readonly tensor: Tensor;
  readonly spec: FileTensor;
}

/** Tensors that lie where they shall, and those of them whose bytes are still to be copied. */
interface Placed {
  readonly storage: Storage;
  readonly copied: readonly Copied[];
  readonly bytesOf: (copied: Copied) => Uint8Array;
  /** What is in memory of its own now need not be there twice. */
  readonly release: (copied: Copied) => void;
}

function place(name: string, backend: Backend, specs: Readonly<Record<string, FileTensor>>): Placed {
  const owned: Arena[] = [];
  const files = new Map<string, OpenedFile>();
  const dispose = (): void => {
    for (const arena of owned.toReversed()) arena[Symbol.dispose]();
    // Tensors lie in the files: they are closed after the arenas are freed.
    backend.afterRuns(() => {
      for (const file of files.values()) file[Symbol.dispose]();
    });
  };
  try {
    const paths = Object.values(specs).flatMap((spec) => placesOf(spec).map(({ file }) => file));
    for (const path of new Set(paths)) files.set(path, openWhole(path, backend));
    const capacity = Math.max(1, Object.keys(specs).length);
    const newArena = (bufferType?: Pointer): Arena => {
      const arena = new Arena(name, backend, capacity, bufferType);
      owned.push(arena);
      return arena;
    };
    const { tensors, copied } = placeTensors(newArena, specs, files);
    const bytes = Object.values(tensors).reduce((total, tensor) => total + tensor.bytes, 0);
    const read = ({ file, offset, bytes }: FilePlace): Uint8Array => files.get(file)!.read(offset, bytes);
    return {
      storage: { tensors, bytes, [Symbol.dispose]: dispose },
      copied,
      bytesOf: ({ spec }) => spec.convert?.(read(spec), (spec.more ?? []).map(read)) ?? read(spec),
      release({ spec }) {
        for (const { file, offset, bytes } of placesOf(spec)) files.get(file)!.mapped?.release(offset, bytes);
      },
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

function placesOf(spec: FileTensor): FilePlace[] {
  return [spec, ...(spec.more ?? [])];
}

function placeTensors(
  newArena: (bufferType?: Pointer) => Arena,
  specs: Readonly<Record<string, FileTensor>>,
  files: ReadonlyMap<string, OpenedFile>,
): { readonly tensors: Record<string, Tensor>; readonly copied: readonly Copied[] } {
  const arena = newArena();
  const { ggml } = arena.backend.library;
  const packing = new Packing(arena.backend, newArena);
  const buffers = new Map<string, Pointer>();
  const tensors: Record<string, Tensor> = {};
  const copied: Copied[] = [];
  for (const [key, spec] of Object.entries(specs)) {
    checkTensor(key, spec.shape, spec.dtype ?? "f32");
    const packed = spec.isPackable === true ? packing.arenaFor(spec) : undefined;
    const tensor = newTensor(packed ?? arena, key, spec.shape, { ...spec, isPacked: packed !== undefined });
    checkBytes(key, tensor, spec);
    tensors[key] = tensor;
    if (packed !== undefined) {
      copied.push({ tensor, spec });
      continue;
    }
    const mapped = files.get(spec.file)?.mapped;
    if (mapped === undefined || spec.convert !== undefined || spec.offset % alignment !== 0) {
      copied.push({ tensor, spec });
      continue;
    }
    const buffer = buffers.get(spec.file) ?? arena.adopt(mapped);
    buffers.set(spec.file, buffer);
    ggml.tensorAlloc(buffer, tensor.ptr, mapped.address + spec.offset);
  }
  // Takes memory for those that have none yet.
  arena.allocate();
  packing.allocate();
  return { tensors, copied };
}

/** Arenas of packed tensors, and what is known of sizes. */
class Packing {
  readonly #backend: Backend;
  readonly #newArena: (bufferType: Pointer) => Arena;
  readonly #arenas = new Map<Pointer, Arena>();
  readonly #known = new Map<string, Pointer | undefined>();

  constructor(backend: Backend, newArena: (bufferType: Pointer) => Arena) {
    this.#backend = backend;
    this.#newArena = newArena;
  }

  /** Where such a tensor is packed; undefined when it is not. */
  arenaFor({ shape, dtype = "f32" }: FileTensor): Arena | undefined {
    const key = `${dtype} ${shape.join(" ")}`;
    if (!this.#known.has(key)) {
      this.#known.set(key, packedBufferType(this.#backend, dtypes[dtype].id, extentsOf(shape)));
    }
    const bufferType = this.#known.get(key);
    if (bufferType === undefined) return undefined;
    const arena = this.#arenas.get(bufferType) ?? this.#newArena(bufferType);
    this.#arenas.set(bufferType, arena);
    return arena;
  }

  allocate(): void {
    for (const arena of this.#arenas.values()) arena.allocate();
  }
}

function checkBytes(key: string, tensor: Tensor, spec: FileTensor): void {
  if (spec.convert !== undefined || spec.bytes === tensor.bytes) return;
  throw new FormatError(`tensor ${key} has ${spec.bytes} bytes where its shape needs ${tensor.bytes}`, {
    file: spec.file,
    offset: spec.offset,
  });
}

function openWhole(path: string, backend: Backend): OpenedFile {
  if (canMapFiles && backend.isHost) {
    const mapped = mapFile(path);
    const read = (offset: number, bytes: number): Uint8Array => {
      if (offset + bytes > mapped.bytes) throw pastEnd(path, offset);
      return mapped.view(offset, bytes);
    };
    return { mapped, read, [Symbol.dispose]: () => mapped[Symbol.dispose]() };
  }
  const fd = openSync(path, "r");
  const read = (offset: number, bytes: number): Uint8Array => {
    const into = new Uint8Array(bytes);
    if (readSync(fd, into, 0, bytes, offset) !== bytes) throw pastEnd(path, offset);
    return into;
  };
  return { mapped: undefined, read, [Symbol.dispose]: () => closeSync(fd) };
}

function pastEnd(file: string, offset: number): FormatError {
  return new FormatError("the file ends before the tensor does", { file, offset });
}
