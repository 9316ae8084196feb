/** The versions in a run's report: how they compare, each one's sampling, what was made from what, and answers. */

import { readJudged, type VersionMetrics } from "../../rlhf/version.ts";
import type { Step } from "../../rlhf/ledger.ts";
import type { WinRate } from "../../rlhf/win-rate.ts";
import type { Entry, ReportStage, SampleGroup } from "../../train/report.ts";
import type { LineChart, Series } from "../../train/svg-chart.ts";
import { formatDuration } from "../terminal.ts";
import { gattReport } from "./report-gatt.ts";
import { ppoReport } from "./report-ppo.ts";
import { distilReport, rejectReport } from "./report-rejection.ts";
import { rewardReport } from "./report-reward.ts";
import type { RlhfRan } from "./rlhf.ts";

/** @param folder the run's: paths are shown from there. */
export function rlhfReports(ran: RlhfRan, folder: string): ReportStage[] {
  const rejections = Object.entries(ran.rejections).map(([name, outcome]) =>
    rejectReport(outcome, [], name.replace("-reject", ": rejection sampling")),
  );
  const distillations = Object.entries(ran.distillations).map(([name, outcome]) =>
    distilReport(outcome, [], name.replace("-distil", ": safety context distillation")),
  );
  const ghosts = Object.entries(ran.ghosts).map(([name, outcome]) =>
    gattReport(outcome, [], name.replace("-gatt", ": Ghost Attention")),
  );
  const rewards = Object.entries(ran.rewardModels).flatMap(([name, { outcomes }]) =>
    Object.entries(outcomes).map(([quality, outcome]) =>
      rewardReport(outcome, [], name.replace("-reward", `: reward model of ${quality}`)),
    ),
  );
  const policies = Object.entries(ran.policies).map(([name, outcome]) =>
    renamed(ppoReport(outcome, []), name.replace("-ppo", ": PPO")),
  );
  return [
    versionsReport(ran),
    ...rewards,
    ...rejections,
    ...distillations,
    ...policies,
    ...ghosts,
    lineageReport(ran.steps, folder),
  ];
}

/** What the first and the last version say to a few held-out prompts. */
export function beforeAndAfter({ metrics }: RlhfRan, count: number): SampleGroup[] {
  const measured = Object.entries(metrics);
  const [first, last] = [measured[0], measured.at(-1)];
  if (first === undefined || last === undefined || first === last) return [];
  const [before, after] = [readJudged(first[1].judged), readJudged(last[1].judged)];
  // The first answer to each prompt, spread over the prompts: harmless ones and those about safety.
  const places = before.flatMap(({ prompt }, i) => (before[i - 1]?.prompt === prompt ? [] : [i]));
  const chosen = places.filter((_, i) => i % Math.max(1, Math.floor(places.length / count)) === 0);
  const samples = chosen.slice(0, count).map((place) => ({
    prompt: before[place]!.prompt,
    text: `${first[0]}: ${before[place]!.text}\n\n${last[0]}: ${after[place]!.text}`,
  }));
  return [{ name: `Held-out prompts, answered by ${first[0]} and by ${last[0]}`, samples }];
}

/** The last version against the first, in a few numbers. */
export function rlhfSummary({ metrics }: RlhfRan): Entry[] {
  const measured = Object.entries(metrics);
  const [start, last] = [measured[0], measured.at(-1)];
  if (start === undefined || last === undefined || start === last) return [];
  const wins = last[1].wins[start[0]];
  return [
    ...(wins === undefined ? [] : [[`${last[0]} beats the start`, rateText(wins)] as const]),
    ["KL to the start", `${last[1].kl.perAnswer.toFixed(2)} nats an answer`],
    ["Tokens an answer", `${start[1].tokens.toFixed(1)} → ${last[1].tokens.toFixed(1)}`],
    ["Safety violations", `${percent(start[1].violations)} → ${percent(last[1].violations)}`],
  ];
}

// --- internal ---

function renamed(report: ReportStage, name: string): ReportStage {
  return { ...report, name };
}

function versionsReport({ metrics, judgeName }: RlhfRan): ReportStage {
  const measured = Object.entries(metrics);
  const series = (name: string, value: (metrics: VersionMetrics) => number | undefined): Series => ({
    name,
    points: measured.flatMap(([, version], i) => {
      const y = value(version);
      return y === undefined ? [] : [[i, y] as const];
    }),
  });
  return {
    name: "Versions",
    paperSection: "§3.2",
    notes: [
      `Judged by the ${judgeName}: no person has judged these answers. Win rates count ties as half, with 95% intervals ` +
        "over prompts. A reward or score that rises with the length alone, or far from the start, would be gamed.",
    ],
    charts: [
      versionChart("Judge's score on held-out prompts", "mean, 0 to 1", [
        series("harmless", ({ helpfulness }) => helpfulness),
        series("safety", ({ safety }) => safety),
      ]),
      versionChart("Reward models' score", "mean", [
        series("harmless", ({ rewards }) => rewards?.harmless),
        series("safety", ({ rewards }) => rewards?.safety),
      ]),
      versionChart("KL to the start", "nats an answer", [series("KL", ({ kl }) => kl.perAnswer)]),
      versionChart("Length", "tokens an answer", [series("tokens", ({ tokens }) => tokens)]),
    ].filter((drawn) => drawn.series.length > 0),
    settings: [],
    table: versionTable(measured),
  };
}

function versionChart(title: string, yLabel: string, lines: readonly Series[]): LineChart {
  return {
    title,
    xLabel: "version, 0 is the start",
    yLabel,
    height: 220,
    series: lines.filter(({ points }) => points.length > 0),
  };
}

function versionTable(
  measured: readonly (readonly [string, VersionMetrics])[],
): ReportStage["table"] & object {
  const columns: readonly (readonly [string, (metrics: VersionMetrics, i: number) => string])[] = [
    ["helpful", ({ helpfulness }) => scoreText(helpfulness)],
    ["safe", ({ safety }) => scoreText(safety)],
    ["violations", ({ violations }) => percent(violations)],
    ["false refusals", ({ falseRefusals }) => percent(falseRefusals)],
    ["KL", ({ kl }) => kl.perAnswer.toFixed(2)],
    ["tokens", ({ tokens }) => tokens.toFixed(1)],
    ["ended", ({ finished }) => percent(finished)],
    ["distinct", ({ distinct }) => percent(distinct)],
    ["beats the start", ({ wins }) => winText(wins[measured[0]![0]])],
    ["beats the one before", ({ wins }, i) => winText(wins[measured[i - 1]?.[0] ?? ""])],
  ];
  return {
    head: ["version", ...columns.map(([name]) => name)],
    rows: measured.map(([name, version], i) => [name, ...columns.map(([, cell]) => cell(version, i))]),
  };
}

function lineageReport(steps: readonly Step[], folder: string): ReportStage {
  const short = (path: string): string => (path.startsWith(folder) ? path.slice(folder.length + 1) : path);
  return {
    name: "Lineage",
    paperSection: "",
    charts: [],
    notes: ["Each step, what it read with the beginning of its SHA-256, and the commit of Cria that did it."],
    settings: [],
    table: {
      head: ["step", "read", "time", "commit"],
      rows: steps.map(({ name, inputs, seconds, commit }) => [
        name,
        Object.entries(inputs)
          .map(([path, hash]) => `${short(path)} ${hash.slice(0, 8)}`)
          .join(", "),
        formatDuration(seconds),
        commit,
      ]),
    },
  };
}

function winText(wins: WinRate | undefined): string {
  return wins === undefined ? "" : rateText(wins);
}

function rateText({ rate, low, high }: WinRate): string {
  return `${percent(rate)} (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`;
}

/** Of held-out prompts that are all of one kind, the other kind has no mean. */
function scoreText(score: number): string {
  return Number.isNaN(score) ? "none" : score.toFixed(3);
}

function percent(share: number): string {
  return Number.isNaN(share) ? "none" : `${(100 * share).toFixed(1)}%`;
}
