/** A file on disk as a ByteSource: positioned reads, no mapping, so it works on every platform. */

import { closeSync, fstatSync, openSync, readSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { ConfigError, FormatError, UseAfterFreeError } from "../errors/errors.ts";
import { nearestName } from "../errors/nearest.ts";
import { checkRange, type ByteSource } from "./bytes.ts";

export interface FileSource extends ByteSource, Disposable {
  /** Absolute. `name` is the path as it was given, for messages. */
  readonly path: string;
}

/**
 * Opens a file; the caller disposes it.
 *
 * @throws {ConfigError} when there is no such file, it is not a regular file, or may not be read.
 */
export function openFile(path: string): FileSource {
  const fd = openRegularFile(path);
  const { size } = fstatSync(fd);
  let isOpen = true;
  return {
    name: path,
    path: resolve(path),
    size,
    read(offset, length) {
      // The number of a closed descriptor is soon given to another file.
      if (!isOpen) throw new UseAfterFreeError(`${path} is read after it was closed`);
      checkRange(path, size, { offset, length });
      return readFully({ fd, name: path }, offset, length);
    },
    [Symbol.dispose]() {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
}

// --- internal ---

/** One read call moves less than 2 GiB. */
const maxReadBytes = 2 ** 30;

function openRegularFile(path: string): number {
  try {
    // Asked before opening: to open a pipe that nobody writes to would block for ever.
    const stat = statSync(path);
    if (stat.isFile()) return openSync(path, "r");
    throw new ConfigError(`${path} is ${stat.isDirectory() ? "a directory" : "not a regular file"}`, {
      mend: stat.isDirectory() ? "Name a file inside it." : "Copy its contents to a file and name that.",
    });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw unopened(path, error);
  }
}

function unopened(path: string, cause: unknown): ConfigError {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new ConfigError(`${path} does not exist`, { mend: nearestFile(path), cause });
  }
  if (code === "EACCES" || code === "EPERM") {
    return new ConfigError(`${path} may not be read`, {
      mend: "Give your user the permission to read it.",
      cause,
    });
  }
  return new ConfigError(`${path} cannot be opened: ${(cause as Error).message}`, {
    mend: "Check the path.",
    cause,
  });
}

function nearestFile(path: string): string {
  const directory = dirname(path);
  try {
    const nearest = nearestName(basename(path), readdirSync(directory));
    const place = directory === "." ? "this directory" : directory;
    return nearest === undefined ? `There is no such name in ${place}.` : `Did you mean ${nearest}?`;
  } catch {
    return `There is no directory ${directory} either: check the path.`;
  }
}

function readFully(
  file: { readonly fd: number; readonly name: string },
  offset: number,
  length: number,
): Uint8Array {
  const bytes = allocate(file.name, offset, length);
  for (let done = 0; done < length;) {
    const count = readSync(file.fd, bytes, done, Math.min(length - done, maxReadBytes), offset + done);
    if (count === 0) {
      throw new FormatError("the file became shorter while it was read", {
        file: file.name,
        offset: offset + done,
        mend: "Do not write to a file that is in use.",
      });
    }
    done += count;
  }
  return bytes;
}

function allocate(file: string, offset: number, length: number): Uint8Array {
  try {
    return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
  } catch (cause) {
    throw new FormatError(`${length} bytes in one piece are more than this machine can give`, {
      file,
      offset,
      cause,
    });
  }
}
