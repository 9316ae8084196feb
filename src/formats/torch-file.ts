/**
 * Reads PyTorch's checkpoint files (`.pth`, `.pt`, `.bin`): a zip file of `data.pkl`, which says what the tensors
 * are, and of `data/0`, `data/1`, ..., their storages, raw and uncompressed, so that weights are used where they
 * lie. Since PyTorch 1.6 torch.save writes no other; what it wrote before is refused with the way to convert it.
 *
 * The pickle is read as data and executes nothing (see pickle.ts). Tensors may be views into one storage, as tied
 * embeddings are. (PyTorch, docs/source/notes/serialization.rst; torch/_utils.py: _rebuild_tensor_v2)
 */

import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError, FormatError } from "../errors/errors.ts";
import { bytesSource, quoted, type ByteSource } from "./bytes.ts";
import { openFile } from "./file-source.ts";
import {
  isTagged,
  maxPickleBytes,
  readPickle,
  type PickleCall,
  type PickleDict,
  type PickleValue,
} from "./pickle.ts";
import { tensorBytes, tensorLayout, type TensorInfo, type TensorType } from "./tensor-info.ts";
import { readShards } from "./weight-index.ts";
import { readZipEntries, type ZipEntry } from "./zip-entries.ts";

/**
 * The tensors of a state dict, be it the whole file or what the file keeps under `model` or `state_dict`. What
 * else is in the file (numbers, settings, an optimizer's state) is left alone.
 *
 * @param file what to call the file in the tensors and in errors.
 * @throws {FormatError} for what is no such file, was cut short, asks for a call, or has a tensor that is not one
 *   contiguous run of its storage.
 */
export function readTorchFile(
  source: ByteSource,
  file: string = source.name,
): ReadonlyMap<string, TensorInfo> {
  const named = { name: file, size: source.size, read: source.read.bind(source) };
  requireZip(named);
  const archive = openArchive(named);
  requireLittleEndian(archive);
  const state = stateDict(archive, readPickle(contentsOf(archive, "data.pkl", maxPickleBytes)));
  const tensors = new Map<string, TensorInfo>();
  for (const [name, value] of state) {
    if (!isTensor(value)) continue;
    if (typeof name !== "string") throw refusal(archive, "a tensor has a key that is not a text");
    tensors.set(name, tensorInfo(archive, name, value));
  }
  return tensors;
}

/**
 * The tensors of a directory in Hugging Face's older layout: `pytorch_model.bin`, or
 * `pytorch_model.bin.index.json` and the shards it names. Every tensor's `file` is an absolute path.
 *
 * @throws {ConfigError} when neither is there. @throws {FormatError} when index and shards disagree.
 */
export function readTorchDirectory(directory: string): ReadonlyMap<string, TensorInfo> {
  const root = resolve(directory);
  const single = join(root, "pytorch_model.bin");
  if (existsSync(single)) return readTorchPath(single);
  const index = join(root, "pytorch_model.bin.index.json");
  if (existsSync(index)) return readShards({ root, index, extension: ".bin" }, readTorchPath);
  if (!existsSync(root)) throw new ConfigError(`${directory} does not exist`, { mend: "Check the path." });
  throw new ConfigError(`${directory} has neither pytorch_model.bin nor pytorch_model.bin.index.json`, {
    mend: readdirSync(root).some((name) => /^consolidated\..*\.pth$/.test(name))
      ? "It is a directory of Meta's own layout, which is read together with its params.json."
      : "Give the directory of a model in Hugging Face's layout.",
  });
}

/** Whether a directory has PyTorch's files and no safetensors, which are preferred. */
export function hasOnlyTorchWeights(directory: string): boolean {
  const has = (name: string): boolean => existsSync(join(directory, name));
  const isSafe = has("model.safetensors") || has("model.safetensors.index.json");
  return !isSafe && (has("pytorch_model.bin") || has("pytorch_model.bin.index.json"));
}

// --- internal ---

const storageTypes: ReadonlyMap<string, TensorType> = new Map([
  ["torch.FloatStorage", "f32"],
  ["torch.HalfStorage", "f16"],
  ["torch.BFloat16Storage", "bf16"],
  ["torch.DoubleStorage", "f64"],
  ["torch.LongStorage", "i64"],
  ["torch.IntStorage", "i32"],
  ["torch.ShortStorage", "i16"],
  ["torch.CharStorage", "i8"],
  ["torch.ByteStorage", "u8"],
  ["torch.BoolStorage", "bool"],
]);

const strided = "Where you can load the file in Python, save the tensor's .contiguous() in its place.";
const damaged =
  "The file is damaged or was not written by torch.save: fetch it again, or ask for the model as safetensors.";

/** PyTorch's own limit. */
const maxDims = 64;

interface Archive {
  readonly source: ByteSource;
  readonly file: string;
  /** By their names inside the archive's one folder. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
}

interface Storage {
  readonly type: TensorType;
  readonly elements: number;
  readonly entry: ZipEntry;
}

function readTorchPath(path: string): ReadonlyMap<string, TensorInfo> {
  using source = openFile(path);
  return readTorchFile(source);
}

/** Of what the pickle says; it begins there. */
function refusal(archive: Archive, problem: string, mend: string = damaged): FormatError {
  return new FormatError(problem, {
    file: archive.file,
    offset: archive.entries.get("data.pkl")!.offset,
    mend,
  });
}

/** Files from before PyTorch 1.6 are several pickles in a row, the first of which is a magic number. */
function requireZip(source: ByteSource): void {
  const file = source.name;
  const head = Buffer.from(source.read(0, Math.min(source.size, 4)));
  if (head.toString("latin1") === "PK\u0003\u0004") return;
  if (head[0] === 0x80) {
    throw new FormatError("a PyTorch file of the kind from before 1.6, which only Python can read", {
      file,
      offset: 0,
      mend: "Where you trust it: torch.save(torch.load(path), path) with PyTorch 1.6 or later. Or use safetensors.",
    });
  }
  throw new FormatError("a PyTorch file is a zip file, and this is none", {
    file,
    offset: 0,
    mend: "The file is damaged or of another kind: fetch it again.",
  });
}

/** All entries lie in one folder, named after the file that was saved. */
function openArchive(source: ByteSource): Archive {
  const file = source.name;
  const entries = readZipEntries(source);
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) {
    throw new FormatError(
      pickles.length === 0
        ? "a zip file without a data.pkl: not of torch.save"
        : `a zip file with ${pickles.length} folders that have a data.pkl`,
      { file, mend: "Give a file that torch.save wrote." },
    );
  }
  const folder = pickles[0]!.slice(0, -"data.pkl".length);
  const inside = [...entries.values()].filter(({ name }) => name.startsWith(folder));
  return { source, file, entries: new Map(inside.map((entry) => [entry.name.slice(folder.length), entry])) };
}

/** An entry's bytes. Offsets in its errors count from its start, as Python's pickletools shows them. */
function contentsOf(archive: Archive, name: string, maxBytes: number): ByteSource {
  const { offset, bytes } = archive.entries.get(name)!;
  if (bytes > maxBytes) {
    throw new FormatError(`${name} has ${bytes} bytes, of which at most ${maxBytes} are read`, {
      file: archive.file,
      offset,
    });
  }
  return bytesSource(`${archive.file}, ${name}`, archive.source.read(offset, bytes));
}

/** Absent from older files, which were all little-endian. */
function requireLittleEndian(archive: Archive): void {
  if (!archive.entries.has("byteorder")) return;
  const contents = contentsOf(archive, "byteorder", 16);
  const order = Buffer.from(contents.read(0, contents.size)).toString("latin1");
  if (order === "little") return;
  throw new FormatError(`its numbers are in the order ${quoted(order)}; only "little" is read`, {
    file: archive.file,
    mend: "Save it again on an x86 or ARM machine.",
  });
}

function stateDict(archive: Archive, root: PickleValue): PickleDict {
  if (!(root instanceof Map)) throw refusal(archive, `it holds ${kindOf(root)}, not a dict of tensors`);
  const nested = ["model", "state_dict"].map((key) => (root as PickleDict).get(key));
  const candidates = [...nested, root].filter((value) => value instanceof Map);
  const state = candidates.find((dict) => [...dict.values()].some(isTensor));
  if (state !== undefined) return state;
  throw new FormatError("there are no tensors in it, nor under model or state_dict", {
    file: archive.file,
    mend: "Save the model's state_dict() and give that file.",
  });
}

function kindOf(value: PickleValue): string {
  if (Array.isArray(value)) return "a list";
  return isTensor(value) ? "one tensor" : "one value";
}

function isTensor(value: PickleValue | undefined): value is PickleCall {
  return isTagged(value, "call");
}

/** A parameter is a tensor that wants gradients. */
function tensorArgs(call: PickleCall): readonly PickleValue[] {
  if (call.name !== "torch._utils._rebuild_parameter") return call.args;
  const inner = call.args[0];
  return isTensor(inner) && inner.name !== call.name ? inner.args : [];
}

function tensorInfo(archive: Archive, name: string, call: PickleCall): TensorInfo {
  const [stored, first, shape, strides, , , metadata] = tensorArgs(call);
  const refuse = (problem: string, mend?: string): never => {
    throw refusal(archive, `tensor ${quoted(name)}: ${problem}`, mend);
  };
  const { type, elements, entry } = storageOf(archive, stored, refuse);
  if (!isCount(first)) return refuse("its place in the storage is not a whole number");
  if (!isCounts(shape) || shape.length > maxDims) return refuse("its shape is not a list of whole numbers");
  if (!isCounts(strides) || strides.length !== shape.length) {
    return refuse("its strides are not as many whole numbers as its shape's");
  }
  // Set where the values in the file are the negatives or conjugates of the tensor's.
  if (metadata instanceof Map && metadata.size > 0) return refuse("its values are stored in a changed form");
  const shown = `${type} [${shape.join(", ")}]`;
  if (!isContiguous(shape, strides)) {
    return refuse(`${shown} with strides [${strides.join(", ")}] is not contiguous`, strided);
  }
  const width = tensorLayout(type).bytes;
  const bytes = tensorBytes(type, shape, refuse);
  if (first + bytes / width > elements) {
    return refuse(`${shown} from element ${first} on, in a storage of ${elements}`);
  }
  return { name, type, shape, file: archive.file, offset: entry.offset + first * width, bytes };
}

/** `("storage", torch.FloatStorage, "0", "cpu", 1024)`: its type, its entry, where it was, how many elements. */
function storageOf(
  archive: Archive,
  stored: PickleValue | undefined,
  refuse: (problem: string) => never,
): Storage {
  const id = isTagged(stored, "persistent") ? stored.id : undefined;
  const [kind, storageType, key, , elements] = Array.isArray(id) ? (id as readonly PickleValue[]) : [];
  const type = isTagged(storageType, "name") ? storageTypes.get(storageType.name) : undefined;
  if (kind !== "storage" || type === undefined || typeof key !== "string" || !isCount(elements)) {
    return refuse("it names no storage");
  }
  const entry = archive.entries.get(`data/${key}`);
  if (entry === undefined) return refuse(`its storage ${quoted(key)} is not in the file`);
  const bytes = elements * tensorLayout(type).bytes;
  if (entry.bytes === bytes) return { type, elements, entry };
  return refuse(`its storage of ${elements} ${type} takes ${bytes} bytes, ${quoted(key)} has ${entry.bytes}`);
}

function isCount(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: PickleValue | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every(isCount);
}

/** Row after row without gaps. The stride of a dim of one element is never used, nor any where there are none. */
function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i -= 1) {
    if (shape[i] !== 1 && strides[i] !== expected) return shape.includes(0);
    expected *= shape[i]!;
  }
  return true;
}
