/** What safety data cost in helpfulness, as a run. */

import { join } from "node:path";
import { readPrompts } from "../../dialog/prompts.ts";
import { openLedger } from "../../rlhf/ledger.ts";
import { tradeOff, type TradeOffPoint } from "../../rlhf/trade-off.ts";
import type { ReportStage } from "../../train/report.ts";
import type { RunFolder } from "../../train/run-folder.ts";
import type { Point } from "../../train/svg-chart.ts";
import { programCommit } from "../commit.ts";
import { packageFile } from "../package-file.ts";
import type { TradeOffRecipe } from "../recipe-trade-off.ts";
import type { StageContext } from "./context.ts";
import { openJudge } from "./judge.ts";
import { stepPaths, type StagePaths } from "./paths.ts";
import { sftStage } from "./sft.ts";
import { measureStage } from "./version.ts";

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function tradeOffStage(
  recipe: TradeOffRecipe,
  folder: RunFolder,
  context: StageContext,
): Promise<TradeOffPoint[]> {
  const judge = await openJudge(recipe.judge);
  // A file that is not there is better missed now than after the first fine-tuning.
  readPrompts(packageFile(recipe.held_out));
  const ledger = openLedger({ folder: join(folder.path, "steps"), commit: programCommit() });
  const pathsOf = (name: string): StagePaths => stepPaths(folder, name);
  const { helpful, safety, shares, seed, model, reward } = recipe;
  const rewards = {
    ...(reward.helpfulness === undefined ? {} : { helpfulness: reward.helpfulness }),
    ...(reward.safety === undefined ? {} : { safety: reward.safety }),
  };
  return await tradeOff(
    { helpful, safety, shares, seed, folder: folder.path },
    {
      fineTune: async (data, name) => {
        context.stderr.write(`${name}\n`);
        return await sftStage({ ...recipe.sft, model, data }, pathsOf(name), context);
      },
      measure: (policy, name) =>
        measureStage({ policy, rewards, rivals: {}, start: model }, recipe, pathsOf(name), {
          ...context,
          judge,
        }),
    },
    ledger,
  );
}

/** Llama 2's figure 14: mean scores on prompts of both kinds against the share of safety data. */
export function tradeOffReport(points: readonly TradeOffPoint[], judgeName: string): ReportStage {
  const hasRewards = points.every(({ metrics }) => metrics.rewards !== undefined);
  const line = (value: (point: TradeOffPoint) => number): Point[] =>
    points.map((point) => [100 * point.share, value(point)]);
  return {
    name: "Safety data against helpfulness",
    paperSection: "§4.2.3",
    notes: [
      hasRewards
        ? `Scores are the reward models', each on a scale of its own; violations and false refusals are the ${judgeName}'s, not people's.`
        : `Scores, violations and false refusals are the ${judgeName}'s, not people's.`,
    ],
    charts: [
      {
        title: "Mean score on held-out prompts",
        xLabel: "percent of the safety data",
        yLabel: "mean score",
        series: [
          {
            name: "helpfulness",
            points: line(({ metrics }) => metrics.rewards?.harmless ?? metrics.helpfulness),
          },
          { name: "safety", points: line(({ metrics }) => metrics.rewards?.safety ?? metrics.safety) },
        ],
      },
      {
        title: "What safety data buy, and what they cost",
        xLabel: "percent of the safety data",
        yLabel: "percent of answers",
        series: [
          { name: "violations", points: line(({ metrics }) => 100 * metrics.violations) },
          { name: "false refusals", points: line(({ metrics }) => 100 * metrics.falseRefusals) },
        ],
      },
    ],
    settings: [],
    table: {
      head: ["safety data", "dialogs", "helpfulness", "safety", "violations", "false refusals"],
      rows: points.map(({ share, dialogs, metrics }) => [
        percent(share),
        String(dialogs),
        (metrics.rewards?.harmless ?? metrics.helpfulness).toFixed(3),
        (metrics.rewards?.safety ?? metrics.safety).toFixed(3),
        percent(metrics.violations),
        percent(metrics.falseRefusals),
      ]),
    },
  };
}

// --- internal ---

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
