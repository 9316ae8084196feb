/**
 * A GGUF model in several files, `name-00001-of-00003.gguf` and so on, as llama.cpp splits it: the first has all
 * metadata, each has `split.no` (from 0), `split.count` and `split.tensors.count`, that of all files together.
 */

import { existsSync, rmSync } from "node:fs";
import { ConfigError, FormatError } from "../errors/errors.ts";
import { quoted } from "./bytes.ts";
import { openFile } from "./file-source.ts";
import { readGguf, type GgufFile } from "./gguf.ts";
import { streamGguf, type GgufToWrite, type GgufWriteValue } from "./gguf-write.ts";
import { tensorBytes, type TensorInfo, type TensorToStream } from "./tensor-info.ts";

/**
 * Reads the head of a GGUF model, of one file or of several.
 *
 * @param path of the only file, or of the first.
 * @throws {ConfigError} when another than the first is named, or one is missing.
 * @throws {FormatError} when the files are not of one model.
 */
export function readGgufModel(path: string): Pick<GgufFile, "metadata" | "tensors"> {
  const first = readHead(path);
  const count = splitNumber(first, "split.count", path);
  if (count <= 1) return first;
  const place = nameParts(path, count);
  if (splitNumber(first, "split.no", path) !== 0) {
    throw new ConfigError(`${path} is not the first file of its model`, {
      mend: `Name ${place.name(0)}.`,
    });
  }
  const tensors = new Map<string, TensorInfo>(first.tensors);
  for (let no = 1; no < count; no += 1) {
    const file = place.name(no);
    if (!existsSync(file)) {
      throw new ConfigError(`${file} is missing: the model has ${count} files`, {
        mend: "Fetch it into the same folder.",
      });
    }
    const part = readHead(file);
    if (splitNumber(part, "split.no", file) !== no || splitNumber(part, "split.count", file) !== count) {
      throw new FormatError(`it is not file ${no + 1} of ${count}`, { file, mend });
    }
    for (const [name, info] of part.tensors) {
      if (tensors.has(name)) throw new FormatError(`the tensor ${quoted(name)} stands twice`, { file, mend });
      tensors.set(name, info);
    }
  }
  const total = splitNumber(first, "split.tensors.count", path);
  if (total !== tensors.size) {
    throw new FormatError(`the files have ${tensors.size} tensors, the first says ${total}`, {
      file: path,
      mend,
    });
  }
  return { metadata: first.metadata, tensors };
}

/**
 * Writes a model in files of at most `maxBytes` of data; a tensor that is larger gets a file of its own.
 *
 * @param path ends with `.gguf`; the files' numbers go before that. One file that suffices has the name as it is.
 * @returns the paths, in order.
 */
export async function streamGgufSplit(
  path: string,
  content: GgufToWrite<TensorToStream>,
  maxBytes: number,
): Promise<string[]> {
  if (!(maxBytes > 0)) throw new ConfigError(`files of at most ${maxBytes} bytes cannot be written`);
  const groups = grouped(content.tensors, maxBytes);
  if (groups.length === 1) {
    await streamGguf(path, content);
    return [path];
  }
  const stem = path.replace(/\.gguf$/, "");
  const paths = groups.map((_, no) => numbered(stem, no, groups.length));
  const metadataOf = (no: number): Map<string, GgufWriteValue> =>
    new Map<string, GgufWriteValue>([
      ...(no === 0 ? content.metadata : []),
      ["split.no", { type: "uint16", value: no }],
      ["split.count", { type: "uint16", value: groups.length }],
      ["split.tensors.count", { type: "int32", value: content.tensors.length }],
    ]);
  // The first comes last: with it the model is whole. What came before a failure is of no use without it.
  const written: string[] = [];
  try {
    for (const no of [...groups.keys()].toReversed()) {
      await streamGguf(paths[no]!, { metadata: metadataOf(no), tensors: groups[no]! });
      written.push(paths[no]!);
    }
  } catch (error) {
    for (const part of written) rmSync(part, { force: true });
    throw error;
  }
  return paths;
}

// --- internal ---

const mend = "The files are of different models: fetch them again together.";

function readHead(path: string): GgufFile {
  using source = openFile(path);
  return readGguf(source);
}

function splitNumber({ metadata }: GgufFile, key: string, file: string): number {
  const value = metadata.get(key) ?? 0;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 65_535) return value;
  throw new FormatError(`${key} is not a whole number from 0 to 65535`, { file });
}

function numbered(stem: string, no: number, count: number): string {
  return `${stem}-${fiveDigits(no + 1)}-of-${fiveDigits(count)}.gguf`;
}

function fiveDigits(n: number): string {
  return String(n).padStart(5, "0");
}

/** How the files of a model are called, from the name of one of them. */
function nameParts(path: string, count: number): { name: (no: number) => string } {
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s.exec(path);
  if (match === null || Number(match[3]) !== count) {
    throw new ConfigError(`${path} is one of ${count} files, and its name does not say which`, {
      mend: `Give them back their names, such as ${numbered(path.replace(/\.gguf$/, ""), 0, count)}.`,
    });
  }
  return { name: (no) => numbered(match[1]!, no, count) };
}

function grouped(tensors: readonly TensorToStream[], maxBytes: number): TensorToStream[][] {
  const groups: TensorToStream[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor.type, tensor.shape);
    if (filled > 0 && filled + bytes > maxBytes) {
      groups.push([]);
      filled = 0;
    }
    groups.at(-1)!.push(tensor);
    filled += bytes;
  }
  return groups;
}
