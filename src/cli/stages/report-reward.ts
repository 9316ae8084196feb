/** A reward model in a run's report: its curves, and how far it agrees with who preferred. */

import { basename } from "node:path";
import type { RewardEvaluation, Share } from "../../reward/evaluate.ts";
import { readMetrics, type MetricsRecord } from "../../train/metrics.ts";
import type { Entry, ReportStage, ReportTable } from "../../train/report.ts";
import type { LineChart, Point, Series } from "../../train/svg-chart.ts";
import type { RewardOutcome } from "./reward.ts";

export function rewardReport(outcome: RewardOutcome, settings: readonly Entry[], name: string): ReportStage {
  const records = readMetrics(outcome.metricsFile);
  // A file's folders say nothing to a reader.
  const evaluations = outcome.evaluations.map(({ name: test, evaluation }) => ({
    name: basename(test),
    evaluation,
  }));
  const [first] = evaluations;
  return {
    name,
    paperSection: "§3.2.2",
    charts: [...curves(records), ...(first === undefined ? [] : calibrationCharts(first.evaluation))],
    histograms: evaluations.map((named) => ({
      title: `Scores, ${named.name}`,
      xLabel: "σ(score)",
      yLabel: "answers",
      range: [0, 1] as const,
      groups: [
        { name: "chosen", counts: named.evaluation.histogram.chosen },
        { name: "rejected", counts: named.evaluation.histogram.rejected },
      ],
    })),
    settings: [
      ["pairs", String(outcome.pairs)],
      ["of them drawn from other data", String(outcome.drawn)],
      ["left out, their prompts being held out", String(outcome.leaking)],
      ...settings,
    ],
    notes: evaluations.map((named) => agreementNote(named.name, named.evaluation)),
    table: accuracyTable(evaluations),
  };
}

/** "63.2% (60.1 to 66.2, of 1000)". */
export function shareText({ share, low, high, of }: Share): string {
  return of === 0 ? "none" : `${percent(share)}% (${percent(low)} to ${percent(high)}, of ${of})`;
}

// --- internal ---

function percent(share: number): string {
  return (100 * share).toFixed(1);
}

function curves(records: readonly MetricsRecord[]): LineChart[] {
  const points = (key: string): Point[] =>
    records.flatMap((record) => {
      const value = record[key];
      return typeof value === "number" ? [[record.step, value] as const] : [];
    });
  const heldOut = points("validationLoss");
  const series: Series[] = [{ name: "training", points: points("loss") }];
  if (heldOut.length > 0) series.push({ name: "held out", points: heldOut });
  const accuracy = points("accuracy");
  return [
    { title: "Ranking loss", xLabel: "steps", yLabel: "nats a pair", series },
    // One measurement is no course: it is in the table.
    ...(accuracy.length < 2
      ? []
      : [
          {
            title: "Accuracy on held-out pairs",
            xLabel: "steps",
            yLabel: "share",
            height: 200,
            series: [{ name: "held out", points: accuracy }],
          },
        ]),
  ];
}

function calibrationCharts({ calibration }: RewardEvaluation): LineChart[] {
  if (calibration.length === 0) return [];
  const measured = calibration.map(({ confidence, agreement }): Point => [confidence, agreement.share]);
  const confidences = measured.map(([confidence]) => confidence);
  const ends = [Math.min(...confidences), Math.max(...confidences)];
  return [
    {
      title: "Calibration",
      xLabel: "confidence in the answer it prefers",
      yLabel: "how often the judge agrees",
      height: 240,
      series: [
        { name: "measured", points: measured },
        { name: "perfect", points: ends.map((x): Point => [x, x]), dashed: true },
      ],
    },
  ];
}

function agreementNote(name: string, evaluation: RewardEvaluation): string {
  const judges = evaluation.byJudge.map(({ judge, accuracy }) => `${judge}: ${shareText(accuracy)}`);
  const error = `Calibration error ${evaluation.calibrationError.toFixed(3)}.`;
  return `Agreement, ${name} (95% intervals): ${shareText(evaluation.accuracy)}. By judge: ${judges.join("; ")}. ${error}`;
}

function accuracyTable(evaluations: RewardOutcome["evaluations"]): ReportTable {
  return {
    head: ["", ...evaluations.map(({ name }) => name)],
    rows: [
      ["all pairs", ...evaluations.map(({ evaluation }) => shareText(evaluation.accuracy))],
      ...rowsOf(evaluations, ({ byStrength }) =>
        byStrength.map(({ strength, accuracy }) => [strength, accuracy] as const),
      ),
      ...rowsOf(evaluations, ({ bySafety }) =>
        bySafety.map(({ label, accuracy }) => [label, accuracy] as const),
      ),
      ...rowsOf(evaluations, ({ safety }) =>
        // Where no answer is unsafe, there is none to find.
        safety
          .filter(({ recall }) => recall.of > 0)
          .flatMap(({ threshold, precision, recall }) => [
            [`precision of σ < ${threshold} for unsafe`, precision] as const,
            [`recall of σ < ${threshold} for unsafe`, recall] as const,
          ]),
      ),
    ],
  };
}

/** A row for each name that occurs; empty where an evaluation has none of it. */
function rowsOf(
  evaluations: RewardOutcome["evaluations"],
  sharesOf: (evaluation: RewardEvaluation) => readonly (readonly [name: string, share: Share])[],
): string[][] {
  const columns = evaluations.map(({ evaluation }) => new Map(sharesOf(evaluation)));
  const names = [...new Set(columns.flatMap((column) => [...column.keys()]))];
  return names.map((name) => [name].concat(columns.map((column) => cellText(column.get(name)))));
}

function cellText(share: Share | undefined): string {
  return share === undefined ? "" : shareText(share);
}
