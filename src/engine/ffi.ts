/**
 * The one door to koffi (foreign functions without a compiler).
 *
 * Addresses are plain numbers (`uintptr_t`, below 2^47 on every platform we run on): they can be added to
 * and kept in maps, which koffi's opaque pointers cannot. When the floor is a Node with `node:ffi`, this file
 * is what changes.
 */

import koffi from "koffi";

/** A native address; 0 is NULL. */
export type Pointer = number;

/** A C function; `async` runs it on a thread of libuv's pool and calls back on the event loop. */
export type NativeFunction<Args extends readonly unknown[], Result> = ((...args: Args) => Result) & {
  async(...args: [...Args, (error: unknown, result: Result) => void]): void;
};

export interface NativeLibrary {
  /** Binds one C prototype, in which `ptr` stands for any pointer or opaque handle. */
  bind<Args extends readonly unknown[], Result>(prototype: string): NativeFunction<Args, Result>;
}

/** @param path of the shared library; `null` is the running process itself (libc). */
export function openLibrary(path: string | null): NativeLibrary {
  declareTypes();
  const handle = koffi.load(path);
  return { bind: (prototype) => handle.func(prototype) as never };
}

/** Calls a C function by its address, for the entry points a backend gives out by name only. */
export function callAddress<Result>(
  address: Pointer,
  prototype: string,
  ...args: readonly unknown[]
): Result {
  declareTypes();
  return koffi.call(BigInt(address), protoOf(prototype), ...args) as Result;
}

/** A JavaScript function as a C callback. It lives as long as the process. */
export function registerCallback(prototype: string, callback: (...args: never[]) => void): Pointer {
  declareTypes();
  return Number(koffi.register(callback, koffi.pointer(protoOf(prototype))));
}

/** The memory at an address as bytes, without a copy. The caller keeps it alive while the view is used. */
export function memoryView(address: Pointer, bytes: number): Uint8Array {
  return new Uint8Array(koffi.view(BigInt(address), bytes));
}

/** A zero-terminated C string. */
export function readString(address: Pointer): string {
  return address === 0 ? "" : koffi.decode.string(BigInt(address));
}

/** An address stored in native memory at `address + 8 * index`. */
export function readPointer(address: Pointer, index: number): Pointer {
  return Number(koffi.decode.uint64(BigInt(address + 8 * index)));
}

// --- internal ---

/** koffi refuses to declare a prototype's name twice. */
const prototypes = new Map<string, ReturnType<typeof koffi.proto>>();

function protoOf(prototype: string): ReturnType<typeof koffi.proto> {
  const known = prototypes.get(prototype) ?? koffi.proto(prototype);
  prototypes.set(prototype, known);
  return known;
}

function declareTypes(): void {
  try {
    koffi.type("ptr");
  } catch {
    koffi.alias("ptr", "uintptr_t");
    koffi.struct("ggml_init_params", { mem_size: "size_t", mem_buffer: "uintptr_t", no_alloc: "bool" });
  }
}
