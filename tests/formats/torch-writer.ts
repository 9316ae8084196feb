/** Zip files, pickles and PyTorch files for tests, wrong ones too: each function takes what is to be written as is. */

export interface EntryToWrite {
  readonly name: string;
  readonly data: Uint8Array;
  /** What the directory says instead of the truth. */
  readonly said?: {
    readonly name?: string;
    readonly method?: number;
    readonly flags?: number;
    readonly bytes?: number;
    readonly stored?: number;
    readonly header?: number;
  };
}

export interface EndToWrite {
  readonly count?: number;
  readonly bytes?: number;
  readonly offset?: number;
  readonly disk?: number;
  readonly comment?: string;
}

/** Entries, directory, end record. (PKWARE's APPNOTE §4.3) */
export function zipBytes(entries: readonly EntryToWrite[], said: EndToWrite = {}): Uint8Array {
  const chunks: Uint8Array[] = [];
  const records: Uint8Array[] = [];
  let at = 0;
  for (const entry of entries) {
    const { name, data } = entry;
    records.push(directoryRecord(entry, at));
    const fields = [
      [entry.said?.flags ?? 0, 2],
      [entry.said?.method ?? 0, 2],
      [0, 8],
      [data.length, 4],
      [data.length, 4],
    ] as const;
    const nameBytes = Buffer.from(name);
    const chunk = [
      numbers([0x04034b50, 4], [0, 2], ...fields, [nameBytes.length, 2], [0, 2]),
      nameBytes,
      data,
    ];
    chunks.push(...chunk);
    at += chunk.reduce((sum, { length }) => sum + length, 0);
  }
  const directory = Buffer.concat(records);
  const truth = { count: entries.length, bytes: directory.length, offset: at, disk: 0, comment: "" };
  const { count, bytes, offset, disk, comment } = { ...truth, ...said };
  const end = numbers(
    [0x06054b50, 4],
    [disk, 2],
    [disk, 2],
    [count, 2],
    [count, 2],
    [bytes, 4],
    [offset, 4],
    [comment.length, 2],
  );
  return new Uint8Array(Buffer.concat([...chunks, directory, end, Buffer.from(comment)]));
}

function directoryRecord({ name, data, said }: EntryToWrite, at: number): Uint8Array {
  const truth = {
    name,
    method: 0,
    flags: 0,
    bytes: data.length,
    stored: said?.bytes ?? data.length,
    header: at,
  };
  const { name: shown, method, flags, bytes, stored, header } = { ...truth, ...said };
  const nameBytes = Buffer.from(shown);
  const fields = [
    [flags, 2],
    [method, 2],
    [0, 8],
    [stored, 4],
    [bytes, 4],
    [nameBytes.length, 2],
  ] as const;
  return Buffer.concat([numbers([0x02014b50, 4], [0, 4], ...fields, [0, 12], [header, 4]), nameBytes]);
}

/** Little-endian numbers, each with its width in bytes. */
export function numbers(
  ...fields: readonly (readonly [value: number | bigint, width: number])[]
): Uint8Array {
  return Uint8Array.from(
    fields.flatMap(([value, width]) =>
      Array.from({ length: width }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn)),
    ),
  );
}

/** The operations of a pickle, by the names that Python's pickletools gives them. */
export const op = {
  text: (text: string): Uint8Array => {
    const bytes = Buffer.from(text);
    return Buffer.concat([numbers([0x58, 1], [bytes.length, 4]), bytes]);
  },
  int: (value: number): Uint8Array => numbers([0x4a, 1], [value, 4]),
  long: (...bytes: number[]): Uint8Array => Uint8Array.of(0x8a, bytes.length, ...bytes),
  global: (module: string, name: string): Uint8Array => Buffer.from(`c${module}\n${name}\n`),
  tuple: (...items: readonly Uint8Array[]): Uint8Array => Buffer.concat([op.mark, ...items, op.toTuple]),
  dict: (items: readonly (readonly [Uint8Array, Uint8Array])[]): Uint8Array =>
    Buffer.concat([Buffer.from("}("), ...items.flat(), Buffer.from("u")]),
  call: (callee: Uint8Array, ...args: readonly Uint8Array[]): Uint8Array =>
    Buffer.concat([callee, op.tuple(...args), Buffer.from("R")]),
  persistent: (id: Uint8Array): Uint8Array => Buffer.concat([id, Buffer.from("Q")]),
  mark: Buffer.from("("),
  toTuple: Buffer.from("t"),
  none: Buffer.from("N"),
  false: Uint8Array.of(0x89),
};

/** Protocol 2, the operations, the end. */
export function pickleBytes(...operations: readonly (Uint8Array | string)[]): Uint8Array {
  const parts = operations.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part));
  return new Uint8Array(Buffer.concat([Uint8Array.of(0x80, 2), ...parts, Buffer.from(".")]));
}

export interface StoredTensor {
  readonly storage: string;
  readonly type: string;
  readonly elements: number;
  readonly first?: number;
  readonly shape: readonly number[];
  readonly strides?: readonly number[];
}

/** The operations that rebuild a tensor, as torch.save writes them. */
export function tensorOps(tensor: StoredTensor, ...more: readonly Uint8Array[]): Uint8Array {
  const { storage, type, elements, first = 0, shape } = tensor;
  const strides = tensor.strides ?? shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  return op.call(
    op.global("torch._utils", "_rebuild_tensor_v2"),
    op.persistent(
      op.tuple(
        op.text("storage"),
        op.global("torch", `${type}Storage`),
        op.text(storage),
        op.text("cpu"),
        op.int(elements),
      ),
    ),
    op.int(first),
    op.tuple(...shape.map(op.int)),
    op.tuple(...strides.map(op.int)),
    op.false,
    op.call(op.global("collections", "OrderedDict")),
    ...more,
  );
}

/** A PyTorch file of this pickle and these storages. */
export function torchBytes(
  pickle: Uint8Array,
  storages: Readonly<Record<string, Uint8Array>>,
  others: Readonly<Record<string, string>> = {},
): Uint8Array {
  return zipBytes([
    { name: "archive/data.pkl", data: pickle },
    ...Object.entries(others).map(([name, text]) => ({ name: `archive/${name}`, data: Buffer.from(text) })),
    ...Object.entries(storages).map(([key, data]) => ({ name: `archive/data/${key}`, data })),
  ]);
}

/** A PyTorch file of f32 tensors, each in a storage of its own, whose values count on from `start`. */
export function torchFileOf(
  shapes: Readonly<Record<string, readonly number[]>>,
  start: (name: string) => number = () => 0,
): Uint8Array {
  const storages: Record<string, Uint8Array> = {};
  const items = Object.entries(shapes).map(([name, shape], i) => {
    const elements = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length: elements }, (_, at) => start(name) + at);
    storages[String(i)] = new Uint8Array(values.buffer);
    return [op.text(name), tensorOps({ storage: String(i), type: "Float", elements, shape })] as const;
  });
  return torchBytes(pickleBytes(op.dict(items)), storages);
}
