/** Fine-tuning a tiny model: it learns the answers, sees nothing of the questions, and goes on bit for bit. */

import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeDialog, type Example } from "../../src/dialog/llama2-chat.ts";
import { fineTune, type SftEvent, type SftOptions } from "../../src/sft/sft.ts";
import { packExamples } from "../../src/sft/pack.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { nextToken } from "../../src/train/next-token.ts";
import { Trainer } from "../../src/train/step.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { saveTinyModel, tinyConfig, tinyWeights } from "../tiny-model.ts";

const tokenizer = tinyTokenizer();
const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };

const questions = ["How many?", "What is it?", "Who?", "Where?", "Why?", "When?", "Which one?", "How far?"];
const examples = questions.map((content, i) =>
  encodeDialog(
    [
      { role: "user", content },
      { role: "assistant", content: `It is ${i + 1}.` },
    ],
    tokenizer,
  ),
);

const options: SftOptions = {
  batchSize: 2,
  microBatchSize: 1,
  seqLen: 48,
  epochs: 3,
  lr: 0.01,
  warmupRatio: 0.1,
  minLrRatio: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-5,
  weightDecay: 0.1,
  gradClip: 1,
  precision: "f32",
  lanes: 1,
  seed: 3,
  validationEvery: 2,
  checkpointEvery: 2,
  keepCheckpoints: 2,
  sampleEvery: 0,
};

let folder: string;
let model: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-sft-"));
  model = join(folder, "model");
  saveTinyModel(model, tokenizer, { stage: "pretrain" });
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly checkpoint: string;
  readonly events: readonly SftEvent[];
}

async function run(
  name: string,
  changes: Partial<SftOptions> = {},
  stop: (event: SftEvent) => boolean = () => false,
): Promise<Ran | "stopped"> {
  const place = join(folder, name);
  mkdirSync(place, { recursive: true });
  using backend = openBackend({ threads: 1 });
  const events: SftEvent[] = [];
  const controller = new AbortController();
  const onEvent = (event: SftEvent): void => {
    events.push(event);
    if (stop(event)) controller.abort(new Error("Ctrl-C"));
  };
  const inputs = { backend, model, tokenizer, examples: examples.slice(1), heldOut: examples.slice(0, 1) };
  try {
    const { signal } = controller;
    const checkpoint = await fineTune(
      { ...options, ...changes },
      { ...inputs, folder: place, onEvent, signal },
    );
    return { checkpoint, events };
  } catch (error) {
    if (error instanceof Error && error.message === "Ctrl-C") return "stopped";
    throw error;
  }
}

async function whole(name: string, changes: Partial<SftOptions> = {}): Promise<Ran> {
  const ran = await run(name, changes);
  if (ran === "stopped") throw new Error("nobody stopped it");
  return ran;
}

function losses(events: readonly SftEvent[]): number[] {
  return events.flatMap((event) => (event.type === "step" ? [event.loss] : []));
}

function isSame(a: string, b: string, name: string): boolean {
  return readFileSync(join(a, name)).equals(readFileSync(join(b, name)));
}

test("the answers are learnt by heart", async () => {
  const { events } = await whole("learns", { epochs: 60, lr: 0.02, checkpointEvery: 0, validationEvery: 0 });
  expect(losses(events)[0]).toBeGreaterThan(4);
  expect(losses(events).at(-1)).toBeLessThan(0.5);
});

test("it says beforehand how long it is: epochs of packed sequences in whole batches", async () => {
  const { events } = await whole("counts");
  const tokens = examples.slice(1).reduce((sum, example) => sum + example.tokens.length, 0);
  const rows = Math.ceil(tokens / 48);
  expect(events[0]).toEqual({ type: "started", rows, truncated: 0, steps: 3 * Math.ceil(rows / 2) });
  expect(losses(events)).toHaveLength(3 * Math.ceil(rows / 2));
});

test("the micro-batch is memory's choice: two sequences at once learn what two one after another do", async () => {
  const ones = await whole("ones", { microBatchSize: 1 });
  const twos = await whole("twos", { microBatchSize: 2 });
  for (const [i, loss] of losses(ones.events).entries()) expect(loss).toBeCloseTo(losses(twos.events)[i]!, 4);
});

describe("a run that was interrupted", () => {
  test.each([1, 2, 3, 5])("at step %i ends with the losses and the bytes of one that was not", async (at) => {
    const reference = await whole("reference");
    const before: SftEvent[] = [];
    const stopped = await run("resumed", {}, (event) => {
      before.push(event);
      return event.type === "step" && event.step === at;
    });
    expect(stopped).toBe("stopped");
    const { checkpoint, events } = await whole("resumed");
    expect(events[0]).toMatchObject({ type: "resumed", step: at });
    expect(losses([...before, ...events])).toEqual(losses(reference.events));
    for (const name of ["model.safetensors", "training-state.safetensors", "run.json"])
      expect(isSame(checkpoint, reference.checkpoint, name), name).toBe(true);
  });

  test("in its last validation validates when it goes on", async () => {
    const reference = await whole("reference");
    const last = losses(reference.events).length;
    expect(await run("resumed", {}, (event) => event.type === "step" && event.step === last)).toBe("stopped");
    const { events, checkpoint } = await whole("resumed");
    expect(events.filter(({ type }) => type === "validation")).toEqual([
      reference.events.findLast(({ type }) => type === "validation"),
    ]);
    expect(isSame(checkpoint, reference.checkpoint, "run.json")).toBe(true);
  });
});

test("a run that is done does nothing when it is started again", async () => {
  const { checkpoint } = await whole("done");
  const again = await whole("done");
  expect(again.checkpoint).toBe(checkpoint);
  expect(again.events).toEqual([{ type: "resumed", step: 9, checkpoint }]);
});

test("the model that it started from is left as it was", async () => {
  const before = readFileSync(join(model, "model.safetensors"));
  await whole("apart");
  expect(readFileSync(join(model, "model.safetensors")).equals(before)).toBe(true);
  expect(readdirSync(model)).not.toContain("training-state.safetensors");
});

describe("what the user said", () => {
  const [first] = examples as [Example];
  const size = { batch: 1, seq: first.tokens.length - 1, precision: "f32" } as const;
  const packed = packExamples([first], { seqLen: first.tokens.length, seed: 1, epoch: 0, padId: 2 });
  const batch = {
    tokens: packed.tokens.slice(0, size.seq),
    targets: packed.targets.slice(0, size.seq),
    weights: packed.weights.slice(0, size.seq),
  };

  test("alone sends no gradient: a batch without an answer is refused", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, config);
    using trainer = new Trainer(backend, weights, nextToken, { ...options, ...size });
    const asked = { ...batch, weights: new Float32Array(size.seq) };
    await expect(trainer.gradients([asked])).rejects.toThrow("no token of the batch counts towards the loss");
    for (const gradient of Object.values(trainer.state.gradients))
      expect(gradient.readF32().every((value) => value === 0)).toBe(true);
  });

  test("as a target changes nothing, whatever it is", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, config);
    using trainer = new Trainer(backend, weights, nextToken, { ...options, ...size });
    const gradients = (): Float32Array[] =>
      Object.values(trainer.state.gradients).map((gradient) => gradient.readF32());
    const { loss } = await trainer.gradients([batch]);
    const before = gradients();
    const answers = batch.weights.filter((weight) => weight === 1).length;
    expect(answers).toBeGreaterThan(0);
    expect(answers).toBeLessThan(size.seq);
    const targets = batch.targets.map((target, i) => (batch.weights[i] === 1 ? target : (target + 77) % 262));
    expect(targets).not.toEqual(batch.targets);
    expect((await trainer.gradients([{ ...batch, targets }])).loss).toBe(loss);
    expect(gradients()).toEqual(before);
  });

  test("in rows of their own beside an answer adds exactly nothing to its gradient", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, config);
    using trainer = new Trainer(backend, weights, nextToken, { ...options, ...size });
    const asked = { ...batch, weights: new Float32Array(size.seq) };
    const gradients = (): Float32Array[] =>
      Object.values(trainer.state.gradients).map((gradient) => gradient.readF32());
    await trainer.gradients([batch]);
    const before = gradients();
    await trainer.gradients([asked, batch, asked]);
    expect(gradients()).toEqual(before);
  });
});

describe("a sequence without an answer in it", () => {
  const asks = (length: number): Example => ({
    tokens: new Int32Array(length).fill(5),
    lossMask: new Uint8Array(length),
  });
  const says = (length: number): Example => ({ ...asks(length), lossMask: new Uint8Array(length).fill(1) });

  let events: SftEvent[] = [];
  const tune = async (dialogs: readonly Example[], heldOut: readonly Example[] = []): Promise<void> => {
    events = [];
    using backend = openBackend({ threads: 1 });
    const place = join(folder, "silent");
    mkdirSync(place, { recursive: true });
    await fineTune(
      { ...options, batchSize: 1, epochs: 2, seqLen: 8 },
      {
        backend,
        model,
        tokenizer,
        examples: dialogs,
        heldOut,
        folder: place,
        onEvent: (event) => events.push(event),
      },
    );
  };

  test("is left out: the run does not end at it", async () => {
    // 16 tokens of questions around 4 of an answer: at most two rows of three hold some of it.
    await tune([asks(8), says(4), asks(8)]);
    expect(events[0]).toMatchObject({ type: "started" });
    const { steps } = events[0] as { steps: number };
    expect(steps).toBeGreaterThanOrEqual(2);
    expect(steps).toBeLessThanOrEqual(4);
    expect(losses(events)).toHaveLength(steps);
    expect(losses(events).every((loss) => Number.isFinite(loss))).toBe(true);
  });

  test("is no validation either", async () => {
    await tune([says(8)], [asks(8)]);
    expect(events.filter(({ type }) => type === "validation")).toEqual([]);
  });

  test("leaves nothing to train on when there is no other", async () => {
    await expect(tune([asks(8), asks(20)])).rejects.toMatchObject({
      message: "no answer begins within the first 8 tokens of its dialog",
      mend: "Set seq_len higher, or give shorter dialogs.",
    });
  });
});

test.each([
  [{ batchSize: 0 }, "batch_size (0) is not a whole number of at least 1"],
  [{ microBatchSize: 1.5 }, "micro_batch_size (1.5) is not a whole number of at least 1"],
  [{ epochs: -1 }, "epochs (-1) is not a whole number of at least 1"],
  [{ lr: 0 }, "lr (0) is not a number above 0"],
  [{ seqLen: 1 }, "seqLen (1) is not a whole number from 2 to 1048576"],
])("%o is refused", async (changes, message) => {
  await expect(run("refused", changes)).rejects.toThrow(message);
});

test("a checkpoint of another stage is not gone on from", async () => {
  const { checkpoint } = await whole("other");
  writeFileSync(join(checkpoint, "run.json"), JSON.stringify({ stage: "pretrain", step: 6, updates: 6 }));
  await expect(run("other")).rejects.toThrow('this is not the checkpoint of a run of stage "sft"');
});
