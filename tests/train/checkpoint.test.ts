import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  checkpointName,
  latestCheckpoint,
  loadCheckpointWeights,
  pruneCheckpoints,
  readRunState,
  restoreOptimizer,
  saveCheckpoint,
} from "../../src/train/checkpoint.ts";
import { openRunFolder } from "../../src/train/run-folder.ts";
import { createSaver } from "../../src/train/saver.ts";
import { nextToken, type MicroBatch } from "../../src/train/next-token.ts";
import { Trainer } from "../../src/train/step.ts";
import { openBackend, type Backend } from "../../src/tensor/backend.ts";
import type { OwnedWeights } from "../../src/model/weights.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";

const tokenizer = tinyTokenizer();
const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };
const options = {
  batch: 1,
  seq: 8,
  precision: "f32",
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-5,
  weightDecay: 0.1,
  gradClip: 1,
} as const;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-checkpoint-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function trained(
  backend: Backend,
  weights: OwnedWeights,
  from = 1,
  to = 3,
): Promise<Trainer<MicroBatch>> {
  const trainer = new Trainer(backend, weights, nextToken, options);
  for (let t = from; t <= to; t += 1) await step(trainer, t);
  return trainer;
}

function step(trainer: Trainer<MicroBatch>, t: number): ReturnType<Trainer<MicroBatch>["step"]> {
  const text = randomTokens(9, config.vocabSize, t);
  return trainer.step([{ tokens: text.slice(0, 8), targets: text.slice(1) }], 0.01, t);
}

function bytesOf(weights: OwnedWeights): Float32Array[] {
  return Object.values(weights.byName).map((weight) => weight.readF32());
}

test("weights and moments come back bit for bit, rotary layout and all, and training goes on the same", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  using trainer = await trained(backend, weights);
  const path = join(folder, "step-00000003");
  saveCheckpoint(path, { weights, tokenizer, optimizer: trainer.state, run: { step: 3, stage: "try" } });

  using again = loadCheckpointWeights(backend, path);
  expect(again.config).toEqual(config);
  expect(bytesOf(again)).toEqual(bytesOf(weights));
  using resumed = new Trainer(backend, again, nextToken, options);
  restoreOptimizer(path, resumed.state);
  for (const part of ["m", "v"] as const) {
    for (const [name, tensor] of Object.entries(trainer.state[part]))
      expect(resumed.state[part][name]!.readF32(), `${part}.${name}`).toEqual(tensor.readF32());
  }
  expect(await step(resumed, 4)).toEqual(await step(trainer, 4));
  expect(bytesOf(again)).toEqual(bytesOf(weights));
});

test("a finished model has no optimiser, and cannot be gone on from", () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  using trainer = new Trainer(backend, weights, nextToken, options);
  const path = join(folder, "model");
  saveCheckpoint(path, { weights, tokenizer, run: { step: 3 } });
  expect(existsSync(join(path, "training-state.safetensors"))).toBe(false);
  expect(() => restoreOptimizer(path, trainer.state)).toThrow("training-state.safetensors");
});

test("a moment that is missing or of another shape is refused by name", () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  using trainer = new Trainer(backend, weights, nextToken, options);
  const path = join(folder, "small");
  saveCheckpoint(path, { weights, tokenizer, optimizer: trainer.state, run: { step: 1 } });
  const untied = { ...config, nLayers: 3 };
  using deeper = tinyWeights(backend, untied);
  using other = new Trainer(backend, deeper, nextToken, options);
  expect(() => restoreOptimizer(path, other.state)).toThrow(
    "the tensor m.layers.2.attention_norm.weight is missing",
  );
  using wider = tinyWeights(backend, { ...config, hiddenDim: 96 });
  using another = new Trainer(backend, wider, nextToken, options);
  expect(() => restoreOptimizer(path, another.state)).toThrow(/m\.layers\.0\.feed_forward\.w1\.weight/);
});

test("a name has eight digits, so that names sort as steps do", () => {
  expect(checkpointName(5)).toBe("step-00000005");
  expect(["step-00000100", "step-00000020"].toSorted()).toEqual([checkpointName(20), checkpointName(100)]);
});

describe("the newest checkpoint", () => {
  test("is the one of the highest step; other names count for nothing", () => {
    for (const name of ["step-00000009", "step-00000010", "step-x", "best", "step-00000011.bak"])
      mkdirSync(join(folder, name));
    expect(latestCheckpoint(folder)).toBe(join(folder, "step-00000010"));
  });

  test("is none in an empty folder and in one that is not there", () => {
    expect(latestCheckpoint(folder)).toBeUndefined();
    expect(latestCheckpoint(join(folder, "absent"))).toBeUndefined();
  });

  test("is never one that a killed process was writing, and what it left is deleted", () => {
    mkdirSync(join(folder, "step-00000001"));
    const half = join(folder, ".tmp-1073741824-00000000-00000000-step-00000002");
    mkdirSync(half);
    expect(latestCheckpoint(folder)).toBe(join(folder, "step-00000001"));
    expect(existsSync(half)).toBe(false);
  });

  test("is put back when a process was killed while it replaced it", () => {
    const aside = join(folder, ".old-1073741824-00000000-00000000-step-00000002");
    mkdirSync(aside);
    writeFileSync(join(aside, "run.json"), "kept");
    expect(latestCheckpoint(folder)).toBe(join(folder, "step-00000002"));
    expect(readFileSync(join(folder, "step-00000002", "run.json"), "utf8")).toBe("kept");
  });
});

test("pruning keeps the newest and never all too few", () => {
  for (const name of [1, 2, 3, 4].map(checkpointName)) mkdirSync(join(folder, name));
  mkdirSync(join(folder, "mine"));
  pruneCheckpoints(folder, 2);
  expect(readdirSync(folder).toSorted()).toEqual(["mine", "step-00000003", "step-00000004"]);
  pruneCheckpoints(folder, 9);
  expect(readdirSync(folder)).toHaveLength(3);
  expect(() => pruneCheckpoints(folder, 0)).toThrow("keep_checkpoints (0) is less than 1");
});

test("a run.json that is damaged is told with its file", () => {
  const file = join(folder, "run.json");
  writeFileSync(file, '{"stage": "pretrain"}');
  expect(() => readRunState(folder)).toThrow(`${file}: there is no step in it`);
  writeFileSync(file, '{"step": ');
  expect(() => readRunState(folder)).toThrow(`${file}, byte 0: not JSON: Unexpected end of JSON input`);
});

describe("a saver", () => {
  test("writes each step once, and remembers the last", () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, config);
    using trainer = new Trainer(backend, weights, nextToken, options);
    const saved: number[] = [];
    const saver = createSaver({
      folder,
      keepCheckpoints: 1,
      weights,
      tokenizer,
      optimizer: trainer.state,
      resumed: undefined,
      onSaved: (_checkpoint, at) => saved.push(at),
    });
    expect(saver.last).toBeUndefined();
    for (const at of [1, 1, 2, 2]) saver.save({ step: at });
    expect(saved).toEqual([1, 2]);
    expect(saver.last).toBe(join(folder, "step-00000002"));
    expect(readdirSync(folder)).toEqual(["step-00000002"]);
  });
});

describe("a run's folder in which a process was killed", () => {
  // Process 1073741824 is none on any system.
  const temporary = (name: string): string => `.tmp-1073741824-00000000-00000000-${name}`;

  test("while it wrote its recipe is a run's folder, and not a foreign one", () => {
    mkdirSync(join(folder, "run"));
    writeFileSync(join(folder, "run", temporary("recipe.yaml")), "lr: 0.0");
    using run = openRunFolder({ out: folder, name: "run", recipe: { lr: 0.001 } });
    expect(readdirSync(run.path).toSorted()).toEqual(["checkpoints", "lock", "recipe.yaml", "samples"]);
  });

  test("is cleared of what was half written, wherever it lies", () => {
    openRunFolder({ out: folder, name: "run", recipe: {} })[Symbol.dispose]();
    mkdirSync(join(folder, "run", "samples", "deep"));
    for (const place of [".", "samples", "samples/deep"]) {
      writeFileSync(join(folder, "run", place, temporary("half.txt")), "half");
      writeFileSync(join(folder, "run", place, "whole.txt"), "whole");
    }
    using run = openRunFolder({ out: folder, name: "run", recipe: {} });
    expect(readdirSync(run.path, { recursive: true, encoding: "utf8" }).toSorted()).toEqual([
      "checkpoints",
      "lock",
      "recipe.yaml",
      "samples",
      "samples/deep",
      "samples/deep/whole.txt",
      "samples/whole.txt",
      "whole.txt",
    ]);
  });
});
