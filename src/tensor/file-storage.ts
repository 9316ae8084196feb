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
import { dtypes } from "./dtype.ts";
import { checkShape, extentsOf } from "./shape.ts";
import type { Storage, TensorSpec } from "./storage.ts";
import { Tensor } from "./tensor.ts";

export interface FileTensor extends TensorSpec {
  readonly file: string;
  /** Where its data starts in the file, in bytes. */
  readonly offset: number;
  /** How many bytes the file has of it. */
  readonly bytes: number;
  /** Lays the file's bytes out as the tensor wants them; without it they are used as they are. */
  readonly convert?: (bytes: Uint8Array) => Uint8Array;
}

/** Opens tensors; the caller disposes the storage, which closes the files. */
export function openFileStorage(
  name: string,
  backend: Backend,
  specs: Readonly<Record<string, FileTensor>>,
): Storage {
  const owned: Disposable[] = [];
  const dispose = (): void => {
    const [arena, ...files] = owned.toReversed();
    arena?.[Symbol.dispose]();
    // Tensors lie in the files: they are closed after the arena is freed.
    backend.afterRuns(() => {
      for (const file of files) file[Symbol.dispose]();
    });
  };
  try {
    const files = new Map<string, OpenedFile>();
    for (const file of new Set(Object.values(specs).map((spec) => spec.file))) {
      const opened = openWhole(file, backend);
      owned.push(opened);
      files.set(file, opened);
    }
    const arena = new Arena(name, backend, Math.max(1, Object.keys(specs).length));
    owned.push(arena);
    const tensors = placeTensors(arena, specs, files);
    const bytes = Object.values(tensors).reduce((total, tensor) => total + tensor.bytes, 0);
    return { tensors, bytes, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

// --- internal ---

/** ggml's kernels load whole vectors. */
const alignment = 32;

interface OpenedFile extends Disposable {
  readonly mapped: MappedFile | undefined;
  read(offset: number, bytes: number): Uint8Array;
}

function placeTensors(
  arena: Arena,
  specs: Readonly<Record<string, FileTensor>>,
  files: ReadonlyMap<string, OpenedFile>,
): Record<string, Tensor> {
  const { ggml } = arena.backend.library;
  const buffers = new Map<string, Pointer>();
  const tensors: Record<string, Tensor> = {};
  const copied: [Tensor, FileTensor][] = [];
  for (const [key, spec] of Object.entries(specs)) {
    checkShape(key, spec.shape);
    const ptr = arena.newTensor(dtypes[spec.dtype ?? "f32"].id, extentsOf(spec.shape));
    const tensor = new Tensor(arena, ptr, spec.shape, spec);
    checkBytes(key, tensor, spec);
    tensors[key] = tensor;
    const mapped = files.get(spec.file)?.mapped;
    if (mapped === undefined || spec.convert !== undefined || spec.offset % alignment !== 0) {
      copied.push([tensor, spec]);
      continue;
    }
    const buffer = buffers.get(spec.file) ?? arena.adopt(mapped);
    buffers.set(spec.file, buffer);
    ggml.tensorAlloc(buffer, ptr, mapped.address + spec.offset);
  }
  // Takes memory for those that have none yet.
  arena.allocate();
  for (const [tensor, spec] of copied) {
    const bytes = files.get(spec.file)!.read(spec.offset, spec.bytes);
    tensor.writeBytes(spec.convert === undefined ? bytes : spec.convert(bytes));
  }
  return tensors;
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
      return mapped.view.subarray(offset, offset + bytes);
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
