/**
 * Training of a model of 8.3 M parameters: dim 288, 6 layers, hidden 768, vocab 4096, 16 sequences of 256 tokens a
 * step, AdamW, fresh random tokens; with 3 heads of 96, which suit the kernels, and with 9 of 32, whose attention has
 * three times the softmax and products a third as deep; as one graph of all threads, and as two lanes of 8 sequences and
 * half the threads each. Timed is the whole step: upload, both passes, gradient norm, AdamW.
 *
 * Operations are counted as the field does (Chowdhery et al. 2022, appendix B), 6 a parameter and token, without the
 * embedding table, whose rows are only copied, plus 12 · layers · dim · seq a token for attention, in full though it is causal.
 * The ceiling that a step is compared with is measured between the steps, since other work shares the machine.
 */

import { createRandom } from "../src/corpus/random.ts";
import { llamaConfig, parameterCount, type LlamaConfig } from "../src/model/config.ts";
import { initialise } from "../src/model/initialise.ts";
import { createWeights } from "../src/model/weights.ts";
import { openBackend, type Backend, type BackendOptions } from "../src/tensor/backend.ts";
import type { Precision } from "../src/tensor/graph.ts";
import { nextToken, type MicroBatch } from "../src/train/next-token.ts";
import { Trainer } from "../src/train/step.ts";
import { gemmSpeed } from "./gemm.ts";
import { median, rounded, secondsOf, type BenchResult } from "./result.ts";

export async function benchTraining(options: BackendOptions): Promise<BenchResult> {
  using backend = openBackend(options);
  const measured = [
    await trainingSpeed(backend, { heads: 3, precision: "bf16", lanes: 1 }),
    await trainingSpeed(backend, { heads: 3, precision: "bf16", lanes: 2 }),
    await trainingSpeed(backend, { heads: 3, precision: "f32", lanes: 1 }),
    await trainingSpeed(backend, { heads: 9, precision: "bf16", lanes: 1 }),
  ];
  const rows = measured.flatMap((speed): [string, string][] => [
    [`${speed.name} step`, `${(1000 * speed.stepSeconds).toFixed(0)} ms, ${speed.steps} steps`],
    [`${speed.name} tokens`, `${speed.tokensPerSecond.toFixed(0)} /s`],
    [
      `${speed.name} operations`,
      `${speed.gigaflopsPerSecond.toFixed(0)} GFLOP/s, ${(100 * speed.shareOfGemmPeak).toFixed(0)}% of the ` +
        `products' best ${speed.gemmPeak.toFixed(0)}`,
    ],
    [
      `${speed.name} memory`,
      `${(speed.weightBytes / 1e6).toFixed(0)} MB weights, ${(speed.trainerBytes / 1e6).toFixed(0)} MB trainer, ` +
        `${(speed.residentBytes / 1e6).toFixed(0)} MB process`,
    ],
  ]);
  const json = Object.fromEntries(
    measured.map(({ name, ...numbers }) => [
      name,
      Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, rounded(value)])),
    ]),
  );
  return {
    rows,
    json: { threads: backend.threads, parameters: parameterCount(configOf(3)), batch, seq, ...json },
  };
}

// --- internal ---

const [batch, seq] = [16, 256];
const [warmUps, steps] = [2, 5];

function configOf(heads: number): LlamaConfig {
  return llamaConfig({
    dim: 288,
    nLayers: 6,
    nHeads: heads,
    nKvHeads: heads,
    hiddenDim: 768,
    vocabSize: 4096,
    maxSeqLen: seq,
  });
}

interface TrainingSpeed {
  readonly name: string;
  readonly steps: number;
  /** Median. */
  readonly stepSeconds: number;
  readonly tokensPerSecond: number;
  readonly gigaflopsPerSecond: number;
  /** Medians over the rounds between steps: of the best shape, and of all shapes one after another. */
  readonly gemmPeak: number;
  readonly gemmMean: number;
  readonly shareOfGemmPeak: number;
  readonly weightBytes: number;
  readonly trainerBytes: number;
  readonly residentBytes: number;
}

interface Setting {
  readonly heads: number;
  readonly precision: Precision;
  readonly lanes: number;
}

async function trainingSpeed(backend: Backend, { heads, precision, lanes }: Setting): Promise<TrainingSpeed> {
  const config = configOf(heads);
  const random = createRandom(1);
  using weights = createWeights(backend, config);
  initialise(weights, () => random.next());
  const adamw = { beta1: 0.9, beta2: 0.95, eps: 1e-5, weightDecay: 0.1, gradClip: 1 };
  using trainer = new Trainer(backend, weights, nextToken, {
    batch: batch / lanes,
    seq,
    precision,
    lanes,
    ...adamw,
  });
  const times: number[] = [];
  const peaks: number[] = [];
  const means: number[] = [];
  for (let t = 1; t <= warmUps + steps; t += 1) {
    const micros = Array.from({ length: lanes }, () =>
      randomBatch(batch / lanes, () => random.int(config.vocabSize)),
    );
    const seconds = await secondsOf(() => trainer.step(micros, 1e-4, t));
    if (t <= warmUps) continue;
    const { peak, mean } = await gemmSpeed(backend, precision);
    times.push(seconds);
    peaks.push(peak);
    means.push(mean);
  }
  const stepSeconds = median(times);
  const gigaflopsPerSecond = (batch * seq * flopsPerToken(config)) / stepSeconds / 1e9;
  return {
    name: `${precision}, ${heads} heads${lanes === 1 ? "" : `, ${lanes} lanes`}`,
    steps,
    stepSeconds,
    tokensPerSecond: (batch * seq) / stepSeconds,
    gigaflopsPerSecond,
    gemmPeak: median(peaks),
    gemmMean: median(means),
    shareOfGemmPeak: median(
      times.map((seconds, i) => (stepSeconds * gigaflopsPerSecond) / seconds / peaks[i]!),
    ),
    weightBytes: weights.bytes,
    trainerBytes: trainer.bytes,
    residentBytes: process.memoryUsage.rss(),
  };
}

function flopsPerToken(config: LlamaConfig): number {
  const { dim, nLayers, vocabSize } = config;
  return 6 * (parameterCount(config) - vocabSize * dim) + 12 * nLayers * dim * seq;
}

function randomBatch(batch: number, nextToken: () => number): MicroBatch {
  const tokens = Int32Array.from({ length: batch * seq }, nextToken);
  const targets = tokens.map((_, i) => tokens[(i + 1) % tokens.length]!);
  return { tokens, targets };
}
