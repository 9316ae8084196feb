/** A model's summary as rows of a table. */

import {
  isUnreadable,
  type MemorySummary,
  type ModelSummary,
  type TemplateSummary,
  type Unreadable,
  type VocabularySummary,
} from "./model-summary.ts";
import { fit, formatBytes, printable } from "./terminal.ts";

export function summaryRows({ rope, vocabulary, template, memory }: ModelSummary): string[][] {
  return [["RoPE", rope], ...vocabularyRows(vocabulary), ...templateRows(template), ...memoryRows(memory)];
}

// --- internal ---

/** More than these are counted. */
const mostTokens = 6;

function vocabularyRows(vocabulary: VocabularySummary | Unreadable): string[][] {
  if (isUnreadable(vocabulary)) return [["vocabulary", `not read: ${printable(vocabulary.problem)}`]];
  const { pieces, rows, unused, special, added } = vocabulary;
  const padding = rows > pieces ? ` of ${rows} rows` : "";
  const never = unused === 0 ? "" : `; ${unused} ids are not used, and never drawn`;
  const tokens = [
    ["special tokens", special.map(({ role, ...token }) => tokenText(token, role))],
    ["added tokens", added.map((token) => tokenText(token))],
  ] as const;
  return [
    ["vocabulary", `${pieces} pieces${padding}${never}`],
    ...tokens.filter(([, texts]) => texts.length > 0).map(([name, texts]) => [name, listed(texts)]),
  ];
}

function tokenText({ id, text }: { readonly id: number; readonly text: string }, role?: string): string {
  return `${fit(printable(text), 32)} ${id}${role === undefined ? "" : ` (${role})`}`;
}

function listed(texts: readonly string[]): string {
  const more = texts.length > mostTokens ? `, and ${texts.length - mostTokens} more` : "";
  return texts.slice(0, mostTokens).join(", ") + more;
}

function templateRows(template: TemplateSummary | Unreadable): string[][] {
  if (isUnreadable(template)) return [["chat template", `not read: ${printable(template.problem)}`]];
  const { format, firstLine } = template;
  return [
    ["chat template", format],
    ...(firstLine === undefined ? [] : [["  first line", fit(printable(firstLine), 72)]]),
  ];
}

function memoryRows(memory: MemorySummary): string[][] {
  const { weightBytes, cacheBytes, cacheType, contextTokens, freeBytes } = memory;
  return [
    ["memory", `${formatBytes(weightBytes + cacheBytes)}, and ${formatBytes(freeBytes)} are free`],
    ["  weights", formatBytes(weightBytes)],
    ["  cache", `${formatBytes(cacheBytes)} for ${contextTokens} tokens in ${cacheType}`],
    ["fits", fitText(memory)],
  ];
}

function fitText({ fits, longestContext = 0, smallerType }: MemorySummary): string {
  if (fits) return "yes";
  const ways = [
    ...(longestContext > 0 ? [`with --context ${longestContext}`] : []),
    ...(smallerType === undefined
      ? []
      : [`converted with --type ${smallerType.type} (${formatBytes(smallerType.bytes)})`]),
  ];
  return ways.length === 0 ? "no, in no type" : `no; it would ${ways.join(", or ")}`;
}
