/**
 * Where the files inside a zip file lie: its central directory, with the 64-bit fields of archives over 4 GB.
 * Only stored entries: torch.save compresses nothing, so that weights can be read in place.
 *
 * Follows PKWARE's APPNOTE 6.3.10: §4.3.7 local header, §4.3.12 central directory, §4.3.14 to §4.3.16 its ends,
 * §4.5.3 the 64-bit extra field. Checksums are not verified: that would read every weight once more.
 */

import { FormatError } from "../errors/errors.ts";
import { decodeUtf8, quoted, type ByteSource } from "./bytes.ts";

export interface ZipEntry {
  /** The path inside the archive. */
  readonly name: string;
  /** Where its bytes begin, counted from the start of the zip file. */
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Reads the directory and the entries' local headers, not their data.
 *
 * @returns the entries by name, in the directory's order.
 * @throws {FormatError} when the file is no zip file, was cut short, contradicts itself, or holds an entry that is
 *   compressed or encrypted.
 */
export function readZipEntries(source: ByteSource): ReadonlyMap<string, ZipEntry> {
  const directory = findDirectory(source);
  const records = readRecords(source, directory);
  const entries = new Map<string, ZipEntry>();
  for (const record of records) {
    if (entries.has(record.name)) {
      throw refusal(source, record.place, `the entry ${quoted(record.name)} stands twice in the directory`);
    }
    entries.set(record.name, locate(source, record, directory.offset));
  }
  requireApart(source, records, entries);
  return entries;
}

// --- internal ---

/** Far above the largest checkpoint's: a few entries per tensor, a few dozen bytes each. */
const maxEntries = 2 ** 16;
const maxDirectoryBytes = 16 * 2 ** 20;

const localHeader = { magic: 0x0403_4b50, bytes: 30 };
const record = { magic: 0x0201_4b50, bytes: 46 };
const end = { magic: 0x0605_4b50, bytes: 22, maxCommentBytes: 0xffff };
const end64 = { magic: 0x0606_4b50, bytes: 56 };
const locator64 = { magic: 0x0706_4b50, bytes: 20 };

/** A field whose bits are all set has its value in the 64-bit record or extra field. */
const absent16 = 0xffff;
const absent32 = 0xffff_ffff;

interface Directory {
  readonly offset: number;
  readonly bytes: number;
  readonly count: number;
  /** Where it must have ended. */
  readonly limit: number;
}

/** A directory entry as it stands there. */
interface ZipRecord {
  readonly name: string;
  readonly bytes: number;
  /** Of its local header. */
  readonly header: number;
  /** Of the record itself, for errors. */
  readonly place: number;
}

function refusal(source: ByteSource, offset: number, problem: string): FormatError {
  return new FormatError(problem, { file: source.name, offset });
}

function viewOf(source: ByteSource, offset: number, length: number): DataView {
  const bytes = source.read(offset, length);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** From 2^53 on no longer exact, and then beyond every file's end. */
function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

function findDirectory(source: ByteSource): Directory {
  const endOffset = findEnd(source);
  const view = viewOf(source, endOffset, end.bytes);
  const [count, bytes, offset] = [
    view.getUint16(10, true),
    view.getUint32(12, true),
    view.getUint32(16, true),
  ];
  const is64 = count === absent16 || bytes === absent32 || offset === absent32;
  const directory = is64 ? readEnd64(source, endOffset) : { offset, bytes, count, limit: endOffset };
  if (!is64 && (view.getUint32(4, true) !== 0 || view.getUint16(8, true) !== count)) {
    throw refusal(source, endOffset, "a zip file in several parts");
  }
  requireSane(source, directory, endOffset);
  return directory;
}

function requireSane(source: ByteSource, { offset, bytes, count, limit }: Directory, place: number): void {
  if (offset + bytes > limit) {
    const said = `${bytes} bytes from byte ${offset} on`;
    throw refusal(source, place, `the zip directory is to be ${said}, but must end by byte ${limit}`);
  }
  if (count > maxEntries || bytes > maxDirectoryBytes) {
    const limits = `of which at most ${maxEntries} in ${maxDirectoryBytes} bytes are read`;
    throw refusal(source, place, `a zip directory of ${count} entries in ${bytes} bytes, ${limits}`);
  }
  if (count * record.bytes > bytes) {
    const announced = `a zip directory of ${count} entries in ${bytes} bytes`;
    throw refusal(source, place, `${announced}: each takes at least ${record.bytes}`);
  }
}

/** The end record is the file's last bytes but for a comment, whose length it gives. */
function findEnd(source: ByteSource): number {
  const length = Math.min(source.size, end.bytes + end.maxCommentBytes);
  const start = source.size - length;
  const tail = viewOf(source, start, length);
  for (let at = length - end.bytes; at >= 0; at -= 1) {
    if (tail.getUint32(at, true) !== end.magic) continue;
    if (at + end.bytes + tail.getUint16(at + 20, true) === length) return start + at;
  }
  throw new FormatError("a zip file's directory should stand at the end, and does not", {
    file: source.name,
    offset: source.size,
    mend: "The download was cut short, or this is no zip file: fetch it again.",
  });
}

/** The 64-bit end record lies anywhere before its locator, which lies right before the end record. */
function readEnd64(source: ByteSource, endOffset: number): Directory {
  const place = endOffset - locator64.bytes;
  const locator = place < 0 ? undefined : viewOf(source, place, locator64.bytes);
  if (locator?.getUint32(0, true) !== locator64.magic) {
    throw refusal(source, endOffset, "the zip file's 64-bit end record is missing");
  }
  const limit = u64(locator, 8);
  if (limit > place - end64.bytes) {
    throw refusal(source, place, `the zip file's 64-bit end record is to be at byte ${limit}, past this one`);
  }
  const view = viewOf(source, limit, end64.bytes);
  if (view.getUint32(0, true) !== end64.magic) {
    throw refusal(source, limit, "the zip file's 64-bit end record is not here, where its locator says");
  }
  const [countHere, count] = [u64(view, 24), u64(view, 32)];
  if (view.getUint32(16, true) !== 0 || view.getUint32(20, true) !== 0 || countHere !== count) {
    throw refusal(source, limit, "a zip file in several parts");
  }
  return { count, bytes: u64(view, 40), offset: u64(view, 48), limit };
}

function readRecords(source: ByteSource, directory: Directory): readonly ZipRecord[] {
  const view = viewOf(source, directory.offset, directory.bytes);
  const records: ZipRecord[] = [];
  let at = 0;
  for (let i = 0; i < directory.count; i += 1) {
    const place = directory.offset + at;
    const length = recordLength(view, at);
    if (length === undefined || at + length > directory.bytes) {
      throw refusal(source, place, `entry ${i} of the zip directory is damaged`);
    }
    records.push(readRecord(source, new DataView(view.buffer, view.byteOffset + at, length), place));
    at += length;
  }
  if (at === directory.bytes) return records;
  throw refusal(
    source,
    directory.offset + at,
    `${directory.bytes - at} bytes after the zip directory's entries`,
  );
}

function recordLength(view: DataView, at: number): number | undefined {
  if (at + record.bytes > view.byteLength || view.getUint32(at, true) !== record.magic) return undefined;
  return (
    record.bytes +
    view.getUint16(at + 28, true) +
    view.getUint16(at + 30, true) +
    view.getUint16(at + 32, true)
  );
}

function readRecord(source: ByteSource, view: DataView, place: number): ZipRecord {
  const nameBytes = view.getUint16(28, true);
  const name = textAt(source, view, { at: record.bytes, length: nameBytes, place });
  const refuse = (problem: string): never => {
    throw refusal(source, place, `the entry ${quoted(name)} ${problem}`);
  };
  const method = view.getUint16(10, true);
  if (method !== 0) {
    throw new FormatError(`the entry ${quoted(name)} is compressed (method ${method})`, {
      file: source.name,
      offset: place,
      mend: "torch.save compresses nothing: unpack the file and pack it again without compression.",
    });
  }
  if ((view.getUint16(8, true) & 1) !== 0) refuse("is encrypted");
  const fields = wideFields(view, record.bytes + nameBytes, refuse);
  if (fields.stored !== fields.bytes) {
    refuse(`has ${fields.stored} bytes in the file, ${fields.bytes} out of it, and is not compressed`);
  }
  return { name, bytes: fields.bytes, header: fields.header, place };
}

function textAt(
  source: ByteSource,
  view: DataView,
  { at, length, place }: { readonly at: number; readonly length: number; readonly place: number },
): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length);
  return decodeUtf8(bytes, source.name, place + at);
}

/** Sizes and place, of which those that do not fit 32 bits stand in the extra field, in this order. */
function wideFields(view: DataView, extra: number, refuse: (problem: string) => never) {
  const narrow = [view.getUint32(24, true), view.getUint32(20, true), view.getUint32(42, true)];
  const wide = narrow.includes(absent32) ? wideExtra(view, extra) : undefined;
  let at = 0;
  const [bytes, stored, header] = narrow.map((value) => {
    if (value !== absent32) return value;
    at += 8;
    if (wide === undefined || at > wide.byteLength) return refuse("lacks its 64-bit sizes");
    return u64(wide, at - 8);
  }) as [number, number, number];
  return { bytes, stored, header };
}

/** The extra field number 1. */
function wideExtra(view: DataView, start: number): DataView | undefined {
  const stop = start + view.getUint16(30, true);
  for (let at = start; at + 4 <= stop; at += 4 + view.getUint16(at + 2, true)) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) !== 1) continue;
    return at + 4 + length > stop ? undefined : new DataView(view.buffer, view.byteOffset + at + 4, length);
  }
  return undefined;
}

/** The data lies behind the local header, whose name and padding have lengths of their own. */
function locate(source: ByteSource, { name, bytes, header, place }: ZipRecord, limit: number): ZipEntry {
  const shown = `the entry ${quoted(name)}`;
  if (header + localHeader.bytes > limit) {
    throw refusal(source, place, `${shown} is to be at byte ${header}, past the entries' end at ${limit}`);
  }
  const view = viewOf(source, header, localHeader.bytes);
  const nameBytes = view.getUint16(26, true);
  const offset = header + localHeader.bytes + nameBytes + view.getUint16(28, true);
  if (view.getUint32(0, true) !== localHeader.magic) {
    throw refusal(source, header, `${shown} is not here, where the zip directory says`);
  }
  if (offset + bytes > limit) {
    throw refusal(
      source,
      header,
      `${shown} ends at byte ${offset + bytes}, past the entries' end at ${limit}`,
    );
  }
  const local = source.read(header + localHeader.bytes, nameBytes);
  if (!Buffer.from(name).equals(local)) {
    throw refusal(source, header, `${shown} has another name here than in the zip directory`);
  }
  return { name, offset, bytes };
}

/** An entry inside another would give two readers two views of one file. */
function requireApart(
  source: ByteSource,
  records: readonly ZipRecord[],
  entries: ReadonlyMap<string, ZipEntry>,
): void {
  let stop = 0;
  for (const { name, header } of records.toSorted((a, b) => a.header - b.header)) {
    if (header < stop) throw refusal(source, header, `the entry ${quoted(name)} overlaps another`);
    const { offset, bytes } = entries.get(name)!;
    stop = offset + bytes;
  }
}
