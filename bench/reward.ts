/**
 * A reward model of real people's preferences, by recipes/reward-hh.yaml: trained on one half of the pairs and tested on
 * the other, both halves in turn, for each of three seeds. The model that it starts from is pretrained first, unless
 * runs/ has it. What share of the pairs it ranks as people did, beside what two rules of length would.
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rewardStage } from "../src/cli/stages/reward.ts";
import { shareText } from "../src/cli/stages/report-reward.ts";
import { styleFor } from "../src/cli/terminal.ts";
import type { Comparison } from "../src/preference/comparison.ts";
import { readComparisons } from "../src/preference/read.ts";
import { writeComparisons } from "../src/preference/write.ts";
import { wilson, type Share } from "../src/reward/evaluate.ts";
import { RewardRecipe } from "../src/reward/recipe.ts";
import type { BackendOptions } from "../src/tensor/backend.ts";
import { readRecipe } from "../src/train/recipe-file.ts";
import { rounded, type BenchResult } from "./result.ts";

export async function benchReward({ threads }: BackendOptions): Promise<BenchResult> {
  const recipe = readRecipe(RewardRecipe, "recipes/reward-hh.yaml");
  pretrainBase(recipe.model);
  const { comparisons } = await readComparisons(recipe.data[0]!);
  const folder = mkdtempSync(join(tmpdir(), "cria-bench-reward-"));
  try {
    const halves = writeHalves(comparisons, folder);
    const bySeed: Share[] = [];
    for (const seed of seeds) {
      const tested: Share[] = [];
      for (const [i, data] of [halves, halves.toReversed()].entries()) {
        const paths = { folder: join(folder, `${seed}-${i}`), checkpoints: join(folder, `${seed}-${i}`) };
        const settings = { seed, data: [data[0]!], test_data: [data[1]!], validation_fraction: 0 };
        const outcome = await rewardStage(
          { ...recipe, ...settings, ...(threads === undefined ? {} : { threads }) },
          paths,
          context(),
        );
        tested.push(outcome.evaluations[0]!.evaluation.accuracy);
      }
      bySeed.push(pooled(tested));
    }
    const shorter = comparisons.filter(({ chosen, rejected }) => chosen.length < rejected.length).length;
    const mean = bySeed.reduce((sum, { share }) => sum + share, 0) / bySeed.length;
    return {
      rows: [
        ...bySeed.map(({ ...share }, i): [string, string] => [`seed ${seeds[i]}`, shareText(share)]),
        ["mean of seeds", `${(100 * mean).toFixed(1)}%`],
        ["the shorter answer", shareText(wilson(shorter, comparisons.length))],
      ],
      json: {
        pairs: comparisons.length,
        accuracy: bySeed.map(({ share, low, high }) => [share, low, high].map(rounded)),
        mean: rounded(mean),
        shorter: rounded(shorter / comparisons.length),
      },
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// --- internal ---

const seeds = [1, 2, 3];

function pretrainBase(model: string): void {
  if (existsSync(model)) return;
  const bin = fileURLToPath(new URL("../bin/cria.js", import.meta.url));
  const words = [bin, "pretrain", "recipes/reward-hh-base.yaml"];
  spawnSync(process.execPath, words, { stdio: ["ignore", "inherit", "inherit"] });
}

function writeHalves(comparisons: readonly Comparison[], folder: string): string[] {
  const half = Math.floor(comparisons.length / 2);
  return [comparisons.slice(0, half), comparisons.slice(half)].map((pairs, i) => {
    const file = join(folder, `half-${i}.jsonl`);
    writeComparisons(file, pairs);
    return file;
  });
}

/** Every pair was tested once, by the model that had not seen it. */
function pooled(shares: readonly Share[]): Share {
  const of = shares.reduce((sum, share) => sum + share.of, 0);
  return wilson(Math.round(shares.reduce((sum, { share, of: pairs }) => sum + share * pairs, 0)), of);
}

function context(): Parameters<typeof rewardStage>[2] {
  const { stderr } = process;
  return { signal: new AbortController().signal, stderr, style: styleFor(stderr, process.env) };
}
