/** Pretraining on a tiny corpus: what it learns, what it leaves, and that it goes on bit for bit. */

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
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  pretrain,
  stepsInTime,
  type PretrainEvent,
  type PretrainOptions,
} from "../../src/pretrain/pretrain.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyShards } from "../tiny-corpus.ts";
import { tinyConfig } from "../tiny-model.ts";

const tokenizer = tinyTokenizer();

const options: PretrainOptions = {
  config: { ...tinyConfig, vocabSize: tokenizer.vocabSize },
  batchSize: 2,
  seqLen: 32,
  gradientAccumulation: 2,
  steps: 12,
  lr: 0.01,
  warmupSteps: 3,
  minLrRatio: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-5,
  weightDecay: 0.1,
  gradClip: 1,
  precision: "f32",
  lanes: 1,
  initStd: 0.02,
  seed: 7,
  validationEvery: 5,
  checkpointEvery: 4,
  keepCheckpoints: 2,
  sampleEvery: 0,
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-pretrain-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly checkpoint: string;
  readonly events: readonly PretrainEvent[];
}

/** Runs until the end or until an event makes `stop` say so, which aborts as Ctrl-C does. */
async function run(
  name: string,
  changes: Partial<PretrainOptions> = {},
  stop: (event: PretrainEvent) => boolean = () => false,
): Promise<Ran | "stopped"> {
  const place = join(folder, name);
  mkdirSync(place, { recursive: true });
  using backend = openBackend({ threads: 1 });
  using shards = await tinyShards(folder, tokenizer);
  const events: PretrainEvent[] = [];
  const controller = new AbortController();
  try {
    const checkpoint = await pretrain(
      { ...options, ...changes },
      {
        ...shards,
        backend,
        tokenizer,
        folder: place,
        signal: controller.signal,
        onEvent(event) {
          events.push(event);
          if (stop(event)) controller.abort(new Error("Ctrl-C"));
        },
      },
    );
    return { checkpoint, events };
  } catch (error) {
    if (error instanceof Error && error.message === "Ctrl-C") return "stopped";
    throw error;
  }
}

async function whole(name: string, changes: Partial<PretrainOptions> = {}): Promise<Ran> {
  const ran = await run(name, changes);
  if (ran === "stopped") throw new Error("nobody stopped it");
  return ran;
}

/** What is the same in two runs of the same length: steps without their times, and validations. */
function learnt(events: readonly PretrainEvent[]): unknown[] {
  return events.flatMap((event): unknown[] => {
    if (event.type === "step") {
      const { seconds: _, ...same } = event;
      return [same];
    }
    return event.type === "validation" ? [event] : [];
  });
}

function fileOf(checkpoint: string, name: string): Buffer {
  return readFileSync(join(checkpoint, name));
}

test("the loss falls below that of the letters' frequencies, and on held-out text too", async () => {
  const { events } = await whole("learns", { steps: 60, lr: 0.02, validationEvery: 20, checkpointEvery: 0 });
  const losses = events.flatMap((event) => (event.type === "step" ? [event.loss] : []));
  // Before anything is learnt each of the 262 pieces is equally likely.
  expect(losses[0]).toBeCloseTo(Math.log(tokenizer.vocabSize), 0);
  // About 27 characters, unequally likely, have an entropy of less than ln 27 = 3.3.
  expect(losses.at(-1)).toBeLessThan(2.6);
  const validation = events.flatMap((event) => (event.type === "validation" ? [event.bitsPerByte] : []));
  expect(validation).toHaveLength(3);
  expect(validation[2]).toBeLessThan(validation[0]!);
});

test("a checkpoint opens as a Hugging Face folder, and the oldest are deleted", async () => {
  const { checkpoint, events } = await whole("kept");
  expect(readdirSync(join(folder, "kept"))).toEqual(["step-00000008", "step-00000012"]);
  expect(basename(checkpoint)).toBe("step-00000012");
  expect(readdirSync(checkpoint).toSorted()).toEqual([
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "run.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "training-state.safetensors",
  ]);
  expect(JSON.parse(String(fileOf(checkpoint, "run.json")))).toMatchObject({
    stage: "pretrain",
    step: 12,
    updates: 12,
  });
  expect(events.filter(({ type }) => type === "checkpoint")).toHaveLength(3);
});

describe("a run that was interrupted", () => {
  test.each([1, 3, 4, 5, 11, 12])(
    "at step %i ends with the losses and the bytes of one that was not",
    async (at) => {
      const reference = await whole("reference");
      let steps: unknown[] = [];
      const stopped = await run("resumed", {}, (event) => {
        if (event.type === "step") steps.push(event);
        return event.type === "step" && event.step === at;
      });
      if (at < 12) expect(stopped).toBe("stopped");
      const { checkpoint, events } = await whole("resumed");
      expect(events[0]).toMatchObject({ type: "resumed", step: at });
      steps = [...steps, ...events.filter(({ type }) => type === "step")];
      const losses = (list: readonly unknown[]): number[] =>
        list.map((event) => (event as { loss: number }).loss);
      expect(losses(steps)).toEqual(losses(reference.events.filter(({ type }) => type === "step")));
      for (const name of ["model.safetensors", "training-state.safetensors", "run.json", "config.json"])
        expect(fileOf(checkpoint, name).equals(fileOf(reference.checkpoint, name)), name).toBe(true);
    },
  );

  test("in every one of its steps ends the same as well", async () => {
    const reference = await whole("reference", { precision: "bf16" });
    let last: Ran | "stopped" = "stopped";
    let sittings = 0;
    const events: PretrainEvent[] = [];
    while (last === "stopped") {
      last = await run("resumed", { precision: "bf16", keepCheckpoints: 1 }, (event) => {
        events.push(event);
        return event.type === "step";
      });
      sittings += 1;
    }
    expect(sittings).toBeGreaterThanOrEqual(options.steps);
    const steps = (list: readonly PretrainEvent[]): unknown[] =>
      learnt(list.filter(({ type }) => type === "step"));
    expect(steps(events)).toEqual(steps(reference.events));
    const weights = "model.safetensors";
    expect(fileOf(last.checkpoint, weights).equals(fileOf(reference.checkpoint, weights))).toBe(true);
  });

  test("in its last validation validates when it goes on", async () => {
    const reference = await whole("reference");
    const stopped = await run(
      "resumed",
      { steps: 12 },
      (event) => event.type === "step" && event.step === 12,
    );
    expect(stopped).toBe("stopped");
    const { events } = await whole("resumed");
    const validation = (list: readonly PretrainEvent[]): unknown =>
      list.findLast(({ type }) => type === "validation");
    expect(validation(events)).toEqual(validation(reference.events));
  });

  test("before its first step leaves no checkpoint, and starts afresh", async () => {
    expect(await run("early", {}, ({ type }) => type === "started")).toBe("stopped");
    const { events } = await whole("early");
    expect(learnt(events)).toEqual(learnt((await whole("reference")).events));
  });
});

test("a run that is done does nothing when it is started again", async () => {
  const { checkpoint } = await whole("done");
  const before = fileOf(checkpoint, "model.safetensors");
  const again = await whole("done");
  expect(again.checkpoint).toBe(checkpoint);
  expect(again.events).toEqual([{ type: "resumed", step: 12, checkpoint }]);
  expect(fileOf(checkpoint, "model.safetensors").equals(before)).toBe(true);
});

test("another seed gives another model, the same seed the same", async () => {
  const files = await Promise.all([
    whole("a", { steps: 4 }),
    whole("b", { steps: 4 }),
    whole("c", { steps: 4, seed: 8 }),
  ]);
  const [a, b, c] = files.map(({ checkpoint }) => fileOf(checkpoint, "model.safetensors"));
  expect(a!.equals(b!)).toBe(true);
  expect(a!.equals(c!)).toBe(false);
});

test("gradient accumulation is a larger batch: four micro-batches of one are one of four", async () => {
  const ones = await whole("ones", { batchSize: 1, gradientAccumulation: 4, steps: 4 });
  const four = await whole("four", { batchSize: 4, gradientAccumulation: 1, steps: 4 });
  const losses = ({ events }: Ran): number[] =>
    events.flatMap((event) => (event.type === "step" ? [event.loss] : []));
  for (const [i, loss] of losses(ones).entries()) expect(loss).toBeCloseTo(losses(four)[i]!, 4);
});

test("leftovers of a killed writer are cleared away, and the newest whole checkpoint is gone on from", async () => {
  await run("killed", {}, (event) => event.type === "step" && event.step === 6);
  // Process 1073741824 is none on any system; the name is that of a directory half written.
  const leftover = join(folder, "killed", ".tmp-1073741824-00000000-00000000-step-00000009");
  mkdirSync(leftover);
  writeFileSync(join(leftover, "model.safetensors"), "half");
  const { events } = await whole("killed");
  expect(events[0]).toMatchObject({ type: "resumed", step: 6 });
  expect(existsSync(leftover)).toBe(false);
});

test("three steps in a row without a finite loss end the run and name the last good checkpoint", async () => {
  await run("diverging", { lr: 0.01 }, (event) => event.type === "step" && event.step === 4);
  const good = join(folder, "diverging", "step-00000004");
  // An infinite weight makes every loss from here on no number, as a diverged run does.
  const file = join(good, "model.safetensors");
  const bytes = readFileSync(file);
  bytes.writeFloatLE(Number.NaN, bytes.length - 4);
  writeFileSync(file, bytes);
  const ran = run("diverging");
  await expect(ran).rejects.toThrow("the loss was not finite in 3 steps in a row, up to step 7");
  await expect(ran).rejects.toMatchObject({
    name: "EngineError",
    mend: `The last good checkpoint is ${good}; start again with a lower lr or a longer warm-up.`,
  });
  // A diverged run keeps no checkpoint of what it diverged to.
  expect(readdirSync(join(folder, "diverging"))).toEqual(["step-00000004"]);
});

test("a checkpoint too many, of a process that was killed before it deleted the oldest, is deleted", async () => {
  await whole("pruned", { keepCheckpoints: 3 });
  expect(readdirSync(join(folder, "pruned"))).toHaveLength(3);
  await whole("pruned", { keepCheckpoints: 2 });
  expect(readdirSync(join(folder, "pruned"))).toEqual(["step-00000008", "step-00000012"]);
});

test("a checkpoint of another stage is not gone on from", async () => {
  const place = join(folder, "other");
  await whole("other", { steps: 2, warmupSteps: 0 });
  const file = join(place, "step-00000002", "run.json");
  writeFileSync(file, JSON.stringify({ stage: "sft", step: 1, updates: 1 }));
  await expect(run("other")).rejects.toThrow(`${file}: this is not the checkpoint of a pretraining run`);
});

test("the steps that fit into a time are measured, and are at least one", async () => {
  using backend = openBackend({ threads: 1 });
  expect(await stepsInTime(options, backend, 1e-6)).toBe(1);
});
