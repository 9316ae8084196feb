/**
 * PPO: seconds of an iteration, by part, and how far it comes on a task whose best reward is known.
 *
 * The iteration is of a model of 0.8 M parameters with random weights, whose answers are rewarded by a function: 64
 * answers of up to 32 tokens, mini-batches of 16, a value function of its own. The task is `tests/toy-task.ts`: reward
 * 1 is the most there is; a seed's result is the mean reward of the 64 answers of its last iteration.
 */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRandom } from "../src/corpus/random.ts";
import { llamaConfig } from "../src/model/config.ts";
import { initialise } from "../src/model/initialise.ts";
import { createWeights } from "../src/model/weights.ts";
import type { IterationSeconds, PpoEvent, PpoOptions } from "../src/ppo/options.ts";
import { optimisePolicy } from "../src/ppo/ppo.ts";
import { openBackend, type Backend, type BackendOptions } from "../src/tensor/backend.ts";
import { saveCheckpoint } from "../src/train/checkpoint.ts";
import { toyPpo, toyPrompts, toyReward, toyTokenizer, writeToyModel } from "../tests/toy-task.ts";
import { median, rounded, type BenchResult } from "./result.ts";

export async function benchPpo(options: BackendOptions): Promise<BenchResult> {
  using backend = openBackend(options);
  const folder = mkdtempSync(join(tmpdir(), "cria-bench-"));
  try {
    const iteration = await measureIteration(backend, join(folder, "iteration"));
    const seeds: ToyResult[] = [];
    for (const seed of [1, 2, 3, 4, 5]) seeds.push(await runToy(backend, join(folder, `seed-${seed}`), seed));
    return {
      rows: [
        ...parts.map((part) => [`PPO iteration, ${part}`, `${iteration[part].toFixed(3)} s`] as const),
        ...seeds.map(
          ({ seed, reward, seconds, secondsToNinety }) =>
            [
              `toy task, seed ${seed}`,
              `reward ${reward.toFixed(3)} of 1 after ${seconds.toFixed(1)} s; 0.9 after ${secondsToNinety?.toFixed(1) ?? "-"} s`,
            ] as const,
        ),
      ],
      json: {
        threads: backend.threads,
        iteration: Object.fromEntries(parts.map((part) => [part, rounded(iteration[part])])),
        toy: seeds.map(({ seed, reward, seconds, secondsToNinety = null }) => ({
          seed,
          reward: rounded(reward),
          seconds: rounded(seconds),
          secondsToNinety: secondsToNinety === null ? null : rounded(secondsToNinety),
        })),
      },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// --- internal ---

const parts = ["rollout", "scoring", "update"] as const;

/** Medians over iterations after the first, which builds the graphs. */
async function measureIteration(backend: Backend, folder: string): Promise<IterationSeconds> {
  mkdirSync(folder);
  const tokenizer = toyTokenizer();
  const model = join(folder, "model");
  {
    const config = llamaConfig({
      dim: 128,
      nLayers: 4,
      nHeads: 4,
      vocabSize: tokenizer.vocabSize,
      hiddenDim: 352,
    });
    using weights = createWeights(backend, config);
    const random = createRandom(1);
    initialise(weights, () => random.next());
    saveCheckpoint(model, { weights, tokenizer, run: { stage: "sft", step: 1 } });
  }
  const seconds: IterationSeconds[] = [];
  const changes = { iterations: 4, maxTokens: 32, value: "separate", lr: 1e-6, valueLr: 9e-6 } as const;
  await run(backend, { model, folder }, { ...toyPpo, ...changes }, (event) => {
    if (event.type === "iteration" && event.step > 1) seconds.push(event.seconds);
  });
  const middle = (part: (typeof parts)[number]): number => median(seconds.map((one) => one[part]));
  return { rollout: middle("rollout"), scoring: middle("scoring"), update: middle("update") };
}

interface ToyResult {
  readonly seed: number;
  /** Mean of the last iteration's answers. */
  readonly reward: number;
  readonly seconds: number;
  /** Until an iteration's answers had nine tenths of the best reward. */
  readonly secondsToNinety: number | undefined;
}

async function runToy(backend: Backend, folder: string, seed: number): Promise<ToyResult> {
  mkdirSync(folder);
  const model = join(folder, "model");
  writeToyModel(model, backend, seed);
  const start = performance.now();
  const elapsed = (): number => (performance.now() - start) / 1000;
  let reward = 0;
  let secondsToNinety: number | undefined;
  await run(backend, { model, folder }, { ...toyPpo, seed }, (event) => {
    if (event.type !== "iteration") return;
    reward = event.metrics["objective/scores"]!;
    if (reward >= 0.9) secondsToNinety ??= elapsed();
  });
  return { seed, reward, seconds: elapsed(), secondsToNinety };
}

async function run(
  backend: Backend,
  { model, folder }: { readonly model: string; readonly folder: string },
  options: PpoOptions,
  onEvent: (event: PpoEvent) => void,
): Promise<void> {
  await optimisePolicy(options, {
    backend,
    model,
    tokenizer: toyTokenizer(),
    prompts: toyPrompts,
    heldOut: [],
    reward: (answers) => Promise.resolve(Float64Array.from(answers, toyReward)),
    folder,
    onEvent,
  });
}
