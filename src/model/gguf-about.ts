/** What a GGUF file says of a model beside its shape (the GGUF specification, "General metadata"). */

import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { openFile } from "../formats/file-source.ts";
import { readGguf } from "../formats/gguf.ts";
import type { GgufWriteValue } from "../formats/gguf-write.ts";
import { isJsonObject, readJsonFile } from "../formats/json.ts";
import type { ModelFiles } from "./load.ts";

/**
 * The model's name, its size, its licence and how it wants to be sampled, under the keys of llama.cpp's converter; of a
 * GGUF file, all the texts that it has itself.
 */
export function ggufAbout(files: ModelFiles): Map<string, GgufWriteValue> {
  const about = new Map<string, GgufWriteValue>();
  const put = (name: string, value: string): void =>
    void about.set(`general.${name}`, { type: "string", value });
  put("type", "model");
  put("name", basename(files.path).replace(/\.(gguf|bin)$/, ""));
  put("size_label", sizeLabel(parametersOf(files)));
  const license = licenseOf(files);
  if (license !== undefined) put("license", license);
  const source = files.format === "gguf" ? metadataOf(files.path) : new Map<string, unknown>();
  for (const [key, value] of source)
    if (key.startsWith("general.") && typeof value === "string") put(key.slice("general.".length), value);
  const settings = generationSettings(files);
  for (const [setting, key, type] of samplingKeys) {
    const value = settings[setting] ?? source.get(key);
    if (typeof value === "number") about.set(key, { type, value });
  }
  return about;
}

/** Two digits at least, as llama.cpp's converter rounds: 6.7B, 13B, 124M, 0.26K. */
export function sizeLabel(parameters: number): string {
  const [unit, suffix] = units.find(([unit]) => parameters > unit) ?? units.at(-1)!;
  const scaled = parameters / unit;
  const whole = Math.round(scaled);
  const digits = whole === 0 ? 0 : String(whole).length;
  return `${scaled.toFixed(Math.max(0, 2 - digits))}${suffix}`;
}

// --- internal ---

const units = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "K"],
] as const;

/** As generation_config.json names them, and as GGUF does. */
const samplingKeys = [
  ["temperature", "general.sampling.temp", "float32"],
  ["top_k", "general.sampling.top_k", "int32"],
  ["top_p", "general.sampling.top_p", "float32"],
  ["min_p", "general.sampling.min_p", "float32"],
  ["repetition_penalty", "general.sampling.penalty_repeat", "float32"],
] as const;

function generationSettings({ format, path }: ModelFiles): Readonly<Record<string, unknown>> {
  const file = join(path, "generation_config.json");
  if (format !== "huggingface" || !existsSync(file)) return {};
  const settings = readJsonFile(file);
  return isJsonObject(settings) ? settings : {};
}

function metadataOf(path: string): ReadonlyMap<string, unknown> {
  using source = openFile(path);
  return readGguf(source).metadata;
}

function parametersOf({ tensors }: ModelFiles): number {
  let count = 0;
  for (const { shape } of tensors.values()) count += shape.reduce((product, size) => product * size, 1);
  return count;
}

/** From the head of the model's card. */
function licenseOf({ format, path }: ModelFiles): string | undefined {
  const card = join(path, "README.md");
  if (format !== "huggingface" || !existsSync(card)) return undefined;
  const [, head = ""] = /^---\r?\n(.*?)\r?\n---/s.exec(readFileSync(card, "utf8")) ?? [];
  return /^license:[ \t]*["']?([\w.-]+)/m.exec(head)?.[1];
}
