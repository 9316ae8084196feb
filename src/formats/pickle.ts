/**
 * Reads the pickles that torch.save writes, and executes nothing. A pickle is a program for a stack machine that
 * can call any function of Python; here a call is a record of what is asked for, and what may be asked for is a
 * short list of names that weights need. Everything else is refused by its name.
 *
 * Protocols 2 to 4, of whose operations only those are known that Python's pickler emits for dicts, lists, tuples,
 * numbers, texts and tensors. (CPython, Lib/pickletools.py describes each operation; PEP 307 and PEP 3154)
 */

import { FormatError } from "../errors/errors.ts";
import { ByteReader } from "./byte-reader.ts";
import { quoted, type ByteSource } from "./bytes.ts";

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly PickleValue[]
  | PickleDict
  | PickleName
  | PickleCall
  | PersistentId;

/** A dict or an OrderedDict. A key that is not a text or number is equal to itself only. */
export type PickleDict = ReadonlyMap<PickleValue, PickleValue>;

/** A class or function by its full name. */
export interface PickleName {
  readonly type: "name";
  readonly name: string;
}

/** A call that the pickle asks for. Nothing is called. */
export interface PickleCall {
  readonly type: "call";
  readonly name: string;
  readonly args: readonly PickleValue[];
}

/** Stands for an object that the pickle's owner keeps outside of it: torch keeps the storages so. */
export interface PersistentId {
  readonly type: "persistent";
  readonly id: PickleValue;
}

/** Far above the largest checkpoint's, whose pickle takes a hundred bytes or two for each tensor. */
export const maxPickleBytes = 16 * 2 ** 20;

/**
 * Lists and tuples become arrays. Values may be shared, and a list or dict may contain itself.
 *
 * @param source the pickle and nothing else.
 * @throws {FormatError} for what is no such pickle, asks for a name that weights have no need of, or is larger
 *   than any weights' is.
 */
export function readPickle(source: ByteSource): PickleValue {
  if (source.size > maxPickleBytes) {
    throw new FormatError(`${source.size} bytes of pickle, of which at most ${maxPickleBytes} are read`, {
      file: source.name,
    });
  }
  const reader = new ByteReader(source);
  const machine: Machine = {
    file: source.name,
    reader,
    start: 0,
    stack: [],
    marks: [],
    memo: new Map(),
    made: 0,
  };
  readProtocol(machine);
  for (;;) {
    machine.start = reader.position;
    const code = byte(machine, "an operation");
    if (code === stop) return result(machine, source.size);
    const operation = operations.get(code);
    if (operation === undefined) {
      return refuse(machine, `operation 0x${code.toString(16).padStart(2, "0")} is none that weights need`);
    }
    operation(machine);
  }
}

/** Whether a value is a name, a call or a persistent id. */
export function isTagged<T extends Tagged["type"]>(
  value: PickleValue | undefined,
  type: T,
): value is Extract<Tagged, { readonly type: T }> {
  return typeof value === "object" && value !== null && "type" in value && value.type === type;
}

// --- internal ---

type Tagged = PickleName | PickleCall | PersistentId;

interface Machine {
  readonly file: string;
  readonly reader: ByteReader;
  /** Of the operation being read. */
  start: number;
  readonly stack: Mutable[];
  /** Heights of the stack at which the open lists of operands begin. */
  readonly marks: number[];
  readonly memo: Map<number, Mutable>;
  /** Values pushed and memos written so far. */
  made: number;
}

/** A value while the pickle may still add to it. */
type Mutable =
  | Exclude<PickleValue, readonly PickleValue[] | PickleDict>
  | PickleValue[]
  | Map<PickleValue, PickleValue>;

type Operation = (machine: Machine) => void;

// A pickle of 1-byte operations makes values that take two hundred times its size. Python's pickler adds to a list
// a thousand items at a time, so an honest stack stays low however much there is.
const maxValues = 2 ** 19;
const maxStack = 2 ** 16;
const maxNameBytes = 256;

const stop = 0x2e;

/** What weights ask for. Calls of the last two are kept as records; the first two become plain values. */
const allowedCalls = [
  "collections.OrderedDict",
  "torch.Size",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
] as const;
const allowedNames: ReadonlySet<string> = new Set([
  ...allowedCalls,
  ...["Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool"].map(
    (type) => `torch.${type}Storage`,
  ),
]);

const operations: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  [0x28, pushMark],
  [0x29, (machine) => push(machine, [])],
  [0x4e, (machine) => push(machine, null)],
  [0x88, (machine) => push(machine, true)],
  [0x89, (machine) => push(machine, false)],
  [0x4b, (machine) => push(machine, byte(machine, "a number"))],
  [0x4d, (machine) => push(machine, byte(machine, "a number") + byte(machine, "a number") * 256)],
  [0x4a, (machine) => push(machine, machine.reader.i32("a number"))],
  [0x8a, pushLong],
  [0x47, pushFloat],
  [0x8c, (machine) => pushText(machine, byte(machine, "a text's length"))],
  [0x58, (machine) => pushText(machine, machine.reader.u32("a text's length"))],
  [0x8d, (machine) => pushText(machine, machine.reader.count("a text's length"))],
  [0x5d, (machine) => push(machine, [])],
  [0x61, (machine) => append(machine, [pop(machine)])],
  [0x65, (machine) => append(machine, popToMark(machine))],
  [0x7d, (machine) => push(machine, new Map())],
  [0x73, (machine) => setItems(machine, popMany(machine, 2))],
  [0x75, (machine) => setItems(machine, popToMark(machine))],
  [0x74, (machine) => push(machine, popToMark(machine))],
  [0x85, (machine) => push(machine, popMany(machine, 1))],
  [0x86, (machine) => push(machine, popMany(machine, 2))],
  [0x87, (machine) => push(machine, popMany(machine, 3))],
  [0x71, (machine) => memorise(machine, byte(machine, "a memo's number"))],
  [0x72, (machine) => memorise(machine, machine.reader.u32("a memo's number"))],
  [0x94, (machine) => memorise(machine, machine.memo.size)],
  [0x68, (machine) => recall(machine, byte(machine, "a memo's number"))],
  [0x6a, (machine) => recall(machine, machine.reader.u32("a memo's number"))],
  [0x63, (machine) => pushName(machine, line(machine), line(machine))],
  [0x93, pushStackName],
  [0x52, call],
  [0x51, (machine) => push(machine, { type: "persistent", id: pop(machine) })],
  [0x62, dropAttributes],
  // A frame says how much to read ahead, which is of no use here.
  [0x95, (machine) => void machine.reader.count("a frame's length")],
]);

function refuse(machine: Machine, problem: string, mend?: string): never {
  throw new FormatError(problem, {
    file: machine.file,
    offset: machine.start,
    ...(mend === undefined ? {} : { mend }),
  });
}

function readProtocol(machine: Machine): void {
  const code = byte(machine, "the pickle's protocol");
  if (code !== 0x80) refuse(machine, "a pickle of protocol 2 or later should begin here, and does not");
  const protocol = byte(machine, "the pickle's protocol");
  if (protocol < 2 || protocol > 4) {
    refuse(
      machine,
      `pickle protocol ${protocol}, of which 2 to 4 are read`,
      "Save it again with torch.save.",
    );
  }
}

function result(machine: Machine, size: number): PickleValue {
  const { stack, marks, reader } = machine;
  if (stack.length !== 1 || marks.length !== 0) {
    return refuse(machine, `the pickle ends with ${stack.length} values instead of one`);
  }
  if (reader.position !== size) {
    return refuse(machine, `${size - reader.position} bytes follow the pickle's end`);
  }
  return stack[0]!;
}

function byte(machine: Machine, what: string): number {
  return machine.reader.bytes(1, what)[0]!;
}

function push(machine: Machine, value: Mutable): void {
  if (machine.stack.length === maxStack) refuse(machine, `more than ${maxStack} values wait on the stack`);
  spend(machine);
  machine.stack.push(value);
}

function spend(machine: Machine): void {
  if (machine.made === maxValues) refuse(machine, `more than ${maxValues} values and memos in one pickle`);
  machine.made += 1;
}

function pushMark(machine: Machine): void {
  if (machine.marks.length === maxStack) refuse(machine, `more than ${maxStack} lists of values are open`);
  machine.marks.push(machine.stack.length);
}

/** Nothing below the last mark may be taken: it belongs to what is built around. */
function popMany(machine: Machine, count: number): Mutable[] {
  const start = machine.stack.length - count;
  if (start < (machine.marks.at(-1) ?? 0)) refuse(machine, "an operation needs more values than there are");
  return machine.stack.splice(start);
}

function pop(machine: Machine): Mutable {
  return popMany(machine, 1)[0]!;
}

function popToMark(machine: Machine): Mutable[] {
  const mark = machine.marks.pop();
  return mark === undefined
    ? refuse(machine, "a list of values ends that did not begin")
    : machine.stack.splice(mark);
}

/** The value that is being added to, which stays on the stack. */
function top(machine: Machine): Mutable {
  const value = pop(machine);
  machine.stack.push(value);
  return value;
}

function append(machine: Machine, items: readonly Mutable[]): void {
  const list = top(machine);
  if (!Array.isArray(list)) return refuse(machine, "items are added to what is no list");
  for (const item of items) list.push(item);
}

function setItems(machine: Machine, items: readonly Mutable[]): void {
  const dict = top(machine);
  if (!(dict instanceof Map)) return refuse(machine, "keys are set in what is no dict");
  if (items.length % 2 !== 0) refuse(machine, "a key has no value");
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i]!;
    if (dict.has(key)) refuse(machine, `the key ${shownKey(key)} stands twice in one dict`);
    dict.set(key, items[i + 1]!);
  }
}

function shownKey(key: PickleValue): string {
  return typeof key === "object" ? "of its kind" : quoted(typeof key === "bigint" ? String(key) : key);
}

/** Two's complement, least byte first. */
function pushLong(machine: Machine): void {
  const bytes = machine.reader.bytes(byte(machine, "a number's length"), "a number");
  const bits = bytes.reduceRight((value, next) => (value << 8n) | BigInt(next), 0n);
  const value = BigInt.asIntN(8 * bytes.length, bits);
  const isSafe = BigInt(Number.MIN_SAFE_INTEGER) <= value && value <= BigInt(Number.MAX_SAFE_INTEGER);
  push(machine, isSafe ? Number(value) : value);
}

/** The one number that pickles keep with its greatest byte first. */
function pushFloat(machine: Machine): void {
  const bytes = machine.reader.bytes(8, "a number");
  push(machine, new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, false));
}

function pushText(machine: Machine, length: number): void {
  push(machine, machine.reader.text(length, "a text"));
}

function memorise(machine: Machine, number: number): void {
  spend(machine);
  machine.memo.set(number, top(machine));
}

function recall(machine: Machine, number: number): void {
  const value = machine.memo.get(number);
  if (value === undefined) return refuse(machine, `memo ${number} is read, which was never written`);
  push(machine, value);
}

function line(machine: Machine): string {
  let text = "";
  for (;;) {
    const code = byte(machine, "a name");
    if (code === 0x0a) return text;
    if (text.length === maxNameBytes) refuse(machine, `a name of more than ${maxNameBytes} bytes`);
    text += String.fromCharCode(code);
  }
}

function pushStackName(machine: Machine): void {
  const [module, name] = popMany(machine, 2);
  if (typeof module === "string" && typeof name === "string") return pushName(machine, module, name);
  refuse(machine, "a name that is no text");
}

function pushName(machine: Machine, module: string, name: string): void {
  const full = `${module}.${name}`;
  if (!allowedNames.has(full)) refuseCall(machine, full);
  push(machine, { type: "name", name: full });
}

function refuseCall(machine: Machine, name: string): never {
  const shown = /^[\w.]{1,100}$/.test(name) ? name : quoted(name);
  return refuse(
    machine,
    `the pickle asks to call ${shown}, which weights have no need of`,
    "Loading this file in Python would call it. Ask for the model as safetensors, or for its state dict alone.",
  );
}

function call(machine: Machine): void {
  const [callee, args] = popMany(machine, 2);
  if (!isTagged(callee, "name") || !Array.isArray(args))
    return refuse(machine, "a call of what is no function");
  const name = allowedCalls.find((allowed) => allowed === callee.name);
  switch (name) {
    case "collections.OrderedDict":
      if (args.length !== 0)
        refuse(machine, "an OrderedDict is made with contents, which torch adds afterwards");
      return push(machine, new Map());
    case "torch.Size":
      if (!Array.isArray(args[0])) refuse(machine, "a torch.Size of what is no tuple");
      return push(machine, args[0] as PickleValue[]);
    case "torch._utils._rebuild_tensor_v2":
    case "torch._utils._rebuild_parameter":
      return push(machine, { type: "call", name, args });
    case undefined:
      return refuseCall(machine, callee.name);
  }
}

/** A dict may carry attributes, such as a state dict's `_metadata`: no weights. */
function dropAttributes(machine: Machine): void {
  pop(machine);
  if (!(top(machine) instanceof Map)) refuse(machine, "attributes are set on what is no dict");
}
