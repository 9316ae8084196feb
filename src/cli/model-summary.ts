/** What one wants to know of a model before it is run: positions, vocabulary, chat template, and whether it fits. */

import { modelPath } from "../formats/model-cache.ts";
import { tensorBytes } from "../formats/tensor-info.ts";
import { CriaError } from "../errors/errors.ts";
import { chatTemplate } from "../dialog/llama2-chat.ts";
import { chatFormat } from "../dialog/chat-format.ts";
import { readChatTemplate } from "../dialog/template-source.ts";
import type { LlamaConfig } from "../model/config.ts";
import { cacheStep, type CacheType } from "../model/kv-cache.ts";
import { readModelFiles, type ModelFiles } from "../model/load.ts";
import { typeInMix, type MixName } from "../model/quantisation-mix.ts";
import { ropeScalingText } from "../model/rope-scaling.ts";
import { tokenizerOfModel } from "../tokenizer/open.ts";
import { unusedIds, type Tokenizer } from "../tokenizer/tokenizer.ts";

export interface ModelSummary {
  readonly rope: string;
  readonly vocabulary: VocabularySummary | Unreadable;
  readonly template: TemplateSummary | Unreadable;
  readonly memory: MemorySummary;
}

/** Why something could not be read. */
export interface Unreadable {
  readonly problem: string;
}

export interface VocabularySummary {
  readonly pieces: number;
  /** Of the model's embedding. */
  readonly rows: number;
  /** Ids that are never drawn: unused pieces and rows without a piece. */
  readonly unused: number;
  /** Control pieces, which no text has. */
  readonly special: readonly { readonly id: number; readonly text: string; readonly role?: string }[];
  /** Tokens that are found in the text before it is cut into pieces. */
  readonly added: readonly { readonly id: number; readonly text: string }[];
}

export interface TemplateSummary {
  readonly format: string;
  /** Undefined when the model brings none. */
  readonly firstLine?: string;
}

/** In bytes. */
export interface MemorySummary {
  readonly weightBytes: number;
  readonly cacheBytes: number;
  readonly cacheType: CacheType;
  readonly contextTokens: number;
  readonly freeBytes: number;
  readonly fits: boolean;
  /** The longest context with which it fits, when not its own; 0 for none. */
  readonly longestContext?: number;
  /** The best type in which it fits with its whole context, when not its own. */
  readonly smallerType?: { readonly type: MixName; readonly bytes: number };
}

/** @returns undefined for files that are no whole model that writes texts. */
export function summariseModel(
  named: string,
  freeBytes = process.availableMemory(),
): ModelSummary | undefined {
  const path = modelPath(named);
  const files = attempt(() => readModelFiles(path));
  if (isUnreadable(files)) return undefined;
  const { config } = files;
  const tokenizer = attempt(() => tokenizerOfModel(path, config.vocabSize));
  return {
    rope: `θ = ${config.ropeTheta}, scaling: ${ropeScalingText(config.ropeScaling)}`,
    vocabulary: isUnreadable(tokenizer) ? tokenizer : vocabularyOf(tokenizer),
    template: isUnreadable(tokenizer) ? tokenizer : attempt(() => templateOf(path, tokenizer)),
    memory: memoryOf(files, freeBytes),
  };
}

/** Weights and a cache of the model's own context against what is free. Graphs take some more, which is little. */
export function memoryOf(files: ModelFiles, freeBytes: number): MemorySummary {
  const { config, tensors } = files;
  const weightBytes = [...tensors.values()].reduce((sum, { shape, parts }) => {
    const own = parts.reduce((bytes, part) => bytes + part.bytes, 0);
    return sum + (parts[0]?.scales === undefined ? own : tensorBytes("f32", shape));
  }, 0);
  const cacheType = tensors.get("layers.0.attention.wk.weight")?.type === "f32" ? "f32" : "f16";
  const contextTokens = config.maxSeqLen;
  const cacheBytes = cacheBytesOf(config, contextTokens, cacheType);
  const needs = { weightBytes, cacheBytes, cacheType, contextTokens, freeBytes } as const;
  if (weightBytes + cacheBytes <= freeBytes) return { ...needs, fits: true };
  const steps = Math.floor(Math.max(0, freeBytes - weightBytes) / cacheBytesOf(config, cacheStep, cacheType));
  const smallerCache = cacheBytesOf(config, contextTokens, "f16");
  const smallerType = smallerMixes
    .map((type) => ({ type, bytes: mixBytes(files, type) }))
    .find(({ bytes }) => bytes < weightBytes && bytes + smallerCache <= freeBytes);
  return {
    ...needs,
    fits: false,
    longestContext: Math.min(contextTokens, steps * cacheStep),
    ...(smallerType === undefined ? {} : { smallerType }),
  };
}

export function isUnreadable(value: object): value is Unreadable {
  return "problem" in value;
}

// --- internal ---

/** The ones that people use, the most exact first. */
const smallerMixes: readonly MixName[] = ["f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"];

function cacheBytesOf(config: LlamaConfig, tokens: number, type: CacheType): number {
  const row = tensorBytes(type, [config.nKvHeads * config.headDim]);
  return 2 * config.nLayers * Math.ceil(tokens / cacheStep) * cacheStep * row;
}

function mixBytes({ tensors, config }: ModelFiles, mix: MixName): number {
  let bytes = 0;
  for (const [name, { shape }] of tensors) bytes += tensorBytes(typeInMix(mix, name, shape, config), shape);
  return bytes;
}

function vocabularyOf(tokenizer: Tokenizer): VocabularySummary {
  const { model, vocabSize, rows, bosId, eosId, padId } = tokenizer;
  const roles = new Map([
    [padId, "PAD"],
    [eosId, "EOS"],
    [bosId, "BOS"],
  ]);
  const entries = model.pieces.map(({ piece, type, added }, id) => ({ id, text: piece, type, added }));
  return {
    pieces: vocabSize,
    rows,
    unused: unusedIds(tokenizer).length,
    special: entries
      .filter(({ type }) => type === "control")
      .map(({ id, text }) => {
        const role = roles.get(id);
        return role === undefined ? { id, text } : { id, text, role };
      }),
    added: entries
      .filter(({ type, added }) => type === "user_defined" || added !== undefined)
      .map(({ id, text }) => ({ id, text })),
  };
}

function templateOf(path: string, tokenizer: Tokenizer): TemplateSummary {
  const source = readChatTemplate(path);
  if (source === undefined) return { format: "none of its own; chats are laid out as Llama 2's" };
  const format = chatFormat(source, tokenizer);
  const tools = format.knowsTools ? ", knows tools" : "";
  return {
    format: format.source === chatTemplate ? "Llama 2's" : `its own${tools}`,
    firstLine: source.template.trimStart().split("\n", 1)[0]!,
  };
}

/** What cannot be read is said, and the rest is shown. */
function attempt<T extends object>(read: () => T): T | Unreadable {
  try {
    return read();
  } catch (error) {
    if (error instanceof CriaError) return { problem: error.message };
    throw error;
  }
}
