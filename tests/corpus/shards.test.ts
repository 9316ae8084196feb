import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Document } from "../../src/corpus/document.ts";
import { type DocumentTokenizer, openShards, type ShardIndex, writeShards } from "../../src/corpus/shards.ts";
import { FormatError } from "../../src/errors/errors.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cria-shards-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** UTF-8 bytes after 3 special tokens; `shift` makes it another tokenizer of the same size. */
function byteTokenizer(vocabSize = 300, shift = 3): DocumentTokenizer & { encoded: string[] } {
  const encoded: string[] = [];
  return {
    vocabSize,
    bosId: 1,
    eosId: 2,
    encoded,
    encode(text) {
      encoded.push(text);
      return Int32Array.from(Buffer.from(text), (byte) => byte + shift);
    },
  };
}

function documents(...texts: string[]): Document[] {
  return texts.map((text, i) => ({ id: `document ${i}`, text }));
}

function tokensOf(...texts: string[]): number[] {
  return texts.flatMap((text) => [1].concat(Array.from(byteTokenizer().encode(text)), 2));
}

function readAll(name: "train" | "validation" = "train"): number[] {
  using shards = openShards(directory, name);
  const tokens = new Int32Array(shards.tokens);
  shards.read(0, shards.tokens, tokens);
  return [...tokens];
}

/** Every file of the directory, for comparison. */
function contents(): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory).map((file) => [file, readFileSync(join(directory, file), "hex")]),
  );
}

function editIndex(edit: (index: Record<string, unknown>) => void): void {
  const file = join(directory, "train-index.json");
  const index = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  edit(index);
  writeFileSync(file, JSON.stringify(index));
}

describe("writing and reading", () => {
  test("a document is BOS, its tokens, EOS; the index counts documents, tokens and UTF-8 bytes", async () => {
    const index = await writeShards(directory, "train", documents("ab", "é"), byteTokenizer());
    expect(readAll()).toEqual([1, 100, 101, 2, 1, 198, 172, 2]);
    expect(index).toMatchObject({
      version: 1,
      dtype: "uint16",
      vocabSize: 300,
      bosId: 1,
      eosId: 2,
      documents: 2,
      tokens: 8,
      bytes: 4,
    });
    expect(readdirSync(directory).toSorted()).toEqual(["train-00000.bin", "train-index.json"]);
    using shards = openShards(directory, "train");
    expect(shards.index).toEqual(index);
    expect([shards.tokens, shards.bytes]).toEqual([8, 4]);
  });
  test("tokens are little-endian, of 16 bits up to a vocabulary of 65 536 and of 32 beyond", async () => {
    await writeShards(directory, "train", documents("a"), byteTokenizer(65536));
    expect(readFileSync(join(directory, "train-00000.bin"), "hex")).toBe("010064000200");
    await writeShards(directory, "train", documents("a"), byteTokenizer(65537, 65439));
    expect(readFileSync(join(directory, "train-00000.bin"), "hex")).toBe("010000000000010002000000");
    expect(readAll()).toEqual([1, 65536, 2]);
  });
  test("a shard ends with the document that fills it, and reads cross shards", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ maxLength: 8 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 30 }),
        fc.nat(),
        fc.nat(),
        async (texts, maxShardTokens, a, b) => {
          const index = await writeShards(directory, "train", documents(...texts), byteTokenizer(), {
            maxShardTokens,
          });
          const all = tokensOf(...texts);
          expect(readAll()).toEqual(all);
          for (const { tokens } of index.shards.slice(0, -1))
            expect(tokens).toBeGreaterThanOrEqual(maxShardTokens);
          using shards = openShards(directory, "train");
          const start = a % all.length;
          const length = b % (all.length - start + 1);
          const into = new Int32Array(length + 1).fill(-1);
          shards.read(start, length, into);
          expect([...into]).toEqual([...all.slice(start, start + length), -1]);
        },
      ),
      { numRuns: 40 },
    );
  });
  test("training and validation share a directory", async () => {
    await writeShards(directory, "train", documents("train"), byteTokenizer());
    await writeShards(directory, "validation", documents("held out"), byteTokenizer());
    expect(readAll("train")).toEqual(tokensOf("train"));
    expect(readAll("validation")).toEqual(tokensOf("held out"));
  });
  test("a corpus is replaced whole: no shard of the earlier one stays", async () => {
    await writeShards(directory, "train", documents("one", "two", "three"), byteTokenizer(), {
      maxShardTokens: 1,
    });
    await writeShards(directory, "train", documents("four"), byteTokenizer(), { maxShardTokens: 1 });
    expect(readdirSync(directory).toSorted()).toEqual(["train-00000.bin", "train-index.json"]);
    expect(readAll()).toEqual(tokensOf("four"));
  });
  test("progress counts documents, tokens and bytes", async () => {
    const seen: unknown[] = [];
    await writeShards(directory, "train", documents("a", "bc"), byteTokenizer(), {
      onProgress: (counts) => seen.push(counts),
    });
    expect(seen).toEqual([
      { documents: 1, tokens: 3, bytes: 1 },
      { documents: 2, tokens: 7, bytes: 3 },
    ]);
  });
});

describe("an interrupted run", () => {
  const texts = ["zero", "one", "two", "three", "four", "five"];
  const options = { maxShardTokens: 10 }; // two documents each

  async function interrupt(after: number, tokenizer = byteTokenizer()): Promise<void> {
    const abort = new AbortController();
    let written = 0;
    const onProgress = (): void => {
      written += 1;
      if (written === after) abort.abort(new Error("stopped"));
    };
    const run = writeShards(directory, "train", documents(...texts), tokenizer, {
      ...options,
      onProgress,
      signal: abort.signal,
    });
    await expect(run).rejects.toThrow("stopped");
  }

  test("leaves no corpus, and the next run gives what an uninterrupted one gives", async () => {
    await writeShards(directory, "train", documents(...texts), byteTokenizer(), options);
    const expected = contents();
    for (let after = 1; after < texts.length; after += 1) {
      await interrupt(after);
      expect(() => openShards(directory, "train")).toThrow("there is no such index");
      await writeShards(directory, "train", documents(...texts), byteTokenizer(), options);
      expect(contents()).toEqual(expected);
      rmSync(directory, { recursive: true });
    }
  });
  test("is continued: documents of finished shards are not tokenized again, but for the first of each", async () => {
    await interrupt(5);
    const tokenizer = byteTokenizer();
    await writeShards(directory, "train", documents(...texts), tokenizer, options);
    expect(tokenizer.encoded).toEqual(["zero", "two", "four", "five"]);
  });
  test("is not continued with another tokenizer, other documents or a damaged shard", async () => {
    await interrupt(5);
    await writeShards(directory, "train", documents(...texts), byteTokenizer(300, 4), options);
    expect(readAll()).toEqual(tokensOf(...texts).map((token) => (token > 2 ? token + 1 : token)));

    await interrupt(5);
    const others = ["zero", "one", "two", "3", "four"];
    await writeShards(directory, "train", documents(...others), byteTokenizer(), options);
    expect(readAll()).toEqual(tokensOf(...others));

    await interrupt(5);
    const shard = join(directory, "train-00001.bin");
    const damaged = readFileSync(shard);
    damaged[damaged.length - 4]! ^= 1;
    writeFileSync(shard, damaged);
    await writeShards(directory, "train", documents(...texts), byteTokenizer(), options);
    expect(readAll()).toEqual(tokensOf(...texts));
  });
  test("is not continued from a journal that is damaged or names a file elsewhere", async () => {
    const hash = "0".repeat(64);
    const elsewhere = { file: "../other.bin", tokens: 1, documents: 1, bytes: 1, texts: hash, sha256: hash };
    await interrupt(5);
    const file = join(directory, "train-progress.json");
    const { setting } = JSON.parse(readFileSync(file, "utf8")) as { setting: string };
    for (const journal of [
      "{",
      "[]",
      "null",
      JSON.stringify({ setting, shards: [elsewhere] }),
      JSON.stringify({ setting, shards: [null] }),
    ]) {
      writeFileSync(file, journal);
      await writeShards(directory, "train", documents(...texts), byteTokenizer(), options);
      expect(readAll()).toEqual(tokensOf(...texts));
      expect(existsSync(file)).toBe(false);
    }
  });
  test("fewer documents than were finished are a corpus of their own", async () => {
    await interrupt(5);
    await writeShards(directory, "train", documents("zero"), byteTokenizer(), options);
    expect(readAll()).toEqual(tokensOf("zero"));
  });
});

describe("what cannot be right is refused", () => {
  test("no documents", async () => {
    await expect(writeShards(directory, "validation", [], byteTokenizer())).rejects.toThrow(
      "there are no validation documents to tokenize",
    );
  });
  test("ids outside of the vocabulary", async () => {
    await expect(writeShards(directory, "train", documents("a", "z"), byteTokenizer(110))).rejects.toThrow(
      "the tokenizer gives id 125 in document 1, but its vocabulary has 110 pieces",
    );
    await expect(
      writeShards(directory, "train", documents("a"), { ...byteTokenizer(), bosId: -1 }),
    ).rejects.toThrow("the tokenizer's BOS (-1) or EOS (2) is not in its vocabulary of 300");
  });
  test("a shard size of zero", async () => {
    await expect(
      writeShards(directory, "train", documents("a"), byteTokenizer(), { maxShardTokens: 0 }),
    ).rejects.toThrow("maxShardTokens (0) is not a whole number from 1 to 536870912");
  });
  test("reads past the end or after closing", async () => {
    await writeShards(directory, "train", documents("a"), byteTokenizer());
    const shards = openShards(directory, "train");
    expect(() => shards.read(1, 3, new Int32Array(3))).toThrow(
      "cannot read 3 tokens from 1 on into 3: the shards have 3 tokens",
    );
    expect(() => shards.read(0, 2, new Int32Array(1))).toThrow("cannot read 2 tokens from 0 on into 1");
    expect(() => shards.read(-1, 1, new Int32Array(1))).toThrow("cannot read 1 tokens from -1 on");
    shards[Symbol.dispose]();
    shards[Symbol.dispose]();
    expect(() => shards.read(0, 1, new Int32Array(1))).toThrow(/closed; keep them open with `using`/);
  });
});

describe("damaged corpora", () => {
  beforeEach(async () => {
    await writeShards(directory, "train", documents("ab", "cd"), byteTokenizer(), { maxShardTokens: 1 });
  });

  test("a shard that was cut or is missing is found when the corpus is opened", () => {
    truncateSync(join(directory, "train-00001.bin"), 5);
    expect(() => openShards(directory, "train")).toThrow(
      /train-00001\.bin: the shard has 5 bytes, but its index says 8 bytes$/,
    );
    rmSync(join(directory, "train-00001.bin"));
    expect(() => openShards(directory, "train")).toThrow("the shard is missing, but its index says 8 bytes");
  });
  test("a token outside of the vocabulary is found when it is read, with file and byte", () => {
    writeFileSync(join(directory, "train-00001.bin"), Uint8Array.of(1, 0, 100, 0, 44, 1, 2, 0));
    using shards = openShards(directory, "train");
    expect(() => shards.read(4, 4, new Int32Array(4))).toThrow(
      /train-00001\.bin, byte 4: token 300 is not in the vocabulary of 300$/,
    );
  });
  test("a shard that is cut while it is open is found when it is read", () => {
    using shards = openShards(directory, "train");
    truncateSync(join(directory, "train-00000.bin"), 2);
    expect(() => shards.read(0, 4, new Int32Array(4))).toThrow(
      /train-00000\.bin, byte 2: the shard ends early/,
    );
  });
  test.each<[string, (index: Record<string, unknown>) => void, string]>([
    ["a later version", (index) => (index["version"] = 2), "version 2 of a shard index is not known"],
    ["another type", (index) => (index["dtype"] = "float"), 'dtype "float" is not uint16 or uint32'],
    [
      "a vocabulary beyond the type",
      (index) => (index["vocabSize"] = 65537),
      "a vocabulary of 65537 does not fit uint16",
    ],
    ["no shards", (index) => (index["shards"] = []), "the index lists no shards"],
    [
      "a shard that is not an object",
      (index) => (index["shards"] = [null]),
      "shard undefined stands where train-00000.bin is expected",
    ],
    [
      "a path out of the directory",
      (index) => ((index["shards"] as { file: string }[])[0]!.file = "../secret"),
      'shard "../secret" stands where train-00000.bin is expected',
    ],
    [
      "a negative size",
      (index) => ((index["shards"] as { tokens: number }[])[0]!.tokens = -1),
      "tokens (-1) is not a count",
    ],
    [
      "a size beyond 2^53",
      (index) => ((index["shards"] as { tokens: number }[])[0]!.tokens = 2 ** 60),
      "tokens (1152921504606847000) is not a count",
    ],
    [
      "a wrong sum",
      (index) => (index["tokens"] = 9),
      "the shards have 8 tokens together, but the index says 9",
    ],
    [
      "no hash",
      (index) => ((index["shards"] as { sha256?: string }[])[0]!.sha256 = "abc"),
      "train-00000.bin has no SHA-256",
    ],
    ["no bytes", (index) => delete index["bytes"], "bytes (undefined) is not a count"],
  ])("an index with %s is refused", (_, edit, message) => {
    editIndex(edit);
    expect(() => openShards(directory, "train")).toThrow(message);
    expect(() => openShards(directory, "train")).toThrow(FormatError);
  });
  test("an index that is missing, not JSON or not an object is refused", () => {
    const file = join(directory, "train-index.json");
    expect(() => openShards(directory, "validation")).toThrow(
      /validation-index\.json: there is no such index/,
    );
    writeFileSync(file, "{");
    expect(() => openShards(directory, "train")).toThrow(/train-index\.json: not JSON/);
    writeFileSync(file, "3");
    expect(() => openShards(directory, "train")).toThrow("the index is not a JSON object");
  });
  test("any changed byte of the index is read or refused as a FormatError, nothing else", () => {
    const file = join(directory, "train-index.json");
    const original = readFileSync(file);
    fc.assert(
      fc.property(fc.nat(original.length - 1), fc.nat(255), (at, byte) => {
        const changed = Uint8Array.from(original);
        changed[at] = byte;
        writeFileSync(file, changed);
        try {
          using shards = openShards(directory, "train");
          const index: ShardIndex = shards.index;
          expect(index.tokens).toBe(8);
        } catch (error) {
          if (!(error instanceof FormatError)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });
});
