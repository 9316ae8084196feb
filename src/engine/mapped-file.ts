/**
 * A file mapped into memory, read-only: its pages are loaded when they are touched and shared between processes.
 * Where the platform has no mmap (Windows), callers copy the file's parts instead.
 */

import { constants } from "node:buffer";
import { closeSync, fstatSync, openSync } from "node:fs";
import { EngineError } from "../errors/errors.ts";
import { memoryView, openLibrary, type NativeLibrary, type Pointer } from "./ffi.ts";
import { engineLibrary } from "./library.ts";

export const canMapFiles = process.platform !== "win32";

export interface MappedFile extends Disposable {
  readonly path: string;
  readonly address: Pointer;
  readonly bytes: number;
  /**
   * A part of the file, without a copy, for as long as the mapping lives: JavaScript has no view of a whole one that is
   * longer than 4 GiB.
   */
  view(offset: number, bytes: number): Uint8Array;
  /** Takes whole pages of a part out of the process's memory; they are loaded anew when they are touched. */
  release(offset: number, bytes: number): void;
}

/** Maps a whole file; the caller disposes it after everything that lies in it. */
export function mapFile(path: string): MappedFile {
  const fd = openSync(path, "r");
  try {
    const bytes = fstatSync(fd).size;
    const libc = bindLibc();
    const address = libc.mmap(0, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (address <= 0) {
      throw new EngineError(`${path} (${bytes} bytes) cannot be mapped into memory`, {
        call: "mmap",
        mend: "Check that it is a regular, non-empty file.",
      });
    }
    let isMapped = true;
    const { live } = engineLibrary();
    const owner = { name: `map of ${path}` };
    live.add(owner);
    const unmap = (): void => {
      if (isMapped) libc.munmap(address, bytes);
      isMapped = false;
      live.delete(owner);
    };
    const release = (offset: number, length: number): void => {
      const first = Math.ceil(offset / largestPage) * largestPage;
      const end = Math.floor((offset + length) / largestPage) * largestPage;
      // Only advice: what it answers does not matter.
      if (isMapped && end > first) libc.madvise(address + first, end - first, MADV_DONTNEED);
    };
    const view = (offset: number, length: number): Uint8Array => {
      checkPart({ path, bytes }, offset, length);
      return length === 0 ? new Uint8Array() : memoryView(address + offset, length);
    };
    return { path, address, bytes, view, release, [Symbol.dispose]: unmap };
  } finally {
    closeSync(fd);
  }
}

// --- internal ---

/** What is outside of the mapping would be read from whatever lies there. */
function checkPart(file: Pick<MappedFile, "path" | "bytes">, offset: number, length: number): void {
  const isInside = offset >= 0 && length >= 0 && offset + length <= file.bytes;
  if (isInside && length <= constants.MAX_LENGTH) return;
  throw new EngineError(
    `${length} bytes from ${offset} on cannot be viewed at once of ${file.path} (${file.bytes} bytes)`,
    { call: "mmap" },
  );
}

const PROT_READ = 1;
const MAP_PRIVATE = 2;
const MADV_DONTNEED = 4;

/** A multiple of every platform's page. */
const largestPage = 2 ** 16;

interface Libc {
  mmap(
    address: Pointer,
    bytes: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
  ): Pointer;
  munmap(address: Pointer, bytes: number): number;
  madvise(address: Pointer, bytes: number, advice: number): number;
}

let bound: Libc | undefined;

function bindLibc(): Libc {
  const library: NativeLibrary = openLibrary(null);
  bound ??= {
    mmap: library.bind("intptr_t mmap(ptr addr, size_t length, int prot, int flags, int fd, int64_t offset)"),
    munmap: library.bind("int munmap(ptr addr, size_t length)"),
    madvise: library.bind("int madvise(ptr addr, size_t length, int advice)"),
  };
  return bound;
}
