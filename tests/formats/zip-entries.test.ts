import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesSource, type ByteSource } from "../../src/formats/bytes.ts";
import { readZipEntries } from "../../src/formats/zip-entries.ts";
import { numbers, zipBytes, type EndToWrite, type EntryToWrite } from "./torch-writer.ts";
import { corrupt, messageOf, refusal } from "./workspace.ts";

const text = (name: string, contents: string, said?: EntryToWrite["said"]): EntryToWrite => ({
  name,
  data: Buffer.from(contents),
  ...(said === undefined ? {} : { said }),
});
const two = [text("a", "one"), text("b/c", "three")];
const read = (bytes: Uint8Array) => readZipEntries(bytesSource("x.zip", bytes));
const problem = (entries: readonly EntryToWrite[], end?: EndToWrite): string =>
  messageOf(() => read(zipBytes(entries, end))).replace(/^FormatError: x\.zip, byte \d+: /, "");

/** A file of these parts at their offsets, and zeros between them: as large as one likes. */
function sparse(size: number, parts: readonly (readonly [offset: number, bytes: Uint8Array])[]): ByteSource {
  return {
    name: "x.zip",
    size,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      for (const [start, part] of parts) {
        for (let i = Math.max(0, offset - start); i < part.length && start + i < offset + length; i += 1) {
          bytes[start + i - offset] = part[i]!;
        }
      }
      return bytes;
    },
  };
}

const GiB = 2 ** 30;
const absent = 0xffff_ffff;
const localHeader = (name: string): Uint8Array =>
  Buffer.concat([numbers([0x04034b50, 4], [0, 22], [name.length, 2], [0, 2]), Buffer.from(name)]);

describe("entries", () => {
  test("lie behind their local headers, in the directory's order", () => {
    expect([...read(zipBytes(two)).values()]).toEqual([
      { name: "a", offset: 31, bytes: 3 },
      { name: "b/c", offset: 34 + 33, bytes: 5 },
    ]);
  });

  test("of any names and contents are found where their bytes are", () => {
    const name = fc.string({ unit: "grapheme", maxLength: 20 });
    fc.assert(
      fc.property(fc.dictionary(name, fc.uint8Array({ maxLength: 40 }), { maxKeys: 8 }), (files) => {
        const bytes = zipBytes(Object.entries(files).map(([name, data]) => ({ name, data })));
        const entries = read(bytes);
        expect([...entries.keys()].sort()).toEqual(Object.keys(files).sort());
        for (const [name, data] of Object.entries(files)) {
          const entry = entries.get(name)!;
          expect(bytes.subarray(entry.offset, entry.offset + entry.bytes)).toEqual(data);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("of an archive with a comment are found, even if the comment looks like an end record", () => {
    expect(read(zipBytes(two, { comment: "PK\u0005\u0006 and more of it".repeat(3) })).size).toBe(2);
  });

  test("beyond 4 GB have their sizes and places in 64 bits, each only where 32 do not hold it", () => {
    const [large, small] = [localHeader("large"), localHeader("small")];
    const smallHeader = large.length + 5 * GiB;
    const directoryOffset = smallHeader + small.length + 7;
    const directory = Buffer.concat([
      numbers([0x02014b50, 4], [0, 16], [absent, 4], [absent, 4], [5, 2], [24, 2], [0, 10], [0, 4]),
      Buffer.from("large"),
      // A field of another kind first, then both sizes.
      numbers([0x5a5a, 2], [0, 2], [1, 2], [16, 2], [5 * GiB, 8], [5 * GiB, 8]),
      numbers([0x02014b50, 4], [0, 16], [7, 4], [7, 4], [5, 2], [12, 2], [0, 10], [absent, 4]),
      Buffer.from("small"),
      numbers([1, 2], [8, 2], [smallHeader, 8]),
    ]);
    const end64 = directoryOffset + directory.length;
    const ends = Buffer.concat([
      numbers(
        [0x06064b50, 4],
        [44, 8],
        [0, 4],
        [0, 8],
        [2, 8],
        [2, 8],
        [directory.length, 8],
        [directoryOffset, 8],
      ),
      numbers([0x07064b50, 4], [0, 4], [end64, 8], [1, 4]),
      numbers([0x06054b50, 4], [0, 4], [2, 2], [2, 2], [directory.length, 4], [absent, 4], [0, 2]),
    ]);
    const source = sparse(end64 + ends.length, [
      [0, large],
      [smallHeader, small],
      [directoryOffset, directory],
      [end64, ends],
    ]);
    expect([...readZipEntries(source).values()]).toEqual([
      { name: "large", offset: 35, bytes: 5 * GiB },
      { name: "small", offset: 35 + 5 * GiB + 35, bytes: 7 },
    ]);
  });
});

describe("a hostile archive is refused", () => {
  test.each<[string, readonly EntryToWrite[], EndToWrite | undefined, string]>([
    [
      "a compressed entry",
      [text("a", "x", { method: 8 })],
      undefined,
      'the entry "a" is compressed (method 8)',
    ],
    ["an encrypted entry", [text("a", "x", { flags: 1 })], undefined, 'the entry "a" is encrypted'],
    [
      "two sizes of one entry",
      [text("a", "x", { bytes: 2, stored: 1 })],
      undefined,
      'the entry "a" has 1 bytes in the file, 2 out of it, and is not compressed',
    ],
    [
      "a name twice",
      [text("a", "x"), text("a", "y")],
      undefined,
      'the entry "a" stands twice in the directory',
    ],
    [
      "two names for one entry",
      [text("a", "x", { name: "b" })],
      undefined,
      'the entry "b" has another name here than in the zip directory',
    ],
    [
      "an entry that reaches into the directory",
      [text("a", "xyz", { bytes: 4 })],
      undefined,
      'the entry "a" ends at byte 35, past the entries\' end at 34',
    ],
    [
      "an entry that reaches into the next",
      [text("a", "x", { bytes: 20 }), text("b", "y")],
      undefined,
      'the entry "b" overlaps another',
    ],
    [
      "an entry past the end",
      [text("a", "x", { header: 4000 })],
      undefined,
      'the entry "a" is to be at byte 4000, past the entries\' end at 32',
    ],
    [
      "an entry elsewhere",
      [text("a", "x", { header: 1 })],
      undefined,
      'the entry "a" is not here, where the zip directory says',
    ],
    [
      "a 64-bit size that is not there",
      [text("a", "x", { bytes: absent })],
      undefined,
      'the entry "a" lacks its 64-bit sizes',
    ],
    [
      "more entries than fit",
      two,
      { count: 3 },
      "a zip directory of 3 entries in 96 bytes: each takes at least 46",
    ],
    ["fewer entries than are there", two, { count: 1 }, "49 bytes after the zip directory's entries"],
    ["no entries where there are some", two, { count: 0 }, "96 bytes after the zip directory's entries"],
    ["several parts", two, { disk: 1 }, "a zip file in several parts"],
    [
      "a directory past the end",
      two,
      { offset: 4000 },
      "the zip directory is to be 96 bytes from byte 4000 on, but must end by byte 168",
    ],
    ["a directory elsewhere", two, { offset: 1 }, "entry 0 of the zip directory is damaged"],
    [
      "a 64-bit end record that is not there",
      two,
      { count: 0xffff },
      "the zip file's 64-bit end record is missing",
    ],
  ])("%s", (_, entries, end, message) => {
    expect(problem(entries, end)).toBe(message);
  });

  test("that announces a billion entries, at once", () => {
    const end64 = 2 ** 40;
    const ends = Buffer.concat([
      numbers([0x06064b50, 4], [44, 8], [0, 4], [0, 8], [10 ** 9, 8], [10 ** 9, 8], [2 ** 37, 8], [0, 8]),
      numbers([0x07064b50, 4], [0, 4], [end64, 8], [1, 4]),
      numbers([0x06054b50, 4], [0, 4], [absent, 4], [absent, 4], [absent, 4], [0, 2]),
    ]);
    const source = sparse(end64 + ends.length, [[end64, ends]]);
    const { message, milliseconds, bytes } = refusal(() => readZipEntries(source));
    expect(message).toBe(
      `x.zip, byte ${end64 + 76}: a zip directory of 1000000000 entries in 137438953472 bytes, ` +
        "of which at most 65536 in 16777216 bytes are read",
    );
    expect(milliseconds).toBeLessThan(50);
    expect(bytes).toBeLessThan(2 ** 20);
  });

  test("a file of 64 KB of end records without an end, at once", () => {
    const bytes = new Uint8Array(Buffer.from("PK\u0005\u0006".repeat(2 ** 16)));
    expect(refusal(() => read(bytes)).milliseconds).toBeLessThan(50);
  });

  test("a file cut off at any byte", () => {
    const bytes = zipBytes(two);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(messageOf(() => read(bytes.subarray(0, length)))).toMatch(/^FormatError: /);
    }
  });

  test("a file with any byte changed is read or refused by a FormatError, nothing else", () => {
    // Not: times, versions, checksums and attributes, which mean nothing here.
    expect(corrupt(zipBytes(two), readZipEntries).refused).toBeGreaterThan(200);
  });
});
