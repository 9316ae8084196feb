/** PPO in a run's report: what was rewarded, how far the policy went from where it began, and how it learnt. */

import { readMetrics } from "../../train/metrics.ts";
import type { Entry, ReportStage } from "../../train/report.ts";
import type { LineChart } from "../../train/svg-chart.ts";
import type { PpoOutcome } from "./ppo.ts";
import { pointsOf } from "./report.ts";

export function ppoReport({ metricsFile }: PpoOutcome, settings: readonly Entry[]): ReportStage {
  const records = readMetrics(metricsFile);
  const chart = (title: string, yLabel: string, ...series: [name: string, key: string][]): LineChart => ({
    title,
    xLabel: "iterations",
    yLabel,
    series: series
      .map(([name, key]) => ({ name, points: pointsOf(records, key, ({ step }) => step) }))
      .filter(({ points }) => points.length > 0),
  });
  const mean = (key: string): number => {
    const values = records.map((record) => record[key]).filter((value) => typeof value === "number");
    return values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);
  };
  const parts = ["rollout", "scoring", "update"];
  return {
    name: "PPO",
    paperSection: "§3.2.3",
    charts: [
      chart(
        "Reward",
        "mean score, before whitening",
        ["training", "objective/scores"],
        ["held out", "eval/scores"],
      ),
      chart("KL to the reference", "nats an answer", ["k₁", "objective/kl"], ["k₃", "objective/kl_k3"]),
      chart(
        "Entropy and length",
        "nats, tokens",
        ["entropy", "objective/entropy"],
        ["tokens", "answer/tokens"],
      ),
      chart("Losses", "mean over tokens", ["policy", "loss/policy_avg"], ["value", "loss/value_avg"]),
      chart("Clipped", "share of tokens", ["policy", "policy/clipfrac_avg"], ["value", "val/clipfrac_avg"]),
      chart(
        "Whitening of scores",
        "score",
        ["mean", "whitening/score_mean"],
        ["deviation", "whitening/score_std"],
      ),
    ],
    settings: [
      ...settings,
      ...parts.map((part): Entry => [`seconds of ${part}`, mean(`seconds/${part}`).toFixed(2)]),
    ],
    notes: [],
  };
}
