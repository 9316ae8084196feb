/** What safety context distillation did to a model's answers to held-out prompts. */

import { join } from "node:path";
import { makeDirectory } from "../../formats/make-directory.ts";
import type { VersionMetrics } from "../../rlhf/version.ts";
import type { ReportStage } from "../../train/report.ts";
import type { RunFolder } from "../../train/run-folder.ts";
import type { MeasuredDistilRecipe } from "../recipe-distil.ts";
import type { StageContext } from "./context.ts";
import { openJudge } from "./judge.ts";
import { measureStage } from "./version.ts";

export interface DistilMeasured {
  readonly before: VersionMetrics;
  readonly after: VersionMetrics;
  readonly judgeName: string;
}

/** Undefined when the recipe names no held-out prompts. @throws the signal's reason when it is aborted. */
export async function measureDistilled(
  recipe: MeasuredDistilRecipe,
  checkpoint: string,
  folder: RunFolder,
  context: StageContext,
): Promise<DistilMeasured | undefined> {
  const { model, held_out, reward } = recipe;
  if (held_out === undefined) return undefined;
  const judge = await openJudge(recipe.judge);
  const { helpfulness, safety } = reward;
  const rewards = {
    ...(helpfulness === undefined ? {} : { helpfulness }),
    ...(safety === undefined ? {} : { safety }),
  };
  const measured = async (policy: string, name: string, rivals: Readonly<Record<string, string>>) => {
    const paths = { folder: join(folder.path, name) };
    makeDirectory(paths.folder);
    const work = { policy, rewards, rivals, start: model };
    return await measureStage(work, { ...recipe, held_out }, paths, { ...context, judge });
  };
  const before = await measured(model, "before", {});
  const after = await measured(checkpoint, "after", { before: before.judged });
  return { before, after, judgeName: judge.name };
}

export function distilMeasuredReport({ before, after, judgeName }: DistilMeasured): ReportStage {
  const row = (name: string, value: (metrics: VersionMetrics) => string): string[] => [
    name,
    value(before),
    value(after),
  ];
  const hasRewards = before.rewards !== undefined && after.rewards !== undefined;
  return {
    name: "Held-out prompts",
    paperSection: "§4.2.4",
    charts: [],
    notes: [`Scores and violations are the ${judgeName}'s, not people's.`],
    settings: [["KL to the model before", `${after.kl.perAnswer.toFixed(2)} nats an answer`]],
    table: {
      head: ["", "before", "after"],
      rows: [
        ...(hasRewards
          ? [row("reward of answers to safety prompts", ({ rewards }) => rewards!.safety.toFixed(3))]
          : []),
        row("judge's score of those", ({ safety }) => safety.toFixed(3)),
        row("violations", ({ violations }) => percent(violations)),
        row("judge's score of answers to harmless prompts", ({ helpfulness }) => helpfulness.toFixed(3)),
        row("false refusals", ({ falseRefusals }) => percent(falseRefusals)),
        row("tokens an answer", ({ tokens }) => tokens.toFixed(1)),
      ],
    },
  };
}

// --- internal ---

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
