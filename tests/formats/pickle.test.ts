import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/formats/bytes.ts";
import { maxPickleBytes, readPickle } from "../../src/formats/pickle.ts";
import { readZipEntries } from "../../src/formats/zip-entries.ts";
import { op, pickleBytes, tensorOps } from "./torch-writer.ts";
import { corrupt, messageOf, refusal } from "./workspace.ts";

const readBytes = (bytes: Uint8Array) => readPickle(bytesSource("p", bytes));
const read = (...operations: readonly (Uint8Array | string)[]) => readBytes(pickleBytes(...operations));
const problem = (...operations: readonly (Uint8Array | string)[]): string =>
  messageOf(() => read(...operations));

/** The data.pkl of a fixture that PyTorch wrote. */
function fixture(name: string): Uint8Array {
  const bytes = new Uint8Array(readFileSync(new URL(`../fixtures/torch/${name}.pth`, import.meta.url)));
  const { offset, bytes: length } = readZipEntries(bytesSource(name, bytes)).get(`${name}/data.pkl`)!;
  return bytes.slice(offset, offset + length);
}

describe("a pickle", () => {
  test("that Python wrote in protocol 4 gives dicts, lists, tuples, numbers, texts and sizes", () => {
    const root = readBytes(fixture("protocol4")) as ReadonlyMap<string, unknown>;
    expect([...root.keys()]).toEqual(["weight", "note", "size"]);
    expect(root.get("note")).toEqual(["été", 1, -1, 300, 2 ** 40, 10n ** 30n, 0.5, null, true, [1, 2]]);
    expect(root.get("size")).toEqual([2, 2]);
  });

  test("gives a call as a record of its name and arguments, and calls nothing", () => {
    expect(read(tensorOps({ storage: "7", type: "Half", elements: 6, first: 2, shape: [2, 2] }))).toEqual({
      type: "call",
      name: "torch._utils._rebuild_tensor_v2",
      args: [
        { type: "persistent", id: ["storage", { type: "name", name: "torch.HalfStorage" }, "7", "cpu", 6] },
        2,
        [2, 2],
        [2, 1],
        false,
        new Map(),
      ],
    });
  });

  test.each<[string, Uint8Array, number | bigint]>([
    ["no bytes are 0", op.long(), 0],
    ["ff is -1", op.long(0xff), -1],
    ["ff 00 is 255", op.long(0xff, 0), 255],
    ["2^53 - 1 is a number", op.long(255, 255, 255, 255, 255, 255, 31), Number.MAX_SAFE_INTEGER],
    ["2^53 is a bigint", op.long(0, 0, 0, 0, 0, 0, 32), 2n ** 53n],
    ["-2^63 is a bigint", op.long(0, 0, 0, 0, 0, 0, 0, 0x80), -(2n ** 63n)],
  ])("has its long numbers in two's complement: %s", (_, bytes, value) => {
    expect(read(bytes)).toBe(value);
  });

  test("shares what it has memorised, so that a list can contain itself", () => {
    const list = read("]q\x05h\x05a") as readonly unknown[];
    expect(list.length).toBe(1);
    expect(list[0]).toBe(list);
  });

  test("may set attributes on a dict, which are dropped", () => {
    expect(
      read(op.dict([[op.text("a"), op.int(1)]]), op.dict([[op.text("_metadata"), op.int(2)]]), "b"),
    ).toEqual(new Map([["a", 1]]));
  });
});

describe("a name that weights have no need of is refused", () => {
  const command = op.text("echo pwned");
  test.each([
    ["os", "system"],
    ["posix", "system"],
    ["nt", "system"],
    ["builtins", "eval"],
    ["builtins", "exec"],
    ["builtins", "getattr"],
    ["subprocess", "Popen"],
    ["torch", "load"],
    ["torch.hub", "load"],
    ["torch._utils", "_rebuild_tensor"],
    ["collections", "OrderedDict.__init__"],
    ["__main__", "OrderedDict"],
    ["torch", "ComplexFloatStorage"],
    ["torch", "__proto__"],
  ])("%s.%s, in a line or from the stack", (module, name) => {
    const message = `the pickle asks to call ${module}.${name}, which weights have no need of`;
    expect(problem(op.call(op.global(module, name), command))).toBe(`FormatError: p, byte 2: ${message}`);
    expect(problem(op.text(module), op.text(name), "\x93")).toContain(message);
  });

  test("with the advice not to run it", () => {
    try {
      read(op.global("os", "system"));
      expect.unreachable();
    } catch (error) {
      expect((error as { mend: string }).mend).toMatchInlineSnapshot(
        `"Loading this file in Python would call it. Ask for the model as safetensors, or for its state dict alone."`,
      );
    }
  });

  test("printed so that it cannot write to the terminal as it likes", () => {
    expect(problem(op.global("\x1b[2J", "x".repeat(200)))).toMatchInlineSnapshot(
      `"FormatError: p, byte 2: the pickle asks to call "\\u001b[2J.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..., which weights have no need of"`,
    );
  });

  test("as it is when a storage type, a call's result or a text is called", () => {
    expect(problem(op.call(op.global("torch", "FloatStorage"), command))).toContain(
      "the pickle asks to call torch.FloatStorage, which weights have no need of",
    );
    const tensor = op.call(op.global("torch._utils", "_rebuild_tensor_v2"));
    expect(problem(op.call(tensor, command))).toContain("a call of what is no function");
    expect(problem(op.call(op.text("os.system"), command))).toContain("a call of what is no function");
    expect(problem(op.global("torch", "Size"), op.text("x"), "R")).toContain("a call of what is no function");
  });

  test.each([
    ["INST", "(ios\nsystem\n"],
    ["OBJ", "(cos\nsystem\no"],
    ["NEWOBJ", "\x81"],
    ["NEWOBJ_EX", "\x92"],
    ["EXT1", "\x82\x01"],
    ["PERSID", "P1\n"],
    ["INT of protocol 0", "I1\n"],
    ["LONG4", "\x8b\x01\x00\x00\x00\x01"],
    ["BYTEARRAY8", "\x96"],
  ])("and so is the operation %s, which can do the same or is not needed", (_, operations) => {
    expect(problem(operations)).toMatch(
      /operation 0x[0-9a-f]{2} is none that weights need$|asks to call os\.system/,
    );
  });
});

describe("a hostile pickle is refused", () => {
  test.each([
    ["an end without a value", "", "the pickle ends with 0 values instead of one"],
    ["two values", "NN", "the pickle ends with 2 values instead of one"],
    ["an open list of values", "N(", "the pickle ends with 1 values instead of one"],
    ["bytes after the end", "N.N", "2 bytes follow the pickle's end"],
    ["taking from an empty stack", "a", "an operation needs more values than there are"],
    ["taking what lies below a mark", "](a", "an operation needs more values than there are"],
    ["a tuple without a mark", "t", "a list of values ends that did not begin"],
    ["items for a dict", "}Na", "items are added to what is no list"],
    ["keys for a list", "]NNs", "keys are set in what is no dict"],
    ["a key without a value", "}(Nu", "a key has no value"],
    ["a key twice", "}(K\x01NK\x01Nu", "the key 1 stands twice in one dict"],
    ["a memo that was never written", "h\x03", "memo 3 is read, which was never written"],
    ["attributes of a list", "]}b", "attributes are set on what is no dict"],
    ["a name of numbers", "NN\x93", "a name that is no text"],
    ["a size of a number", "ctorch\nSize\nK\x01\x85R", "a torch.Size of what is no tuple"],
    [
      "a dict with contents of its own",
      "ccollections\nOrderedDict\n]\x85R",
      "an OrderedDict is made with contents, which torch adds afterwards",
    ],
    ["a name that does not end", `c${"x".repeat(300)}\nx\n`, "a name of more than 256 bytes"],
    ["a text that is not UTF-8", "X\x01\x00\x00\x00\xff", "text that is not valid UTF-8"],
  ])("%s", (_, operations, message) => {
    expect(problem(operations).replace(/^FormatError: p, byte \d+: /, "")).toBe(message);
  });

  test("of another protocol, or no pickle", () => {
    expect(messageOf(() => readBytes(Uint8Array.of(0x80, 5, 0x4e, 0x2e)))).toBe(
      "FormatError: p, byte 0: pickle protocol 5, of which 2 to 4 are read",
    );
    expect(messageOf(() => readBytes(Buffer.from("(lp0\n.")))).toBe(
      "FormatError: p, byte 0: a pickle of protocol 2 or later should begin here, and does not",
    );
  });

  test.each([
    ["a text of 4 GB", "X\xff\xff\xff\xff", /4294967295 bytes are announced, 1 are left$/],
    ["a text of 2^60 bytes", "\x8d\0\0\0\0\0\0\0\x10", /is beyond 2\^53$/],
    ["a million dicts on the stack", "}".repeat(2 ** 20), /more than 65536 values wait on the stack$/],
    ["a million marks", "(".repeat(2 ** 20), /more than 65536 lists of values are open$/],
    ["a million nested lists", "](".repeat(2 ** 19), /more than 65536 values wait on the stack$/],
    [
      "a million nested tuples",
      `N${"\x85".repeat(2 ** 20)}`,
      /more than 524288 values and memos in one pickle$/,
    ],
    ["a million memos", `N${"\x94".repeat(2 ** 20)}`, /more than 524288 values and memos in one pickle$/],
    [
      "a million dicts in a list",
      `](${`${"}".repeat(1000)}e(`.repeat(1000)}`,
      /more than 524288 values and memos in one pickle$/,
    ],
  ])("%s, soon", (_, operations, message) => {
    const bytes = pickleBytes(operations);
    const { message: told, milliseconds } = refusal(() => readBytes(bytes));
    expect(told).toMatch(message);
    expect(milliseconds).toBeLessThan(1000);
  });

  test("of more bytes than any weights take, before they are read", () => {
    const source = {
      name: "p",
      size: maxPickleBytes + 1,
      read: () => expect.unreachable("it was read"),
    };
    expect(messageOf(() => readPickle(source))).toBe(
      "FormatError: p: 16777217 bytes of pickle, of which at most 16777216 are read",
    );
  });

  test.each(["types", "protocol4", "nested"])("%s.pth's, cut off at any byte", (name) => {
    const bytes = fixture(name);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(messageOf(() => readBytes(bytes.subarray(0, length)))).toMatch(/^FormatError: /);
    }
  });

  test.each(["types", "protocol4", "nested"])(
    "%s.pth's with any byte changed, or it is read; nothing else",
    (name) => {
      expect(corrupt(fixture(name), readPickle).refused).toBeGreaterThan(200);
    },
  );
});
