/** `cria inspect`: what a file or folder holds. */

import { basename } from "node:path";
import type { TensorInfo } from "../../formats/tensor-info.ts";
import { shortestDecimal } from "../../model/config-source.ts";
import { defineCommand } from "../command.ts";
import { inspectPath, type Fact, type Inspection } from "../inspection.ts";
import type { ModelSummary } from "../model-summary.ts";
import { fit, formatBytes, formatCount, formatNumberOf, printable, table, type Style } from "../terminal.ts";

export const inspect = defineCommand({
  details:
    "Reads heads only, so a model of any size is shown at once: safetensors, GGUF, llama2.c, SentencePiece, Hugging " +
    "Face folders, checkpoints, runs and token shards. Of a whole model it says too whether it fits into this " +
    "machine's free memory.",
  args: {
    path: { type: "positional", required: true, description: "A file or a folder" },
    json: { type: "boolean", description: "Everything as one JSON object" },
  },
  examples: ["cria inspect model.gguf", "cria inspect runs/first/checkpoints/step-00000100 --json"],
  async run({ path, json }, { stdout, style }) {
    const inspection = inspectPath(path);
    const summary = inspection.tensors.length === 0 ? undefined : await summaryOf(path);
    const text = json
      ? inspectionJson(path, inspection, summary?.summary)
      : inspectionText({ path, inspection, summary }, style);
    stdout.write(text);
  },
});

// --- internal ---

/** Imported when there is a model: its reader loads the engine, which texts and token shards do without. */
async function summaryOf(path: string): Promise<Summary | undefined> {
  const [{ summariseModel }, { summaryRows }] = await Promise.all([
    import("../model-summary.ts"),
    import("../model-summary-text.ts"),
  ]);
  const summary = summariseModel(path);
  return summary === undefined ? undefined : { summary, rows: summaryRows(summary) };
}

interface Summary {
  readonly summary: ModelSummary;
  readonly rows: string[][];
}

interface Shown {
  readonly path: string;
  readonly inspection: Inspection;
  readonly summary: Summary | undefined;
}

function inspectionText({ path, inspection, summary }: Shown, style: Style): string {
  const { kind, facts, metadata, tensors } = inspection;
  const parts = [`${style.bold(path)}  ${kind}\n${table(totals(facts, tensors), { indent: "  " })}`];
  if (summary !== undefined) parts.push(`${style.bold("Model")}\n${table(summary.rows, { indent: "  " })}`);
  if (metadata.length > 0) {
    const rows = metadata.map(([name, value]) => [`  ${printable(name)}`, shown(value)]);
    parts.push(`${style.bold("Metadata")}\n${table(rows)}`);
  }
  if (tensors.length > 0) {
    const rows = [["name", "type", "shape", "size", "offset"].map(style.dim), ...tensors.map(tensorRow)];
    parts.push(`${style.bold("Tensors")}\n${table(rows, { indent: "  ", right: [3, 4] })}`);
  }
  return parts.join("\n");
}

function totals(facts: readonly Fact[], tensors: readonly TensorInfo[]): string[][] {
  const rows = facts.map(([name, value]) => [name, shown(value)]);
  if (tensors.length === 0) return rows;
  const elements = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const names = [...new Set(tensors.map(({ type }) => type))];
  const types = names.map((name) => {
    const same = tensors.filter(({ type }) => type === name);
    const size = formatBytes(same.reduce((sum, tensor) => sum + tensor.bytes, 0));
    return [`  ${name}`, `${formatNumberOf(same.length, "tensor")}, ${size}`];
  });
  return [
    ...rows,
    ["values", formatCount(elements)],
    ["size", `${formatBytes(bytes)} in ${formatNumberOf(tensors.length, "tensor")}`],
    ...types,
  ];
}

function tensorRow({ name, type, shape, bytes, offset }: TensorInfo): string[] {
  return [printable(name), type, `[${shape.join(", ")}]`, formatBytes(bytes), String(offset)];
}

/** A value on one line: long texts and lists are cut, and say how long they are. */
function shown(value: unknown): string {
  if (typeof value === "string") return fit(printable(value), 72);
  if (typeof value === "number") return String(shortestDecimal(value));
  if (!isList(value)) return String(value);
  const items = Array.from({ length: Math.min(8, value.length) }, (_, i) => quoted(value[i]));
  const text = items.join(", ");
  if (value.length <= 8 && text.length <= 72) return text;
  return `${formatCount(value.length)} items: ${fit(text, 56).replace(/…$/, "")}…`;
}

function quoted(value: unknown): string {
  if (typeof value === "string") return printable(JSON.stringify(value));
  return isList(value) ? `[${value.length} items]` : String(value);
}

function inspectionJson(
  path: string,
  { kind, facts, metadata, tensors }: Inspection,
  summary: ModelSummary | undefined,
): string {
  const record = {
    path,
    kind,
    facts: Object.fromEntries(facts.map(([name, value]) => [name.trim(), value])),
    ...(summary === undefined ? {} : { model: summary }),
    metadata: Object.fromEntries(metadata),
    tensors: tensors.map((tensor) => ({ ...tensor, file: basename(tensor.file) })),
  };
  return `${JSON.stringify(record, (_key, value: unknown) => plain(value), 2)}\n`;
}

/** JSON has no bigint and no typed arrays. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  return ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<unknown>) : value;
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}
