/** Ghost Attention in a run's report: how long an instruction is kept to, and where the model looks. */

import type { TurnConsistency } from "../../gatt/consistency.ts";
import type { Entry, ReportStage } from "../../train/report.ts";
import type { LineChart, Point } from "../../train/svg-chart.ts";
import type { HeatMap } from "../../train/svg-heat-map.ts";
import type { AttentionMap, GattStageOutcome } from "./gatt.ts";
import { sftReport } from "./report.ts";

export function gattReport(outcome: GattStageOutcome, settings: readonly Entry[], name: string): ReportStage {
  const { before, after, unasked, attention, dialogs } = outcome;
  const tuned = sftReport(outcome, []);
  return {
    name,
    paperSection: "§3.3",
    notes: [
      "The instruction stands at the first turn only. A script says whether an answer keeps to it: it begins with the " +
        "opening, is in the language, or, asked, names the hobby or the figure.",
      ...tuned.notes,
    ],
    charts: [consistencyChart(before, after), ...tuned.charts],
    heatMaps: attention.map(attentionChart),
    settings: [
      ["dialogs", String(dialogs)],
      ...(["before", "after"] as const).map((when): Entry => [
        `answers that do so without an instruction, ${when}`,
        `${unasked[when].shown} of ${unasked[when].asked}`,
      ]),
      ...attention.map(({ when, onInstruction }): Entry => [
        `attention of the last answer to the instruction, ${when}`,
        onInstruction.toFixed(3),
      ]),
      ...settings,
    ],
    table: {
      head: ["turn", "dialogs", "kept before", "kept after"],
      rows: shownTurns(after).map((turn) => [
        String(turn),
        String(sumAt(after, turn).asked),
        shareText(before, turn),
        shareText(after, turn),
      ]),
    },
  };
}

// --- internal ---

function consistencyChart(before: readonly TurnConsistency[], after: readonly TurnConsistency[]): LineChart {
  return {
    title: "Answers that keep to the instruction of the first turn",
    xLabel: "turn",
    yLabel: "percent",
    series: [
      { name: "before", points: sharesOf(before), dashed: true },
      { name: "after", points: sharesOf(after) },
    ],
  };
}

function sharesOf(results: readonly TurnConsistency[]): Point[] {
  return turnsOf(results).map((turn) => [
    turn,
    (100 * sumAt(results, turn).kept) / sumAt(results, turn).asked,
  ]);
}

function attentionChart({ when, cells, bin, instruction }: AttentionMap): HeatMap {
  return {
    title: `Greatest attention along a dialog, ${when}`,
    xLabel: `to tokens, ${bin} to a cell; those of the instruction are left of the line`,
    yLabel: "from tokens, downwards",
    cells,
    divider: instruction,
  };
}

/** The paper's turns, as far as they were reached. */
function shownTurns(results: readonly TurnConsistency[]): number[] {
  const reached = turnsOf(results);
  return reached.filter((turn) => turn === 1 || [2, 4, 6, 10, 20].includes(turn) || turn === reached.at(-1));
}

function turnsOf(results: readonly TurnConsistency[]): number[] {
  return [...new Set(results.map(({ turn }) => turn))];
}

function sumAt(results: readonly TurnConsistency[], at: number): { asked: number; kept: number } {
  const there = results.filter(({ turn }) => turn === at);
  return {
    asked: there.reduce((sum, { asked }) => sum + asked, 0),
    kept: there.reduce((sum, { kept }) => sum + kept, 0),
  };
}

function shareText(results: readonly TurnConsistency[], turn: number): string {
  const { asked, kept } = sumAt(results, turn);
  return asked === 0 ? "" : `${((100 * kept) / asked).toFixed(1)}%`;
}
