/** Rejection sampling in a run's report: the paper's figures 7 and 8 of this run's samples. */

import type { RewardCurve } from "../../rejection/curves.ts";
import type { Entry, ReportStage } from "../../train/report.ts";
import type { LineChart, Point } from "../../train/svg-chart.ts";
import type { DistilStageOutcome, RejectOutcome } from "./reject.ts";
import { sftReport } from "./report.ts";

export function rejectReport(outcome: RejectOutcome, settings: readonly Entry[], name: string): ReportStage {
  const { curves, statistics, dialogs } = outcome;
  const tuned = sftReport({ ...outcome, checkpoint: outcome.checkpoint, dialogs }, []);
  return {
    name,
    paperSection: "§3.2.3",
    charts: [...rewardCharts(curves), ...tuned.charts],
    settings: [
      ["answers", String(statistics.samples)],
      ["dialogs fine-tuned on", String(dialogs)],
      ...settings,
    ],
    notes: tuned.notes,
    table: {
      head: ["", "all answers", "winners"],
      rows: [
        ["mean score", statistics.meanScore.toFixed(3), statistics.meanWinner.toFixed(3)],
        ["mean length, tokens", statistics.meanTokens.toFixed(1), statistics.meanWinnerTokens.toFixed(1)],
        ["ended by themselves", `${(100 * statistics.finished).toFixed(1)}%`, ""],
      ],
    },
  };
}

/** Llama 2's figure 16: what the distilled answer gains over the model's own, by what that one scored. */
export function distilReport(
  outcome: DistilStageOutcome,
  settings: readonly Entry[],
  name: string,
): ReportStage {
  const { gains, dialogs } = outcome;
  const isTuned = outcome.winners !== undefined;
  const tuned = isTuned
    ? sftReport(outcome, [])
    : { charts: [], notes: ["No answer was safer: the model is as it was."] };
  const sorted = gains.toSorted((a, b) => a.original - b.original);
  const kept = gains.filter(({ original, distilled }) => distilled > original);
  return {
    name,
    paperSection: "§4.2.4",
    charts: [
      {
        title: "Gain of the best answer behind a preprompt",
        xLabel: "safety score of the model's own answer",
        yLabel: "difference of safety scores",
        series: [
          {
            name: "gain",
            points: sorted.map(({ original, distilled }): Point => [original, distilled - original]),
            scattered: true,
          },
          { name: "no gain", points: [sorted[0], sorted.at(-1)].flatMap(noGain), dashed: true },
        ],
      },
      ...tuned.charts,
    ],
    settings: [
      ["safety prompts", String(gains.length)],
      ["distilled answers kept", String(kept.length)],
      ["dialogs fine-tuned on", String(dialogs)],
      ["mean score by itself", meanText(gains.map(({ original }) => original))],
      ["mean score behind preprompts", meanText(gains.map(({ distilled }) => distilled))],
      ...settings,
    ],
    notes: ["An answer is kept only where it scores above the model's own.", ...tuned.notes],
  };
}

// --- internal ---

function noGain(gain: { readonly original: number } | undefined): Point[] {
  return gain === undefined ? [] : [[gain.original, 0]];
}

function meanText(values: readonly number[]): string {
  return (values.reduce((a, b) => a + b, 0) / values.length).toFixed(3);
}

/** Figure 7: greatest and median reward of N samples. Figure 8: the greatest, by temperature. */
function rewardCharts(curves: readonly RewardCurve[]): LineChart[] {
  const pooled = curves.reduce((best, curve) => (last(curve.max) > last(best.max) ? curve : best));
  const byTemperature = curves.toSorted((a, b) => a.temperature - b.temperature);
  const sizes = [...new Set([1, Math.ceil(pooled.max.length / 4), pooled.max.length])];
  const charts: LineChart[] = [
    {
      title: `Reward among N samples, at temperature ${pooled.temperature}`,
      xLabel: "samples a prompt",
      yLabel: "mean over prompts",
      series: [
        { name: "greatest", points: pointsOf(pooled.max) },
        { name: "median", points: pointsOf(pooled.median) },
      ],
    },
  ];
  if (curves.length < 2) return charts;
  charts.push({
    title: "Greatest reward by temperature",
    xLabel: "temperature",
    yLabel: "mean over prompts",
    series: sizes.map((n) => ({
      name: `of ${n}`,
      points: byTemperature.map(({ temperature, max }): Point => [temperature, max[n - 1]!]),
    })),
  });
  return charts;
}

function pointsOf(values: readonly number[]): Point[] {
  return values.map((value, i): Point => [i + 1, value]);
}

function last(values: readonly number[]): number {
  return values.at(-1)!;
}
