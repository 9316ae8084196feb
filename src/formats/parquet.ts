/** Apache Parquet, as data sets are published in: rows as plain objects in, columns out. */

import { parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { parquetWriteBuffer } from "hyparquet-writer";
import { FormatError } from "../errors/errors.ts";
import { openFile } from "./file-source.ts";

export type ParquetRow = Readonly<Record<string, unknown>>;

/** A column, and how it is stored: as text, as a number, or as lists and objects of JSON's kinds. */
export interface ParquetColumn {
  readonly name: string;
  /** A null where a row has no value. */
  readonly values: readonly unknown[];
  readonly type: "text" | "number" | "messages";
}

/**
 * All rows. Lists and structs become arrays and objects; integers of 64 bits become numbers.
 *
 * @throws {ConfigError} when the file cannot be opened. @throws {FormatError} when it is not Parquet, or damaged.
 */
export async function readParquet(path: string): Promise<ParquetRow[]> {
  using source = openFile(path);
  const file = {
    byteLength: source.size,
    slice: (start: number, end = source.size) => bufferOf(source.read(start, end - start)),
  };
  try {
    const rows = await parquetReadObjects({ file, compressors });
    return rows.map((row) => plain(row) as ParquetRow);
  } catch (cause) {
    throw new FormatError(`not a Parquet file that can be read: ${(cause as Error).message}`, {
      file: path,
      cause,
    });
  }
}

/** The bytes of a file with these columns, in their order. */
export function parquetBytes(columns: readonly ParquetColumn[]): Uint8Array {
  const schema = [{ name: "root", num_children: columns.length }, ...columns.flatMap(schemaOf)];
  const columnData = columns.map(({ name, values }) => ({ name, data: [...values] }));
  return new Uint8Array(parquetWriteBuffer({ schema, columnData }));
}

// --- internal ---

type SchemaElement = NonNullable<Parameters<typeof parquetWriteBuffer>[0]["schema"]>[number];

/** A list is three levels: the list, its repetition, the element (Parquet's LogicalTypes.md, "Lists"). */
function schemaOf({ name, type }: ParquetColumn): SchemaElement[] {
  switch (type) {
    case "text":
      return [text(name)];
    case "number":
      return [{ name, type: "DOUBLE", repetition_type: "OPTIONAL" }];
    case "messages":
      return [
        { name, repetition_type: "OPTIONAL", num_children: 1, converted_type: "LIST" },
        { name: "list", repetition_type: "REPEATED", num_children: 1 },
        { name: "element", repetition_type: "OPTIONAL", num_children: 2 },
        text("role"),
        text("content"),
      ];
  }
}

function text(name: string): SchemaElement {
  return { name, type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" };
}

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null || value instanceof Date || ArrayBuffer.isView(value))
    return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}
