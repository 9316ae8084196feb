/** A run's report: curves, settings and samples of its stages. */

import { existsSync } from "node:fs";
import { parameterCount } from "../../model/config.ts";
import { readMetrics, type MetricsRecord } from "../../train/metrics.ts";
import type { Entry, ReportStage, ReportTable } from "../../train/report.ts";
import type { Point, Series } from "../../train/svg-chart.ts";
import type { CorpusSummary, DocumentCount } from "../../corpus/prepare.ts";
import { formatBytes, formatCount, formatDuration } from "../terminal.ts";
import type { Baseline } from "./baseline.ts";
import type { PreparedCorpus } from "./corpus.ts";
import type { PretrainOutcome } from "./pretrain.ts";
import type { SftOutcome } from "./sft.ts";

export function corpusStage(corpus: PreparedCorpus): ReportStage {
  const { train, validation, tokenizer, summary } = corpus;
  return {
    name: "Corpus and tokenizer",
    paperSection: "§2.1, §2.2",
    charts: [],
    settings: [
      ["vocabulary", String(tokenizer.vocabSize)],
      ["training tokens", formatCount(train.tokens)],
      ["bytes a token", (train.bytes / train.tokens).toFixed(2)],
      ["held-out tokens", formatCount(validation?.tokens ?? 0)],
    ],
    notes: [],
    ...(summary === undefined ? {} : { table: sourceTable(summary) }),
  };
}

export function pretrainReport(outcome: PretrainOutcome, baseline: Baseline | undefined): ReportStage {
  const records = readMetrics(outcome.metricsFile);
  const byTokens = (key: string): Point[] => pointsOf(records, key, tokensAt(records));
  const measured = byTokens("bitsPerByte");
  const validation: Series[] = [{ name: "model", points: measured }];
  if (baseline !== undefined && measured.length > 0) {
    const ends = [measured[0]!, measured.at(-1)!];
    validation.push({
      name: `${baseline.order}-gram`,
      points: ends.map(([x]) => [x, baseline.bitsPerByte]),
      dashed: true,
    });
  }
  const xLabel = "tokens";
  return {
    name: "Pretraining",
    paperSection: "§2.2",
    charts: [
      {
        title: "Training loss",
        xLabel,
        yLabel: "nats a token",
        series: [{ name: "training", points: smoothed(byTokens("loss")) }],
      },
      ...(measured.length === 0
        ? []
        : [{ title: "Held-out text", xLabel, yLabel: "bits per byte", series: validation }]),
      {
        title: "Learning rate",
        xLabel,
        yLabel: "lr",
        height: 200,
        series: [{ name: "lr", points: byTokens("lr") }],
      },
      {
        title: "Speed",
        xLabel,
        yLabel: "tokens a second",
        height: 200,
        series: [{ name: "tokens/s", points: smoothed(byTokens("tokensPerSecond")) }],
      },
    ],
    settings: pretrainSettings(outcome),
    notes: skipNote(records),
  };
}

export function sftReport(outcome: SftOutcome, settings: readonly Entry[]): ReportStage {
  const records = readMetrics(outcome.metricsFile);
  const bySteps = (key: string): Point[] => pointsOf(records, key, ({ step }) => step);
  const series: Series[] = [{ name: "training", points: bySteps("loss") }];
  const heldOut = bySteps("validationLoss");
  if (heldOut.length > 0) series.push({ name: "held out", points: heldOut });
  return {
    name: "Supervised fine-tuning",
    paperSection: "§3.1",
    charts: [{ title: "Loss on answers", xLabel: "steps", yLabel: "nats a token", series }],
    settings: [["dialogs", String(outcome.dialogs)], ...settings],
    notes: skipNote(records),
  };
}

export interface PretrainNumbers {
  readonly bitsPerByte: number | undefined;
  readonly tokens: number;
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/** The last measurements of a pretraining run. */
export function pretrainNumbers({ metricsFile }: PretrainOutcome): PretrainNumbers {
  const records = existsSync(metricsFile) ? readMetrics(metricsFile) : [];
  const last = records.findLast(({ tokens }) => tokens !== undefined);
  const measured = records.findLast((record) => record["bitsPerByte"] !== undefined)?.["bitsPerByte"];
  const [tokens, seconds] = [last?.tokens ?? 0, last?.seconds ?? 0];
  return {
    bitsPerByte: typeof measured === "number" ? measured : undefined,
    tokens,
    seconds,
    tokensPerSecond: seconds === 0 ? 0 : tokens / seconds,
  };
}

/** What a run trained on, how fast, and what it reached beside the baseline. */
export function pretrainSummary(outcome: PretrainOutcome, baseline: Baseline | undefined): Entry[] {
  const { bitsPerByte, tokens, seconds, tokensPerSecond } = pretrainNumbers(outcome);
  return [
    ["Pretrained on", `${formatCount(tokens)} tokens in ${formatDuration(seconds)}`],
    ["Speed", `${formatCount(Math.round(tokensPerSecond))} tokens/s`],
    ...(bitsPerByte === undefined ? [] : [["Held-out text", inBits(bitsPerByte)] as const]),
    ...(baseline === undefined
      ? []
      : [[`${baseline.order}-gram Kneser-Ney`, inBits(baseline.bitsPerByte)] as const]),
  ];
}

export function pointsOf(
  records: readonly MetricsRecord[],
  key: string,
  x: (record: MetricsRecord) => number,
): Point[] {
  return records.flatMap((record) => {
    const value = record[key];
    return typeof value === "number" ? [[x(record), value] as const] : [];
  });
}

// --- internal ---

function inBits(bitsPerByte: number): string {
  return `${bitsPerByte.toFixed(3)} bits per byte`;
}

function pretrainSettings({ options, config }: PretrainOutcome): Entry[] {
  return [
    ["parameters", formatCount(parameterCount(config))],
    [
      "shape",
      `dim ${config.dim}, ${config.nLayers} layers, ${config.nHeads} heads, ${config.nKvHeads} key-value heads, hidden ${config.hiddenDim}`,
    ],
    ["batch", `${options.batchSize} × ${options.seqLen} tokens, ${options.gradientAccumulation} to a step`],
    ["steps", String(options.steps)],
    [
      "learning rate",
      `${options.lr}, ${options.warmupSteps} steps of warm-up, cosine to ${options.minLrRatio} of it`,
    ],
    [
      "AdamW",
      `β₁ ${options.beta1}, β₂ ${options.beta2}, ε ${options.eps}, decay ${options.weightDecay}, clip ${options.gradClip}`,
    ],
    ["matrix products", options.precision],
    ["seed", String(options.seed)],
  ];
}

function sourceTable(summary: CorpusSummary): ReportTable {
  return {
    head: ["source", "documents", "text"],
    rows: [
      ...summary.sources.map((source) => countRow(source.from, source)),
      countRow("trained on", summary.train),
      countRow("held out", summary.validation),
    ],
  };
}

function countRow(name: string, { documents, bytes }: DocumentCount): string[] {
  return [name, String(documents), formatBytes(bytes)];
}

/** Tokens seen by the time of a record; measurements between steps have only the step. */
function tokensAt(records: readonly MetricsRecord[]): (record: MetricsRecord) => number {
  const tokens = new Map(
    records.flatMap((record) => (record.tokens === undefined ? [] : [[record.step, record.tokens]])),
  );
  return ({ step }) => tokens.get(step) ?? 0;
}

/** Means over a window of about a fiftieth of the curve: single steps are noise. */
function smoothed(points: readonly Point[]): Point[] {
  const width = Math.max(1, Math.floor(points.length / 50));
  return points.flatMap((_, i) => {
    if ((i + 1) % width !== 0) return [];
    const window = points.slice(i + 1 - width, i + 1).filter(([, y]) => Number.isFinite(y));
    if (window.length === 0) return [];
    return [[points[i]![0], window.reduce((sum, [, y]) => sum + y, 0) / window.length] as const];
  });
}

function skipNote(records: readonly MetricsRecord[]): string[] {
  const skipped = records.filter((record) => record["isSkipped"] === true).map(({ step }) => step);
  return skipped.length === 0
    ? []
    : [`Skipped because the loss or the gradient was not finite: steps ${skipped.join(", ")}.`];
}
